"""Several tasks are learned in one run, each read and judged in its own way; what judges one is learned by none."""

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from typer.testing import CliRunner

from luthier.cli import app
from luthier.data.mix import Mixture
from luthier.run.mixed import told_mixture


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def echoes(tmp_path_factory) -> Path:
    """A second task, whose answers are text, with two rows of which the first task's test holds the prompt."""
    path = tmp_path_factory.mktemp("second") / "echoes.csv"
    with path.open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["said", "echo"])
        for i in range(24):
            write.writerow([f"call number {i} over the hills", f"number {i} over the hills and again {i}"])
    return path


def recipe(base: Path, rows: Path, echoes: Path, run: Path, **more: object) -> list[str]:
    files = [{"data": str(echoes), "input": "said", "output": "echo", "test": 0.25, **more}]
    settings = {
        "data.train": rows, "data.input": "text", "data.output": "label", "model.name": base, "run": run,
        "model.max_length": 192, "model.dtype": "float32", "train.epochs": 1, "train.examples_per_step": 8,
        "train.evaluations_per_epoch": 1, "evaluate.resamples": 200, "evaluate.max_new_tokens": 8,
        "forgetting.measure": "false", "mix.files": json.dumps(files),
    }  # fmt: skip
    return [f"{key}={value}" for key, value in settings.items()]


@pytest.fixture(scope="module")
def run(base, rows, echoes, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "mixed"
    done = luthier("train", *recipe(base, rows, echoes, folder))
    assert done.exit_code == 0, done.output
    assert "echoes 18 of 18 rows" in " ".join(done.output.split())
    return folder


def test_each_task_is_judged_by_its_own_metric_on_its_own_rows(run):
    made = json.loads((run / "report.json").read_text())
    (echo,) = made["tasks"]
    assert made["task"]["kind"] == "choice"
    assert echo["kind"] == "text"
    assert (echo["name"], echo["learned"], echo["n"], echo["metric"]) == ("echoes", 18, 6, "chrf")
    lines = [json.loads(line) for line in (run / "tasks" / "task-1.jsonl").read_text().splitlines()]
    assert len(lines) == 6
    assert all(line["base"] and line["tuned"] for line in lines)
    assert not (run / "tasks" / "base-1.jsonl").exists()
    assert "echoes" in (run / "report.html").read_text()


def test_the_page_says_what_a_pass_of_the_mixture_is(run):
    made = json.loads((run / "report.json").read_text())["mixture"]
    own, other = made
    assert (own["name"], other) == ("the main file", {"name": "echoes", "rows": 18, "drawn": 18})
    page = (run / "report.html").read_text()
    assert "rows trained on" not in page
    assert f"{own['drawn']} of {own['rows']} main rows, 18 of 18 others; 1 pass" in page


def test_more_examples_than_rows_are_drawn_from_them():
    def row(group):
        return SimpleNamespace(group=group, weight=torch.ones(2))

    told = told_mixture(Mixture(("the main file", "other"), (3, 2), (2, 5)), [row(group) for group in range(5)])
    assert "the main file 2 of 3 rows" in told
    assert "other 5 drawn from 2 rows" in told


def test_every_row_of_every_file_is_in_the_ledger_once(run):
    rows = [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()]
    echoes = [row for row in rows if row["id"].startswith("echoes/")]
    assert len(echoes) == 24
    assert len({row["id"] for row in rows}) == len(rows)
    assert sorted(row["split"] for row in echoes) == ["test"] * 6 + ["train"] * 18


def test_a_row_whose_prompt_judges_another_task_is_not_learned(base, rows, tmp_path):
    made = tmp_path / "stolen.csv"
    made.write_text("said,echo\nhello there,good day\n", encoding="utf-8")
    with rows.open(newline="") as file:
        table = list(csv.DictReader(file))
    test = tmp_path / "test.csv"
    test.write_text("text,label\n" + "".join(f"{row['text']},{row['label']}\n" for row in table[:3]), encoding="utf-8")
    with made.open("a", newline="") as file:
        csv.writer(file).writerows([[row["text"], "stolen"] for row in table[:3]])
    words = recipe(base, rows, made, tmp_path / "run", test=0)
    done = luthier("train", "--dry-run", "--json", f"data.test={test}", *words)
    assert done.exit_code == 0, done.output
    lost = [row for row in json.loads(done.stdout)["not_used"] if row["id"].startswith("stolen/")]
    assert [row["reason"] for row in lost] == ["its prompt stands in the test"] * 3


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ('[{"data": "a.csv"}, {"data": "b/a.csv"}]', "of different names"),
        ('[{"data": "a.csv", "share": 0}]', "above 0"),
        ('[{"input": "text"}]', "a file or hub name"),
        ('[{"data": "missing.csv"}]', "missing.csv"),
    ],
)
def test_a_wrong_mixture_is_refused_with_what_is_wrong(base, rows, tmp_path, setting, told):
    done = luthier("train", "--dry-run", f"data.train={rows}", f"model.name={base}", f"mix.files={setting}")
    assert done.exit_code == 2
    assert told in " ".join(done.output.split())


def test_another_tasks_rows_are_audited_as_the_main_ones_are(base, rows, echoes, tmp_path):
    twice = tmp_path / "twice.csv"
    lines = echoes.read_text().splitlines()
    twice.write_text("\n".join([*lines, *lines[1:4]]) + "\n")

    def duplicates(file: Path) -> list[list[str]]:
        done = luthier("train", "--dry-run", "--json", *recipe(base, rows, file, tmp_path / "run", test=0))
        assert done.exit_code == 0, done.output
        found = [one["examples"] for one in json.loads(done.stdout)["issues"] if one["check"] == "duplicate"]
        return [ids for ids in found if ids[0].startswith(f"{file.stem}/")]

    assert len(duplicates(twice)) == 3
    assert duplicates(echoes) == []


def test_another_tasks_gate_stops_the_run_and_names_its_file(base, rows, echoes, tmp_path):
    twice = tmp_path / "twice.csv"
    lines = echoes.read_text().splitlines()
    twice.write_text("\n".join([*lines, lines[1]]) + "\n")
    words = recipe(base, rows, twice, tmp_path / "run", test=0)
    done = luthier("train", "--dry-run", 'checks.gates=["duplicate"]', *words)
    assert done.exit_code == 1, done.output
    assert "mix.files: twice:" in " ".join(done.output.split())
