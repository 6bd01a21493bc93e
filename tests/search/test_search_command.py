"""`luthier search` as a newcomer meets it: trials on a tiny model, an end that does not flatter, a page and JSON."""

import json
import signal
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from luthier.cli import app
from luthier.report.search import ranked, rate_chart, render
from luthier.search import work

sys.path.insert(0, str(Path(__file__).parent))
from made_search import SEARCH_CONFIRMED, SEARCH_EQUAL


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def words(base, rows, out, *more):
    own = ["model.max_length=128", "model.dtype=float32", "evaluate.metric=loss", "evaluate.resamples=200"]
    quick = ["train.epochs=0.5", "train.examples_per_step=8", "search.looks=2", f"run={out}-run"]
    return ["search", "--data", rows, "--model", base, "--out", out, *own, *quick, *more]


@pytest.fixture(scope="module")
def searched(base, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("searches") / "animals"
    space = ["method=full", "search.lr=log(1e-5, 1e-2)", "search.batch=[4, 8]", "train.lr=1e-5"]
    done = luthier(*words(base, rows, folder, *space, "--trials", 4, "--seeds", 3))
    assert done.exit_code == 0, done.output
    return folder, done.output


def test_a_better_rate_is_found_and_confirmed_on_the_test_rows(searched):
    folder, said = searched
    told = json.loads((folder / "search.json").read_text())
    assert (told["word"], told["keep"]) == ("better", False), told["sentences"]
    assert "train with it: luthier train" in said
    sure = told["confirmation"]
    assert sure["high"] < 0, "the loss fell"
    assert len(sure["seeds"]) == len(sure["recipe"]) == len(sure["winner"]) == 3
    assert sure["rows"] == 12
    assert "chance chose it" in " ".join(told["sentences"])
    assert "luthier train" in said
    assert "for the confirmation (6 more trainings" in said, "told before the first trial"
    assert said.index("6 more trainings") < said.index("trial 0")


def test_the_folder_holds_what_was_promised_and_no_checkpoint(searched):
    folder, _ = searched
    for name in ("recipe.yaml", "journal.jsonl", "search.json", "search.html", "trials/0000/metrics.jsonl"):
        assert (folder / name).is_file(), name
    assert list(folder.glob("confirm/*/winner-*/predictions.jsonl"))
    assert not list(folder.rglob("*.safetensors"))
    section = yaml.safe_load((folder / "recipe.yaml").read_text())["search"]
    assert section["train.lr"] == "log(1e-05, 0.01)"
    assert section["trials"] == 4


def test_the_same_search_again_runs_nothing_and_ends_alike(searched, monkeypatch):
    folder, _ = searched
    before, journal = json.loads((folder / "search.json").read_text()), (folder / "journal.jsonl").read_bytes()
    monkeypatch.setattr(work, "prepare", None)
    done = luthier("search", "--resume", folder, "--json")
    assert done.exit_code == 0, done.output
    monkeypatch.undo()
    assert "is finished" in luthier("search", "--resume", folder).output
    same = luthier("search", "--resume", folder, "--trials", 4)
    assert same.exit_code == 0, same.output
    assert "estimate" not in same.output, "nothing is to be run"
    assert "trained anew" not in same.output
    again = json.loads(done.stdout)
    assert again.pop("page") == str(folder / "search.html")
    assert again == before
    assert (folder / "journal.jsonl").read_bytes().startswith(journal[:-1])


def test_the_page_holds_every_trial_and_asks_the_network_for_nothing(searched):
    folder, _ = searched
    page = (folder / "search.html").read_text()
    assert page.count('<th scope="row">') >= 4 + 3
    assert "http://" not in page
    assert "https://" not in page


def test_trials_are_the_same_whatever_the_test_rows_say(base, rows, tmp_path):
    """Test rows with other answers change no trial; a control changes the validation rows."""

    def values(name, part, answers):
        lines = ["text,label", *(f"it says {sound} x{at},{answer}" for at, (sound, answer) in enumerate(answers))]
        (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
        plain = tmp_path / "plain.csv"
        plain.write_text("text,label\nit says woof z1,dog\nit says miaow z2,cat\nit says moo z3,cow\n")
        files = {"validation": plain, "test": plain} | {part: tmp_path / f"{name}.csv"}
        given = [one for key, path in files.items() for one in (f"data.{key}={path}",)]
        out = tmp_path / name
        done = luthier(*words(base, rows, out, *given, "search.rank=[2, 4]", "--trials", 2, "--seeds", 0, "--json"))
        assert done.exit_code == 0, done.output
        return [one["value"] for one in json.loads(done.stdout)["trials"]]

    right = [("woof", "dog"), ("miaow", "cat"), ("moo", "cow")]
    wrong = [("woof", "cow"), ("miaow", "dog"), ("moo", "cat")]
    assert values("a", "test", right) == values("b", "test", wrong)
    assert values("c", "validation", right) != values("d", "validation", wrong)


@pytest.mark.parametrize("last", [False, True], ids=["in a step", "in the last step"])
def test_a_search_stopped_in_a_trial_goes_on_to_what_it_would_have_been(base, rows, tmp_path, monkeypatch, last):
    space = ["search.lr=log(1e-4, 1e-2)", "--trials", 2, "--seeds", 0]
    whole = luthier(*words(base, rows, tmp_path / "whole", *space, "--json"))
    assert whole.exit_code == 0, whole.output
    stepped = work.Show.stage

    def stop_once(self, title, done, total, **more):
        there = title == "trial 0" and done == total if last else title == "trial 1" and done == 2
        if there and not (tmp_path / "stopped").exists():
            (tmp_path / "stopped").touch()
            signal.raise_signal(signal.SIGINT)
        stepped(self, title, done, total, **more)

    monkeypatch.setattr(work.Show, "stage", stop_once)
    cut = luthier(*words(base, rows, tmp_path / "cut", *space))
    assert cut.exit_code == 130, cut.output
    assert "--resume" in cut.output
    again = luthier("search", "--resume", tmp_path / "cut", "--json")
    assert again.exit_code == 0, again.output
    one, other = json.loads(whole.stdout), json.loads(again.stdout)
    assert [t["value"] for t in other["trials"]] == [t["value"] for t in one["trials"]]
    assert [t["looks"] for t in other["trials"]] == [t["looks"] for t in one["trials"]]


def test_several_objectives_leave_a_list_and_stop_nothing_early(base, rows, tmp_path):
    more = [
        "search.rank=[2, 8]",
        "--objective",
        "quality",
        "--objective",
        "size",
        "--trials",
        2,
        "--seeds",
        0,
        "--json",
    ]
    done = luthier(*words(base, rows, tmp_path / "s", *more))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["objectives"] == ["quality", "size"]
    assert {one["state"] for one in told["trials"]} == {"complete"}
    assert told["word"] == "a choice"
    smallest = min(told["trials"], key=lambda one: one["size"])["number"]
    assert smallest in told["best"]


def test_what_is_asked_wrongly_is_told(base, rows, tmp_path):
    done = luthier(*words(base, rows, tmp_path / "s", "search.rnak=[2, 4]", "search.lr=steep"))
    assert done.exit_code == 2
    assert "2 problems" in done.output
    assert luthier("search", "--resume", tmp_path / "none").exit_code == 2


def test_where_optuna_is_missing_it_is_said(base, rows, tmp_path, monkeypatch):
    monkeypatch.setattr(import_module("luthier.cli.search"), "find_spec", lambda name: None)
    done = luthier(*words(base, rows, tmp_path / "s"))
    assert done.exit_code == 2
    assert "pip install 'luthier[search]'" in done.output


def test_a_rate_finder_runs(base, rows, tmp_path):
    done = luthier(*words(base, rows, tmp_path / "s", "--lr-only", "--steps", 4, "--json"))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert len(told["tried"]) == 7
    assert told["recommended"] is not None
    assert not (tmp_path / "s").exists()


def test_a_memory_fit_runs(base, rows, tmp_path):
    done = luthier(*words(base, rows, tmp_path / "s", "--memory", "--json"))
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["recommended"] in [None, *(one["tokens"] for one in told["budgets"])]
    assert (told["recommended"] is None) == (len(told["budgets"]) == 1)


def test_where_nothing_better_was_found_the_recipe_is_to_be_kept(base, rows, tmp_path):
    """No rate that is tried changes a weight, and none is the recipe's own."""
    near = ["evaluate.metric=accuracy", "search.lr=[1e-15, 2e-15]", "train.lr=3e-15", "--trials", 2, "--seeds", 3]
    done = luthier(*words(base, rows, tmp_path / "s", *near))
    assert done.exit_code == 0, done.output
    told = json.loads((tmp_path / "s" / "search.json").read_text())
    assert (told["word"], told["keep"]) == ("nothing better", True)
    assert told["confirmation"] is not None
    assert f"keep the recipe: luthier train {tmp_path / 's' / 'recipe.yaml'}\n" in done.output
    assert "Keep the recipe" in (tmp_path / "s" / "search.html").read_text()


def test_equal_settings_end_with_nothing_better():
    assert "nothing better" in render(SEARCH_EQUAL).lower()
    assert SEARCH_EQUAL.confirmation is None


def test_the_page_ranks_trials_by_what_decides_and_draws_the_rates():
    assert [one.number for one in ranked(SEARCH_CONFIRMED)][:2] == [2, 0]
    chart = rate_chart(SEARCH_CONFIRMED)
    assert len(chart.marks) == len(SEARCH_CONFIRMED.trials) - 1, "the failed one has no value"
    assert {mark.style for mark in chart.marks} == {"own", "winner", "stopped", "complete"}


def test_the_legend_names_only_what_is_drawn():
    drawn = replace(SEARCH_CONFIRMED, trials=tuple(replace(one, own=False) for one in SEARCH_CONFIRMED.trials))
    assert "the recipe's own</span>" in render(SEARCH_CONFIRMED)
    assert "the recipe's own</span>" not in render(drawn)
    assert "went to its end</span>" in render(drawn)
