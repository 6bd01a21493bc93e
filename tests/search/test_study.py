"""Trials are drawn, stopped early, counted and taken up again; nothing here trains: the objective is a formula."""

import json
import subprocess
import sys
import threading
from math import log10

import pytest
from optuna.trial import TrialState

from luthier.errors import RecipeError, RunError
from luthier.search.journal import mend
from luthier.search.options import SearchOptions
from luthier.search.space import Among, Between, outside
from luthier.search.study import Study, suggested
from luthier.search.work import at_most

SPACE = (Between("train.lr", 1e-5, 1e-1, log=True), Among("method.rank", (4, 8, 16)))
OWN = {"train.lr": 1e-4, "method.rank": 16}
PEAK = 3e-3


def opened(folder, *, space=SPACE, identity=None, **options):
    settings = SearchOptions(**{"trials": 8, **options})
    return Study(folder, settings, space, maximize=True, identity=identity or {"rows": ["a"]}, most_looks=6)


def landscape(settings):
    """One hill at PEAK, and a little for a higher rank."""
    return 0.9 - 0.1 * (log10(settings["train.lr"]) - log10(PEAK)) ** 2 + 0.001 * settings["method.rank"]


def ended(study, claimed, looks=6):
    """Reports a curve that rises to the landscape's value; stops where it is told to."""
    for look in range(1, looks + 1):
        claimed.trial.report(landscape(claimed.settings) * look / looks, look)
        if look < looks and claimed.trial.should_prune():
            study.study.tell(claimed.trial, state=TrialState.PRUNED)
            return
    claimed.trial.set_user_attr("cost", {"seconds": 1.0, "distinct": 100, "logical": 150})
    study.study.tell(claimed.trial, landscape(claimed.settings))


def carried_out(study):
    while True:
        with study.next() as claimed:
            if claimed is None:
                return study.trials()
            ended(study, claimed)


def test_the_peak_of_a_planted_landscape_is_found(tmp_path):
    study = opened(tmp_path, trials=25)
    study.enqueue(OWN)
    carried_out(study)
    assert abs(log10(study.study.best_params["train.lr"] / PEAK)) < 0.35


def test_the_recipe_comes_first_and_then_its_learning_rate_alone(tmp_path):
    study = opened(tmp_path, trials=3)
    study.enqueue(OWN)
    study.enqueue(OWN)
    assert [one.params["train.lr"] for one in carried_out(study)] == pytest.approx([1e-4, 1e-4 / 3, 3e-4])
    assert {one.params["method.rank"] for one in study.trials()} == {16}


def test_a_setting_of_the_recipe_outside_the_space_is_drawn(tmp_path):
    study = opened(tmp_path, trials=2)
    own = {"train.lr": 1.0, "method.rank": 16}
    study.enqueue(own)
    first = carried_out(study)[0].params
    assert 1e-5 <= first["train.lr"] <= 1e-1
    assert first["method.rank"] == 16
    assert "train.lr=1.0 (log(1e-05, 0.1) is tried)" in outside(SPACE, own)
    assert "method.rank" not in outside(SPACE, own)
    assert outside(SPACE, OWN) == ""


@pytest.mark.parametrize("pruner", ["asha", "hyperband"])
def test_trials_that_do_badly_are_stopped_early(tmp_path, pruner):
    states = [one.state for one in carried_out(opened(tmp_path, trials=20, pruner=pruner))]
    assert states.count(TrialState.PRUNED) >= 5
    assert states.count(TrialState.COMPLETE) >= 2


def test_control_without_a_pruner_none_is(tmp_path):
    assert {one.state for one in carried_out(opened(tmp_path, pruner="none"))} == {TrialState.COMPLETE}


