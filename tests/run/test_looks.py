"""What the test rows can show is told before a run; how often they were read is told after it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from typer.testing import CliRunner

from luthier.cli import app
from luthier.evaluate.reads import LEDGER
from luthier.evaluate.task import Task
from luthier.run.looks import NAME
from luthier.run.visible import Visible, foreseen, told_visible
from luthier.types import Example, Message


def luthier(*words: object):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done


def trained(base: Path, file: Path, run: Path, *more: object) -> dict:
    quick = ["train.epochs=1", "train.examples_per_step=16", "train.evaluations_per_epoch=1", "model.max_length=128"]
    words = ["--data", file, "--model", base, "--run", run, "model.dtype=float32", *quick, *more]
    return json.loads(luthier("train", *words, "--json").stdout)


@pytest.fixture
def file(rows: Path, tmp_path: Path) -> Path:
    path = tmp_path / "own" / "animals.csv"
    path.parent.mkdir()
    path.write_bytes(rows.read_bytes())
    return path


def test_each_run_and_each_evaluation_of_the_same_test_rows_is_counted_and_told(base, file, tmp_path):
    test = file.with_name("held-out.csv")
    test.write_text("text,label\n" + "".join(f"it says moo twice {at},cow\n" for at in range(8)))
    first = trained(base, file, tmp_path / "first", "--test", test)
    assert first["reads"] == {"before": 0, "by": [], "sentence": "These test rows were read for the first time."}
    told = json.loads(luthier("evaluate", tmp_path / "first", "--no-base", "--json").stdout)
    assert told["reads"][str(tmp_path / "first")]["before"] == 1
    plain = ["model.max_length=128", "model.dtype=float32", "train.epochs=1", "data.instruction=Which animal?"]
    words = ["--data", file, "--test", test, "--model", base, "--run", tmp_path / "third", *plain]
    third = luthier("train", *words)
    said = "These test rows were read 2 times before (by first 2 times); a difference found after many looks is worth"
    assert said in " ".join(third.output.split())
    assert "test rows can show a difference in accuracy of" in third.output
    lines = [json.loads(line) for line in (file.parent / LEDGER).read_text().splitlines()]
    assert [line["by"] for line in lines] == ["train", "evaluate", "train"]
    assert len({line["rows"] for line in lines}) == 1


def test_other_test_rows_are_a_first_reading(base, file, tmp_path):
    trained(base, file, tmp_path / "first")
    assert trained(base, file, tmp_path / "other", "data.seed=5")["reads"]["before"] == 0


def test_a_resumed_run_counts_once(base, file, tmp_path):
    once = trained(base, file, tmp_path / "r")
    (tmp_path / "r" / "report.json").unlink()
    again = json.loads(luthier("train", "--resume", tmp_path / "r", "--json").stdout)
    assert again["reads"] == once["reads"]
    assert len((file.parent / LEDGER).read_text().splitlines()) == 1
    assert json.loads((tmp_path / "r" / NAME).read_text())["read"]["by"] == "train"


def test_a_dry_run_tells_what_can_be_seen_and_reads_nothing(base, file, tmp_path):
    found = trained(base, file, tmp_path / "r", "--dry-run")["visible"]
    assert (found["metric"], found["n"], found["groups"], found["method"]) == ("accuracy", 12, None, None)
    assert found["difference"] == pytest.approx(2.8016 * np.sqrt(0.5 / 12), abs=1e-4)
    assert found["sentence"].startswith(
        "12 test rows can show a difference in accuracy of 57 points or more, 4 times in 5 (40 if "
    )
    assert found["sentence"].endswith("; 48 would show 29")
    assert not (file.parent / LEDGER).exists()


def prepared(count: int, metric: str, *, compared: int | None = None, size: int = 1) -> SimpleNamespace:
    rows = [
        Example(f"a:{at}", (Message("user", "x"),), (), group=None if size == 1 else f"g{at // size}")
        for at in range(count)
    ]
    task = Task("choice", (), (metric,), metric, 16)
    return SimpleNamespace(compared=rows[:compared], asked=rows, task=task)


def test_unknown_rows_are_told_for_the_worst_case_and_rows_in_groups_for_both_ends() -> None:
    alone = foreseen(prepared(150, "accuracy"))
    assert alone is not None
    assert alone.told() == (
        "150 test rows can show a difference in accuracy of 16 points or more, 4 times in 5 "
        "(11 if base and tuned agree on three rows of four); 600 would show 8"
    )
    grouped = foreseen(prepared(150, "exact", size=5))
    assert grouped is not None
    assert "150 test rows in 30 groups can show a difference in exact match of 16 points" in grouped.told()
    assert "; 36 if a group's rows stand or fall together)" in grouped.told()


def test_where_the_base_is_asked_a_sample_all_rows_are_named() -> None:
    found = foreseen(prepared(3000, "accuracy", compared=500))
    assert found is not None
    assert found.told().endswith("; all 3,000 would show 4 (evaluate.base_rows=none)")


def test_too_few_rows_no_rows_and_a_metric_nobody_can_foresee_say_so() -> None:
    few, none, loss = (prepared(count, metric) for count, metric in ((5, "exact"), (0, "exact"), (50, "loss")))
    found = foreseen(few)
    assert found is not None
    assert found.told() == "5 test rows can show no difference at all: it takes at least 6 that differ"
    assert foreseen(none) is None
    assert told_visible(none, None) == "there are no test rows, so nothing can be shown"
    assert "the report will say" in told_visible(loss, None)


def test_four_times_the_rows_halve_what_can_be_seen() -> None:
    one = Visible("chrf", 100, None, 100, 20.0, "nearest neighbour's answer", 100)
    assert replace(one, n=400).difference == pytest.approx(one.difference / 2)
    assert one.told() == (
        "100 test rows can show a difference in chrF of 5.6 or more, 4 times in 5 "
        "(if answers vary as those of the simple method do: nearest neighbour's answer); 400 would show 2.8"
    )
