"""Runs listed in a line each, and every model on every task; a run that goes on from another says so."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from luthier.cli import app
from luthier.evaluate import read_predictions

QUICK = {
    "model": {"max_length": 400, "dtype": "float32"},
    "train": {"epochs": 2, "lr": 0.02, "examples_per_step": 8, "evaluations_per_epoch": 1, "evaluation_share": 1},
    "forgetting": {"measure": False},
}


def luthier(*words: object, columns: int = 220):
    return CliRunner().invoke(app, [str(word) for word in words], env={"COLUMNS": str(columns)})


@pytest.fixture(scope="module")
def runs(base, rows, tmp_path_factory):
    """Two tasks over one base, the second by another instruction, and a run that is not finished."""
    place = tmp_path_factory.mktemp("models")
    numbers = place / "numbers.csv"
    with numbers.open("w", newline="") as file:
        write = csv.writer(file)
        write.writerow(["text", "label"])
        write.writerows([f"{i} is", "even" if i % 2 == 0 else "odd"] for i in range(80))
    for name, data in (("sounds", rows), ("numbers", numbers)):
        tree = {**QUICK, "data": {"train": str(data)}, "run": str(place / "runs" / name)}
        tree["model"] = {**QUICK["model"], "name": str(base)}
        (place / f"{name}.yaml").write_text(yaml.safe_dump(tree))
    done = luthier("train", place / "sounds.yaml", place / "numbers.yaml", "--together")
    assert done.exit_code == 0, done.output
    unfinished = place / "runs" / "deep" / "begun"
    shutil.copytree(place / "runs" / "sounds", unfinished, symlinks=True)
    (unfinished / "report.json").unlink()
    return place / "runs"


@pytest.fixture(scope="module")
def crossed(runs, tmp_path_factory):
    page = tmp_path_factory.mktemp("page") / "models.html"
    done = luthier("models", runs, "--matrix", "--rows", 8, "--out", page, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout), page.read_text()


def test_every_run_is_a_line_of_what_its_report_says(runs):
    listed = json.loads(luthier("models", runs, "--json").stdout)["runs"]
    assert [Path(one["run"]).name for one in listed] == ["begun", "numbers", "sounds"]
    begun, _, sounds = listed
    report = json.loads((runs / "sounds" / "report.json").read_text())
    assert sounds["tuned"]["value"] == report["verdict"]["tuned"]["value"]
    assert (sounds["n"], sounds["metric"], sounds["verdict"]) == (12, "accuracy", report["verdict"]["word"])
    assert sounds["task"].endswith("/animals.csv, 3 labels")
    assert sounds["tuned"]["low"] < sounds["tuned"]["value"] <= sounds["tuned"]["high"]
    files = [path for path in (runs / "sounds" / "best").iterdir() if not path.name.startswith("optimizer")]
    assert sounds["bytes"] == sum(path.stat().st_size for path in files)
    assert (begun["state"], begun["created"]) == ("unfinished", "")


def test_a_person_sees_the_interval_and_a_damaged_run(runs, tmp_path):
    copied = tmp_path / "runs"
    shutil.copytree(runs / "sounds", copied / "sounds", symlinks=True)
    shutil.copytree(runs / "numbers", copied / "broken", symlinks=True)
    (copied / "broken" / "report.json").write_text("{")
    shown = luthier("models", copied)
    assert shown.exit_code == 0
    assert "damaged" in shown.stdout
    assert "animals.csv, 3 labels" in shown.stdout
    assert shown.stdout.count("[0.") >= 2


def test_a_searchs_folder_is_named_and_no_damaged_run(runs, tmp_path):
    copied = tmp_path / "runs"
    shutil.copytree(runs / "sounds", copied / "sounds", symlinks=True)
    (copied / "found").mkdir()
    (copied / "found" / "recipe.yaml").write_text("method: lora\n")
    assert "damaged" in luthier("models", copied).stdout, "control: without what a search leaves it is a broken run"
    (copied / "found" / "journal.jsonl").write_text("")
    shown = luthier("models", copied).stdout
    assert "damaged" not in shown
    assert f"search  {copied / 'found'}" in shown.replace("\n", "")
    told = json.loads(luthier("models", copied, "--json").stdout)
    assert [Path(one["run"]).name for one in told["runs"]] == ["sounds"]
    assert told["searches"] == [str(copied / "found")]


@pytest.mark.parametrize(("columns", "lines"), [(80, 2), (120, 3)])
def test_a_run_takes_few_lines(runs, columns, lines):
    shown = luthier("models", runs, columns=columns).stdout.split("\nrun ")[1].splitlines()[1:]
    assert len(shown) <= lines * 3
    assert sum(name in "\n".join(shown) for name in ("deep/begun", "sounds", "numbers", "accuracy")) == 4


def test_what_is_special_about_a_method_is_shown(runs, tmp_path):
    copied = tmp_path / "runs"
    shutil.copytree(runs / "sounds", copied / "sounds", symlinks=True)
    recipe = yaml.safe_load((copied / "sounds" / "recipe.yaml").read_text())
    recipe["method"]["dora"], recipe["model"]["quantize"] = True, "nf4"
    (copied / "sounds" / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert "DoRA, nf4" in luthier("models", copied, columns=80).stdout
    (one,) = json.loads(luthier("models", copied, "--json").stdout)["runs"]
    assert (one["method"], one["variant"]) == ("lora", ["DoRA", "nf4"])


def test_a_folder_without_runs_says_what_makes_one(tmp_path):
    done = luthier("models", tmp_path)
    assert done.exit_code == 2
    assert "holds no run" in done.output


def test_the_diagonal_is_what_each_run_answered_itself(crossed, runs):
    found, _ = crossed
    cells = {(one["model"], one["task"]): one for one in found["cells"]}
    assert set(cells) == {(a, b) for a in ("sounds", "numbers") for b in ("sounds", "numbers")}
    for name in ("sounds", "numbers"):
        (task,) = [one for one in found["tasks"] if one["name"] == name]
        assert (task["n"], task["own"]) == (8, [name])
        assert cells[name, name]["own"]
        report = json.loads((runs / name / "report.json").read_text())
        assert task["of"] == report["verdict"]["n"]
    assert not cells["sounds", "numbers"]["own"]


def test_a_cell_is_what_evaluating_the_run_on_those_rows_finds(runs):
    """On all rows of the task, so that both ask the same."""
    whole = json.loads(
        luthier("models", runs, "--matrix", "--rows", 99, "--out", runs.parent / "a.html", "--json").stdout
    )
    cells = {(one["model"], one["task"]): one["value"]["value"] for one in whole["cells"]}
    own = json.loads((runs / "sounds" / "report.json").read_text())["verdict"]
    assert cells["sounds", "sounds"] == own["tuned"]["value"]
    (task,) = [one for one in whole["tasks"] if one["name"] == "sounds"]
    assert task["base"]["value"] == own["base"]["value"]
    test = runs.parent / "sounds-test.jsonl"
    asked, _ = read_predictions(runs / "sounds" / "predictions.jsonl")
    test.write_text("".join(json.dumps({"text": row.question, "label": row.label}) + "\n" for row in asked))
    by_hand = json.loads(
        luthier("evaluate", runs / "sounds", runs / "numbers", "--data", test, "--no-base", "--json").stdout
    )
    assert cells["numbers", "sounds"] == pytest.approx(
        by_hand["models"][str(runs / "numbers")]["metrics"]["accuracy"]["value"]
    )


def test_the_page_is_whole_and_says_what_was_found(crossed):
    found, page = crossed
    for sentence in found["sentence"].split(". "):
        assert sentence.rstrip(".") in page
    assert page.count('class="unclear') + page.count('class="better') + page.count('class="worse') == 4
    assert page.count(' own" data-task') == 2
    assert "http" not in page.split("<main>")[1]


def test_a_matrix_of_one_run_is_refused_with_the_reason_for_the_others(runs, tmp_path):
    copied = tmp_path / "runs"
    shutil.copytree(runs / "sounds", copied / "sounds", symlinks=True)
    shutil.copytree(runs / "deep" / "begun", copied / "begun", symlinks=True)
    done = luthier("models", copied, "--matrix")
    assert done.exit_code == 2
    assert "two finished runs" in done.output
    assert "--resume" in done.output
