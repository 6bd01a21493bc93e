"""The winner beside the recipe as it stands: both trained anew with several seeds, and judged on the test rows.

This is the only place of a search that asks the test rows. An arm that was measured before is not run again.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from luthier.evaluate import Evaluation, differences, evaluation, read_predictions, write_predictions
from luthier.evaluate.measure import Row, samples
from luthier.methods import restore
from luthier.run.assess import judge
from luthier.run.looks import looked
from luthier.run.show import Show
from luthier.run.steps import fitted, hooks
from luthier.search.options import SearchOptions
from luthier.search.shared import Shared
from luthier.search.space import Settings, applied
from luthier.search.trial import cost_of, looks_per_epoch, measured
from luthier.stats import Difference, crossed, paired
from luthier.train.interrupt import wishes

ARMS: Final = ("recipe", "winner")
ANSWERS: Final = "predictions.jsonl"
"""In the folder of a run that is measured."""


@dataclass(frozen=True, slots=True)
class Confirmed:
    """How the two did, seed by seed."""

    metric: str
    rows: int
    seeds: tuple[int, ...]
    recipe: tuple[float, ...]
    """The metric of the recipe as it stands, by seed."""
    winner: tuple[float, ...]
    difference: Difference
    """Winner minus recipe, for other rows and other seeds."""
    seconds: float
    distinct: int
    read_before: int
    """How often these test rows were read before, by any run."""


def confirm(shared: Shared, settings: Settings, options: SearchOptions, folder: Path, show: Show) -> Confirmed | None:
    """Trains and judges both with each seed; None where a person stopped it, and the same call goes on."""
    seeds = _seeds(shared, options)
    measured_arms: dict[str, list[Evaluation]] = {arm: [] for arm in ARMS}
    folder.mkdir(parents=True, exist_ok=True)
    before = looked(shared.whole, folder)
    for seed in seeds:
        for arm in ARMS:
            place = folder / f"{arm}-{seed}"
            found = _arm(shared, {} if arm == "recipe" else settings, seed, options, place, show)
            if found is None:
                return None
            measured_arms[arm].append(found)
    costs = [cost_of(folder / f"{arm}-{seed}") for arm in ARMS for seed in seeds]
    own, won = (measured_arms[arm] for arm in ARMS)
    return Confirmed(
        metric=shared.whole.task.primary,
        rows=len(own[0].rows),
        seeds=seeds,
        recipe=tuple(one.primary.value for one in own),
        winner=tuple(one.primary.value for one in won),
        difference=apart(own, won),
        seconds=sum(one["seconds"] for one in costs),
        distinct=round(sum(one["distinct"] for one in costs)),
        read_before=len(before),
    )


def missing(shared: Shared, options: SearchOptions, folder: Path) -> int:
    """How many of its runs were not measured yet."""
    places = [folder / f"{arm}-{seed}" for arm in ARMS for seed in _seeds(shared, options)]
    return sum(not (place / ANSWERS).exists() for place in places)


def _seeds(shared: Shared, options: SearchOptions) -> tuple[int, ...]:
    first = shared.whole.recipe.train.seed
    return tuple(range(first, first + options.seeds))


def apart(own: Sequence[Evaluation], won: Sequence[Evaluation]) -> Difference:
    """Winner minus recipe over all seeds, paired row by row and seed by seed."""
    task = own[0].task
    both = [_together(each) for each in (own, won)]
    first, second = (samples(rows, task, only=task.primary)[task.primary] for rows in both)
    over_rows = paired(first, second, resamples=own[0].resamples, rng=np.random.default_rng(own[0].seed))
    by_seed = [
        differences(one, other, only=task.primary)[task.primary].value for one, other in zip(own, won, strict=True)
    ]
    return crossed(over_rows, len({row.group for row in both[0]}), by_seed)


def _together(each: Sequence[Evaluation]) -> list[Row]:
    """The rows of all seeds; those of one row, or of its group, belong together."""
    return [
        replace(row, group=f"group {row.group}" if row.group else f"row {row.id}") for one in each for row in one.rows
    ]


def _arm(
    shared: Shared, settings: Settings, seed: int, options: SearchOptions, place: Path, show: Show
) -> Evaluation | None:
    """One run judged on the test rows, or read back where it was; None where a person stopped it."""
    kept, task, judging = place / ANSWERS, shared.whole.task, shared.whole.recipe.evaluate
    if kept.exists():
        rows, _ = read_predictions(kept)
        return evaluation(rows, task, resamples=judging.resamples, seed=judging.seed)
    whole = shared.whole.recipe
    recipe = measured(applied(whole, {**settings, "train.seed": seed}), looks_per_epoch(whole, options.looks))
    with shared.trial(recipe) as mine:
        with show.stages():
            calls = hooks(
                mine,
                stepped=lambda record: show.stage(place.name, record.step, record.steps, unit="step"),
                evaluated=lambda record: None,
                say=show.say,
            )
            before = wishes()
            result = fitted(mine, place, calls, resumed=True)
        if result.interrupted or wishes() > before:
            return None
        restore(mine.model.network, place / ("best" if (place / "best").exists() else "last"))
        found = judge(mine.model, shared.whole.asked, task, judging, f"{place.name} on the test rows", show)
    write_predictions(kept, found.rows)
    for name in ("last", "best"):
        (place / name).unlink(missing_ok=True)
    shutil.rmtree(place / "checkpoints", ignore_errors=True)
    return found
