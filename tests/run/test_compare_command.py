"""`luthier compare` on real runs: a page, a table, JSON, and refusals in a sentence; it reads run folders only."""

import json

import pytest
from typer.testing import CliRunner

from luthier.cli import app


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def runs(base, rows, tmp_path_factory):
    """A run that learned, and its control of rate 0."""
    folder = tmp_path_factory.mktemp("compared")
    for name, lr in (("learned", 0.01), ("idle", 0)):
        quick = ["train.epochs=6", f"train.lr={lr}", "train.examples_per_step=8", "data.test=0.4", "method=full"]
        words = ["--data", rows, "--model", base, "--run", folder / name, "model.max_length=128", "model.dtype=float32"]
        done = luthier("train", *words, *quick)
        assert done.exit_code == 0, done.output
    return folder / "learned", folder / "idle"


def test_a_run_that_learned_is_better_than_its_control_and_differs_in_the_rate_alone(runs, tmp_path):
    done = luthier("compare", *runs, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "learned is better than idle" in done.output
    assert "train.lr" in done.output
    assert "train.epochs" not in done.output
    assert "learned is better than idle" in (tmp_path / "out" / "compare.html").read_text()


def test_json_has_every_pair_with_n_and_interval(runs, tmp_path):
    done = luthier("compare", *runs, "--out", tmp_path / "out", "--json")
    told = json.loads(done.stdout)
    (pair, *_) = told["pairs"]
    assert (pair["ahead"], told["n"], pair["seen"]) == ("learned", 48, True)
    assert pair["difference"]["low"] < pair["difference"]["value"] < pair["difference"]["high"] < 0
    assert set(told["runs"]) == {"learned", "idle"}
    kept = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert kept == {name: value for name, value in told.items() if name != "page"}
    assert told["page"] == str(tmp_path / "out" / "compare.html")


def test_a_file_in_the_place_of_the_folder_is_refused_and_kept(runs, tmp_path):
    (tmp_path / "page.html").write_text("mine")
    done = luthier("compare", *runs, "--out", tmp_path / "page.html")
    assert done.exit_code == 2
    assert "name a folder" in " ".join(done.output.split())
    assert (tmp_path / "page.html").read_text() == "mine"


def test_the_control_is_warned_of_on_the_terminal_in_the_report_and_on_the_page(runs):
    learned, idle = (json.loads((run / "report.json").read_text()) for run in runs)
    assert [one["name"] for one in idle["warnings"]] == ["does nothing"]
    assert "does nothing" not in [one["name"] for one in learned["warnings"]]
    assert "It does nothing" in (runs[1] / "report.html").read_text()
    assert "It does nothing" in " ".join(luthier("report", runs[1]).output.split())


def test_a_run_keeps_the_answers_to_all_its_validation_rows(runs):
    report = json.loads((runs[0] / "report.json").read_text())
    lines = (runs[0] / "validation.jsonl").read_text().splitlines()
    assert report["validation"]["n"] == len(lines)
    assert report["validation"]["train"]["n"] == len(lines)
    right = [json.loads(line)["tuned"]["scores"]["accuracy"] for line in lines]
    assert report["validation"]["metrics"]["accuracy"]["value"] == pytest.approx(sum(right) / len(right))


def test_the_model_is_not_needed(runs, tmp_path):
    """Folders without weights compare as well: only what the runs wrote down is read."""
    for run in runs:
        copy = tmp_path / run.name
        copy.mkdir()
        for file in run.glob("*.*"):
            (copy / file.name).write_bytes(file.read_bytes())
    done = luthier("compare", tmp_path / "learned", tmp_path / "idle", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize(("words", "said"), [(["{run}"], "at least two"), (["{run}", "nowhere"], "no such run folder")])
def test_what_cannot_be_compared_is_said_in_a_sentence(words, said, runs, tmp_path):
    done = luthier("compare", *(word.format(run=runs[0]) for word in words), "--out", tmp_path / "out")
    assert done.exit_code == 2
    assert said in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()
