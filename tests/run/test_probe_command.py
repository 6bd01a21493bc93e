"""`luthier probe` as a newcomer meets it: what it writes, what its gates do, what it refuses, and its page."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from luthier.cli import app
from luthier.evaluate.behaviour import perturbations

QUICK = ["model.max_length=640", "model.dtype=float32", "train.epochs=2", "train.lr=0.01", "train.examples_per_step=8"]


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def long_base(base, tmp_path_factory):
    """The tiny base with room for a long preface."""
    folder = Path(shutil.copytree(base, tmp_path_factory.mktemp("base") / "long"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 640}))
    return folder


@pytest.fixture(scope="module")
def run(long_base, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "animals"
    words = ["--data", rows, "--model", long_base, "--run", folder, "--instruction", "Which of {labels}?", "--json"]
    done = luthier("train", *words, *QUICK, "train.epochs=5", "method=full", "train.evaluations_per_epoch=1")
    assert done.exit_code == 0, done.output
    return folder


@pytest.fixture(scope="module")
def probed(run, rows):
    done = luthier("probe", run, "--data", rows, "--rows", 6, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def cases(run: Path, folder: str = "probe") -> list[dict]:
    return [json.loads(line) for line in (run / folder / "probe.jsonl").read_text().splitlines()]


def test_every_case_is_written_and_the_rates_are_those_of_the_cases(run, probed):
    told = cases(run)
    assert probed == json.loads((run / "probe" / "probe.json").read_text()) | {"page": str(run / "probe/probe.html")}
    assert (probed["rows"], probed["rows_in_all"], probed["cases"]) == (6, 120, len(told))
    for name, line in probed["perturbations"].items():
        mine = [case for case in told if case["perturbation"] == name]
        assert line["rows"] == len(mine)
        for model in ("tuned", "base") if mine else ():
            judged = [case[model]["failed"] for case in mine if case[model]["failed"] is not None]
            assert (line[model]["n"], line[model]["failed"]) == (len(judged), sum(judged))
    same = [case for case in told if case["expects"] == "same"]
    assert probed["invariance"]["tuned"]["failed"] == sum(case["tuned"]["failed"] for case in same)


def test_a_perturbation_changes_the_message_and_not_the_instruction(run, probed):
    for case in cases(run):
        assert "Which of" not in case["original"] + case["perturbed"]
        assert case["original"].startswith("it says ")
    assert {case["perturbation"] for case in cases(run)} >= {"emptied", "preface", "injected_demand", "other_number"}


def test_the_answers_to_the_rows_as_they_stand_are_those_of_evaluation(run, rows, tmp_path):
    done = luthier(
        "probe", run, "--rows", 0, "--base-rows", 0, "--only", "upper_case", "--out", tmp_path / "p", "--json"
    )
    assert done.exit_code == 0, done.output
    asked = [json.loads(line) for line in (tmp_path / "p" / "probe.jsonl").read_text().splitlines()]
    said = {line["id"]: line for line in map(json.loads, (run / "predictions.jsonl").read_text().splitlines())}
    assert {case["id"] for case in asked} == said.keys()
    for case in asked:
        for model in ("tuned", "base"):
            assert case[model]["before"]["text"] == said[case["id"]][model]["text"]
            assert case[model]["before"]["logprob"] == pytest.approx(said[case["id"]][model]["logprob"], abs=1e-3)


def test_the_same_probe_twice_writes_the_same_bytes(run, rows, tmp_path):
    for name in ("one", "two"):
        done = luthier(
            "probe", run, "--data", rows, "--rows", 3, "--only", "typos", "--no-base", "--out", tmp_path / name
        )
        assert done.exit_code == 0, done.output
        assert "tuned model changed its answer" in " ".join(done.output.split())
    for name in ("probe.jsonl", "probe.html"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.fixture
def lossy(tmp_path, monkeypatch):
    """A stranger's perturbation that no model can withstand."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "own_changes", raising=False)
    (tmp_path / "own_changes.py").write_text("def lossy(text, rng):\n    return 'it says miaow 7' if text else None\n")
    return "own_changes:lossy"


def test_a_gate_fails_where_the_rate_is_surely_above_it_and_a_stranger_can_bring_a_perturbation(
    run, rows, lossy, tmp_path
):
    only = ["--rows", 30, "--only", lossy, "--no-base", "--out", tmp_path / "p"]
    loose = luthier("probe", run, "--data", rows, *only, "--gate", f"{lossy}=0.95")
    assert loose.exit_code == 0, loose.output
    strict = luthier("probe", run, "--data", rows, *only, "--gate", "all=0")
    rate = json.loads((tmp_path / "p" / "probe.json").read_text())["perturbations"][lossy]["tuned"]
    assert rate["failed"] > 0, "the run learned nothing, so nothing can fail"
    assert strict.exit_code == 1
    assert "surely more than 0 %" in " ".join(strict.output.split())
    assert "gate failed" in (tmp_path / "p" / "probe.html").read_text()


def test_a_gate_that_no_row_can_judge_does_not_pass(run, rows, tmp_path):
    words = ["--rows", 3, "--only", "other_name", "--only", "upper_case", "--no-base", "--out", tmp_path / "p"]
    done = luthier("probe", run, "--data", rows, *words, "--gate", "other_name=0.5")
    assert done.exit_code == 1
    assert "no row could be judged" in " ".join(done.output.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--only", "typo"], "did you mean 'typos'"),
        (["--gate", "typoes=0.1"], "NAME=RATE"),
        (["--gate", "greeting=often"], "'often' is no number"),
        (["--gate", "greeting=7"], "no share"),
        (["--rows", "-1"], "at least 1"),
        (["--drop", "1.5"], "a share in [0, 1)"),
        (["--slice", "chanel"], "no row has that column"),
        (["--data", "missing.csv"], "missing.csv"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(run, words, said):
    done = luthier("probe", run, *words)
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert "Traceback" not in done.output


def test_texts_are_probed_too(long_base, tmp_path):
    table = tmp_path / "echo.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([("ask", "say"), *((f"what says cow number {i}", f"moo {i}") for i in range(60))])
    words = ["--data", table, "--input", "ask", "--output", "say", "--model", long_base, "--run", tmp_path / "r"]
    done = luthier("train", *words, *QUICK, "method.rank=8", "--json")
    assert done.exit_code == 0, done.output
    done = luthier("probe", tmp_path / "r", "--rows", 4, "--only", "injection", "--only", "typos", "--only", "emptied")
    assert done.exit_code == 0, done.output
    told = cases(tmp_path / "r")
    assert {case["bait"] for case in told if case["expects"] == "disobedience"} == {"BANANA"}
    assert all(case["tuned"]["broken"] is None for case in told)
    page = (tmp_path / "r" / "probe" / "probe.html").read_text()
    assert "score" in page
    assert "drawn of 6" in page
    assert "labels in proportion" not in page, "they have none"
    assert "too narrow with 4 rows (tuned) and 4 rows (base)" in " ".join(done.output.split())


def test_rows_with_labels_are_said_to_be_drawn_in_their_proportion(run, probed):
    assert "labels in proportion" in (run / "probe" / "probe.html").read_text()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium here")
def test_the_page_opens_without_a_word_on_the_console(run, probed, tmp_path):
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"]
    page = (run / "probe" / "probe.html").resolve().as_uri()
    done = subprocess.run(
        ["chromium", *flags, f"--user-data-dir={tmp_path}", page],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "CONSOLE" not in done.stderr
    assert all(name.replace("_", " ") in done.stdout for name in perturbations)
