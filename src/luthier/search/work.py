"""A search carried out: trials until the budget is spent, the winner confirmed, and the page that says so.

    SEARCH/recipe.yaml          the recipe with the search as it was asked for
           journal.jsonl        every trial, or a database that `storage` names
           trials/0007/         metrics.jsonl of a trial; while it runs, its checkpoint
           confirm/winner-0/    predictions.jsonl on the test rows, by arm and seed
           search.json .html    what was found

Stopped or killed at any moment, the same command goes on. Several processes given the same folder share the search;
whoever ends last confirms.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

from optuna.trial import TrialState
from pydantic import TypeAdapter, ValidationError

from luthier.errors import RunError
from luthier.evaluate import lower_is_better
from luthier.evaluate.forgetting import ForgettingOptions
from luthier.evaluate.verdict import amount
from luthier.recipe import Recipe, to_tree, to_yaml
from luthier.report.search import SearchFound, setting, write
from luthier.run.estimate import Expected, expect
from luthier.run.files import write_json, write_text
from luthier.run.prepare import Prepared, prepare
from luthier.run.show import Show
from luthier.search.confirm import ARMS, Confirmed, confirm, missing
from luthier.search.found import Winner, found, winner_of
from luthier.search.journal import held
from luthier.search.shared import Shared
from luthier.search.space import Dimension, Settings, Stated, outside, own_settings, usual_space
from luthier.search.study import Claimed, Study
from luthier.search.trial import Ended, carry_out, clear, looks_per_epoch, measured
from luthier.train.interrupt import wishes
from luthier.train.log import spoken
from luthier.train.optim import peak_rate
from luthier.types import Json
from luthier.words import counted

GIVE_UP: Final = 3
"""Trials that may fail before one succeeds."""


@dataclass(frozen=True, slots=True)
class Searched:
    """How a search ended."""

    folder: Path
    found: SearchFound | None
    """None where a person stopped it, or other processes are still at it."""
    interrupted: bool


def search(recipe: Recipe, asked: Stated, folder: Path, *, show: Show) -> Searched:
    """Begins the search of a folder or goes on with it. Raises RunError where it holds another, or a run."""
    _check_place(folder)
    prepared = prepare(recipe, show)
    if not prepared.watched:
        raise RunError("a search judges trials on validation rows, and there are none; set data.validation")
    usual = recipe.method.usual_lr(prepared.model.network)
    usual_lr = peak_rate(replace(recipe.train, lr=None), usual)
    space = asked.space or usual_space(recipe, usual_lr)
    own = own_settings(recipe, space, usual_lr)
    folder.mkdir(parents=True, exist_ok=True)
    study = _study(folder, asked, space, prepared)
    if not (folder / "recipe.yaml").exists():
        write_text(folder / "recipe.yaml", to_yaml(replace(recipe, search=_section(asked))))
    study.enqueue(own)
    for ended in study.ended():
        clear(ended)
    shared = Shared(prepared)
    show.say(_begun(study, folder))
    if apart := outside(space, own):
        show.say(apart)
    if not study.exhausted() or study.elsewhere():
        show.say(_foreseen(study, shared))
    if not run_trials(study, shared, show):
        show.say(f"stopped; every trial is kept; go on: luthier search --resume {folder}")
        return Searched(folder, None, interrupted=True)
    if others := study.elsewhere():
        show.say(f"{counted(len(others), 'trial')} still run elsewhere; whoever ends last confirms and reports")
        return Searched(folder, None, interrupted=False)
    return _end(study, shared, own, folder, show)


def finished(folder: Path) -> SearchFound | None:
    """What a search of this folder found, where it went to its end and nothing was tried since; else None.

    A database that machines share is not asked, so a search in one is never known to be finished.
    """
    told, journal = folder / "search.json", folder / "journal.jsonl"
    if not (told.exists() and journal.exists()) or journal.stat().st_mtime_ns > told.stat().st_mtime_ns:
        return None
    try:
        return TypeAdapter(SearchFound).validate_json(told.read_bytes())
    except ValidationError:
        return None


def _study(folder: Path, asked: Stated, space: tuple[Dimension, ...], prepared: Prepared) -> Study:
    recipe, options = prepared.recipe, asked.options
    tree = to_tree(recipe)
    alike: dict[str, Json] = {name: tree[name] for name in tree if name not in ("search", "run")}
    identity: dict[str, Json] = {
        "recipe": sha256(repr(sorted(alike.items())).encode()).hexdigest(),
        "rows": [*sorted(facts.sha256 for facts in prepared.files.values())],
        "space": {one.key: one.told() for one in space},
        "objectives": list(options.objectives),
        "looks": options.looks,
    }
    return Study(
        folder,
        options,
        space,
        maximize=not lower_is_better(prepared.task.primary),
        identity=identity,
        most_looks=round(most_epochs(recipe, space) * looks_per_epoch(recipe, options.looks)),
    )


def _ends(one: Dimension) -> float:
    return max(float(end) for end in one.ends if isinstance(end, int | float))


def _section(asked: Stated) -> dict[str, Json]:
    """The `search:` section as it was asked for."""
    options: dict[str, Json] = {
        name: list(value) if isinstance(value, tuple) else value for name, value in asdict(asked.options).items()
    }
    space: dict[str, Json] = {one.key: one.told() if hasattr(one, "low") else list(one.ends) for one in asked.space}
    return {**{name: value for name, value in options.items() if value is not None}, **space}


def run_trials(study: Study, shared: Shared, show: Show) -> bool:
    """Runs trials until the budget is spent; False where a person stopped it."""
    while True:
        with study.next() as claimed:
            if claimed is None:
                return True
            again = ", taken up where it was cut off" if claimed.resumed else ""
            show.say(f"trial {claimed.trial.number}{again}: {_settings(claimed.settings)}")
            before = wishes()
            ended = carry_out(claimed, shared, study, show)
        if ended.how == "interrupted":
            return False
        show.say(_told(claimed, ended, study, shared.whole.task.primary))
        if wishes() > before:
            return False
        _give_up(study, ended)


def _give_up(study: Study, ended: Ended) -> None:
    """Raises RunError where trial after trial fails, and the reason is not the settings'."""
    states = [one.state for one in study.trials()]
    if ended.how == "failed" and TrialState.COMPLETE not in states and states.count(TrialState.FAIL) >= GIVE_UP:
        raise RunError(f"{GIVE_UP} trials failed and none succeeded; the last: {ended.why}")