def test_the_same_seed_draws_the_same_trials_and_another_seed_others(tmp_path):
    drawn = [
        [one.params for one in carried_out(opened(tmp_path / name, seed=seed))]
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_search_cut_off_after_every_trial_draws_what_one_never_stopped_draws(tmp_path):
    whole = carried_out(opened(tmp_path / "whole"))
    for _ in range(8):
        study = opened(tmp_path / "cut")
        with study.next() as claimed:
            ended(study, claimed)
    assert [one.params for one in opened(tmp_path / "cut").trials()] == [one.params for one in whole]


def test_a_trial_that_was_cut_off_is_taken_up_with_its_number_and_settings(tmp_path):
    study = opened(tmp_path)
    with study.next() as first:
        first.trial.report(0.5, 1)
    with opened(tmp_path).next() as again:
        assert again.resumed
        assert (again.trial.number, again.settings) == (first.trial.number, first.settings)
        assert again.folder == first.folder


def test_a_trial_cut_off_before_it_was_drawn_is_drawn_as_it_would_have_been(tmp_path):
    whole = carried_out(opened(tmp_path / "whole"))
    study = opened(tmp_path / "cut")
    study.study.ask()
    with study.next() as claimed:
        assert claimed.resumed
        assert claimed.settings == whole[0].params


def test_control_a_trial_that_somebody_is_at_is_left_to_them(tmp_path):
    one, other = opened(tmp_path), opened(tmp_path)
    with one.next() as first, other.next() as second:
        assert not second.resumed
        assert first.trial.number != second.trial.number


def test_a_trial_of_another_machine_is_not_taken_up(tmp_path):
    study = opened(tmp_path)
    with study.next() as first:
        first.trial.set_user_attr("host", "elsewhere")
    with study.next() as second:
        assert not second.resumed
    assert len(study.elsewhere()) == 2


def test_a_trial_that_is_still_being_drawn_is_nobody_elses(tmp_path, monkeypatch):
    one, other, taken = opened(tmp_path), opened(tmp_path), []

    def look() -> None:
        with other.next() as claimed:
            taken.append((claimed.trial.number, claimed.resumed))

    meanwhile = threading.Thread(target=look)

    def slowly(trial, dimension):
        if meanwhile.ident is None:
            meanwhile.start()
            meanwhile.join(0.5)
        return suggested(trial, dimension)

    monkeypatch.setattr("luthier.search.study.suggested", slowly)
    with one.next() as mine:
        meanwhile.join()
        assert (mine.trial.number, mine.resumed) == (0, False)
    assert taken == [(1, False)]


WORKER = """
import sys; sys.path.insert(0, {here!r})
from pathlib import Path
from test_study import carried_out, opened
study = opened(Path({folder!r}), trials=14)
while True:
    with study.next() as claimed:
        if claimed is None: break
        from test_study import ended; ended(study, claimed); print(claimed.trial.number, flush=True)
"""


def test_two_processes_share_a_journal_and_no_trial_is_run_twice(tmp_path):
    from pathlib import Path

    text = WORKER.format(here=str(Path(__file__).parent), folder=str(tmp_path))
    workers = [subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    told = [[int(line) for line in worker.communicate(timeout=120)[0].split()] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted([*told[0], *told[1]]) == list(range(14))
    assert all(one.state in (TrialState.COMPLETE, TrialState.PRUNED) for one in opened(tmp_path).trials())


def test_a_database_by_url_holds_a_search_too(tmp_path):
    url = f"sqlite:///{tmp_path / 'trials.db'}"
    carried_out(opened(tmp_path / "a", storage=url, trials=3))
    assert len(opened(tmp_path / "a", storage=url, trials=3).trials()) == 3
    assert not (tmp_path / "a" / "journal.jsonl").exists()


def test_a_storage_that_does_not_open_is_told_without_its_password(tmp_path):
    with pytest.raises(RecipeError, match=r"search\.storage") as caught:
        opened(tmp_path, storage="nonsense://me:secret@host/base")
    assert "secret" not in str(caught.value)


def test_another_search_in_the_same_folder_is_refused_by_what_differs(tmp_path):
    opened(tmp_path)
    with pytest.raises(RunError, match="another rows"):
        opened(tmp_path, identity={"rows": ["b"]})


def test_a_line_that_a_killed_process_half_wrote_is_cut_off(tmp_path):
    study = opened(tmp_path)
    carried_out(study)
    journal = tmp_path / "journal.jsonl"
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"op_code":4,"wor')
    again = opened(tmp_path, trials=9)
    assert len(carried_out(again)) == 9
    for line in journal.read_text().splitlines():
        json.loads(line)
    journal.write_bytes(whole)
    mend(journal)
    assert journal.read_bytes() == whole


@pytest.mark.parametrize(("budget", "trials"), [({"minutes": 0.05}, 3), ({"tokens": 500}, 5), ({"trials": 4}, 4)])
def test_a_budget_ends_the_search_over_all_its_sittings(tmp_path, budget, trials):
    options = {"trials": None, "pruner": "none", **budget}
    for _ in range(3):
        study = opened(tmp_path, **options)
        with study.next() as claimed:
            if claimed is not None:
                ended(study, claimed)
    assert len(carried_out(opened(tmp_path, **options))) == trials


@pytest.mark.parametrize(
    ("budget", "seconds"),
    [({"trials": 5}, 30), ({"trials": None, "minutes": 2}, 126), ({"trials": None, "tokens": 1000}, 26)],
)
def test_what_all_trials_take_at_the_most_is_the_budgets(tmp_path, budget, seconds):
    """A token takes 0.02 s, a trial 6 s; the last one may run over minutes and tokens."""
    assert at_most(opened(tmp_path, **budget), 0.02, 6.0) == pytest.approx(seconds)
    both = opened(tmp_path / "both", **{**budget, "trials": 2})
    assert at_most(both, 0.02, 6.0) == pytest.approx(12), "what ends first"


def test_settings_tried_before_are_known(tmp_path):
    study = opened(tmp_path, space=(Among("method.rank", (4, 8)),), trials=6)
    twins = 0
    for _ in range(6):
        with study.next() as claimed:
            twin = study.twin(claimed)
            twins += twin is not None
            study.study.tell(claimed.trial, float(claimed.settings["method.rank"]))
    assert twins == 4