def _end(study: Study, shared: Shared, own: Settings, folder: Path, show: Show) -> Searched:
    """Confirms, unless another process does, and reports."""
    higher = not lower_is_better(shared.whole.task.primary)
    winner = winner_of(study, own, higher_is_better=higher)
    with held(folder / "confirm.lock", wait=False) as mine:
        if not mine:
            show.say("another process confirms and reports")
            return Searched(folder, None, interrupted=False)
        confirmed: Confirmed | None = None
        if winner is not None and not winner.own and study.options.seeds and shared.whole.asked:
            place = folder / "confirm" / f"trial-{winner.trial.number:04d}"
            if left := missing(shared, study.options, place):
                show.say(_confirming(winner, study, shared, left))
            confirmed = confirm(shared, winner.settings, study.options, place, show)
            if confirmed is None:
                show.say(f"stopped; go on: luthier search --resume {folder}")
                return Searched(folder, None, interrupted=True)
        made = found(study, shared, own, winner=winner, confirmed=confirmed, folder=folder)
        write_json(folder / "search.json", asdict(made))
        write(folder, made)
    return Searched(folder, made, interrupted=False)


def _begun(study: Study, folder: Path) -> str:
    options, done = study.options, len(study.trials())
    budget = [
        f"{options.most_trials:,} trials" if options.most_trials is not None else "",
        f"{options.minutes:g} minutes" if options.minutes is not None else "",
        f"{options.tokens:,.0f} tokens" if options.tokens is not None else "",
    ]
    tried = ", ".join(f"{one.key} {one.told()}" for one in study.space)
    went = f"; {counted(done, 'trial')} begun already" if done else ""
    return f"search in {folder}: {tried}; at most {' or '.join(filter(None, budget))}{went}"


def _foreseen(study: Study, shared: Shared) -> str:
    """What a trial that is not stopped early takes, and what all of it takes at the most."""
    whole, one = shared.whole.recipe, a_trial(shared, study.options.looks)
    longest = one.cost.seconds * most_epochs(whole, study.space) / whole.train.epochs
    asked, seeds = len(shared.whole.asked), study.options.seeds
    parts = [f"{spoken(at_most(study, one.cost.seconds / max(1, one.size.distinct), longest))} for the trials"]
    if seeds and asked:
        runs = len(ARMS) * seeds
        parts.append(
            f"{spoken(runs * (longest + asked * one.asked_row_s))} for the confirmation ({runs} more trainings: the "
            f"winner and the recipe with {seeds} seeds each, and {counted(asked, 'test row')} asked after each)"
        )
    return f"a whole trial: {one.told()}\nall of it at the most, by that estimate: {', and '.join(parts)}"


def a_trial(shared: Shared, looks: int) -> Expected:
    """A trial that is not stopped early, measured on a micro-batch."""
    whole = shared.whole.recipe
    recipe = measured(whole, looks_per_epoch(whole, looks))
    with shared.trial(replace(recipe, forgetting=ForgettingOptions(measure=False))) as mine:
        return expect(mine)


def at_most(study: Study, a_token_s: float, a_trial_s: float) -> float:
    """Seconds that the budget leaves for trials, none of them stopped early; the last one may run over."""
    options, spent = study.options, study.spent()
    bounds = []
    if options.most_trials is not None:
        bounds.append(a_trial_s * (options.most_trials - spent.trials))
    if options.minutes is not None:
        bounds.append(a_trial_s + max(0.0, 60 * options.minutes - spent.seconds))
    if options.tokens is not None:
        bounds.append(a_trial_s + max(0.0, (options.tokens - spent.distinct) * a_token_s))
    return min(bounds)


def most_epochs(recipe: Recipe, space: tuple[Dimension, ...]) -> float:
    """Of the longest trial."""
    return max([recipe.train.epochs, *(_ends(one) for one in space if one.key == "train.epochs")])


def _told(claimed: Claimed, ended: Ended, study: Study, metric: str) -> str:
    """How a trial ended, and how far the search is."""
    how = {"complete": "", "pruned": ", stopped early", "failed": ", failed"}[ended.how]
    value = "" if ended.value is None else f": {metric} {amount(ended.value, metric)}"
    why = f" ({ended.why})" if ended.why else ""
    most, spent = study.options.most_trials, study.spent()
    of = f" of {most:,}" if most is not None else ""
    so_far = f"{spent.trials:,}{of} done, {spent.distinct:,} tokens, {spoken(spent.seconds)}"
    return f"trial {claimed.trial.number}{how}{value}{why}; {so_far}"


def _confirming(winner: Winner, study: Study, shared: Shared, left: int) -> str:
    seeds, rows = study.options.seeds, counted(len(shared.whole.asked), "test row")
    done = len(ARMS) * seeds - left
    return (
        f"trial {winner.trial.number} did best ({_settings(winner.settings)}); it and the recipe as it stands are "
        f"trained anew with {seeds} seeds and asked {rows}"
        + (f"; of these {counted(2 * seeds, 'run')} {done} had been made before" if done else "")
    )


def _settings(settings: Settings) -> str:
    return ", ".join(f"{key.partition('.')[2]} {setting(value)}" for key, value in settings.items())


def _check_place(folder: Path) -> None:
    """Raises RunError where something else is there."""
    if (folder / "metrics.jsonl").exists() or (folder / "rows.jsonl").exists():
        raise RunError(f"{folder}: holds a run; name another folder for the search with --out")
    if any(path.is_file() for path in (folder, *folder.absolute().parents)):
        raise RunError(f"{folder}: is a file, or lies below one; name a folder with --out")
