"""`luthier evaluate`: any number of runs, adapters and models asked the same rows by one task, and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from luthier.data.read import ReadOptions
from luthier.errors import DataError
from luthier.evaluate import (
    Difference,
    Evaluation,
    Interval,
    Slice,
    TaskOptions,
    differences,
    sliced,
    stated,
)
from luthier.evaluate.measure import samples
from luthier.evaluate.reads import Read
from luthier.evaluate.verdict import Verdict
from luthier.objectives import Regress
from luthier.run.assess import Ground, assess
from luthier.run.headed import has_head
from luthier.run.show import Show
from luthier.run.targets import Target, target
from luthier.stats import family, interval, paired


@dataclass(frozen=True, slots=True)
class Asked:
    """What `luthier evaluate` was told."""

    data: str | None = None
    """File of the rows; a run's own test rows where there is none."""
    task: str | None = None
    """A YAML file or `module:name`."""
    slices: tuple[str, ...] = ()
    """By what the rows are divided, besides what the task says."""
    input: str | None = None
    output: str | None = None
    base: bool | None = None
    """Whether runs' base models are asked, too; None asks that of a run that stands alone."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One model by one metric on some rows."""

    interval: Interval
    difference: Difference | None
    """From the first model, on the same rows; None for the first."""
    p_family: float = 1.0
    """Its p among all differences that are claimed with it (Holm)."""

    @property
    def seen(self) -> bool:
        """Whether there is a difference, beyond chance among those claimed with it."""
        return self.difference is not None and self.difference.seen_at(self.p_family)


@dataclass(frozen=True, slots=True)
class Part:
    """A slice, and how every model did on it by the metric that decides."""

    slice: Slice
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Compared:
    """Models beside each other."""

    columns: Mapping[str, Evaluation]
    """By name; the others are compared with the first."""
    cells: Mapping[str, Mapping[str, Cell]]
    """By metric, then by model."""
    parts: tuple[Part, ...]
    verdicts: Mapping[str, Verdict]
    """Of runs against their own base."""
    looks: Mapping[str, tuple[Read, ...]]
    """Earlier readings of the rows, when each target came to be judged."""

    @property
    def primary(self) -> str:
        """The metric that decides."""
        return next(iter(self.columns.values())).task.primary


def compared(targets: Sequence[str], asked: Asked, show: Show) -> Compared:
    """Every target on the same rows by one task. Raises DataError where targets have other rows than the first."""
    task = _stated(asked)
    places = [target(name) for name in dict.fromkeys(targets)]
    like = next((one for one in places if one.recipe is not None), None)
    _refuse_apart(places)
    base = asked.base if asked.base is not None else len(places) == 1
    data = asked.data or (task.data if task is not None else None)
    columns: dict[str, Evaluation] = {}
    verdicts: dict[str, Verdict] = {}
    looks: dict[str, tuple[Read, ...]] = {}
    ground: Ground | None = None
    for place in places:
        made = assess(
            place.name,
            data=data,
            reading=_reading(place if place.recipe is not None else like, asked, task),
            asked=task,
            like=like,
            task=ground.task if ground is not None else None,
            options=ground.options if ground is not None else None,
            against_base=base,
            headed=any(one.recipe is not None and has_head(one.recipe) for one in places),
            show=show,
        )
        ground = ground or made.ground
        if made.base is not None and made.verdict is not None:
            columns[f"{place.name} (base)"], verdicts[place.name] = made.base, made.verdict
        columns[place.name], looks[place.name] = made.tuned, made.before
    assert ground is not None, "the command line asks for at least one target"
    _same_rows(columns)
    cuts = sliced(ground.rows, list(dict.fromkeys([*(task.slices if task is not None else ()), *asked.slices])))
    return Compared(columns, _cells(columns), _parts(cuts, columns), verdicts, looks)


def _refuse_apart(places: Sequence[Target]) -> None:
    """Raises DataError, before anything is asked, for runs that say numbers beside runs that say something else."""
    numbers = {one.name: isinstance(one.recipe.objective, Regress) for one in places if one.recipe is not None}
    if len(set(numbers.values())) > 1:
        one, other = (next(name for name, said in numbers.items() if said is which) for which in (True, False))
        raise DataError(f"{one} answers with numbers and {other} does not, so no rows fit both; evaluate them apart")


def _stated(asked: Asked) -> TaskOptions | None:
    """The task that is named, with the columns of the command line over its own."""
    if asked.task is None:
        return None
    found = stated(asked.task)
    return replace(found, input=asked.input or found.input, output=asked.output or found.output)


def _reading(of: Target | None, asked: Asked, task: TaskOptions | None) -> ReadOptions | None:
    """A run's own way of reading under what the task and the command line say; None where these are silent."""
    said = task.reading if task is not None else ReadOptions(input=asked.input, output=asked.output)
    if of is None or of.recipe is None:
        return said
    if said == ReadOptions():
        return None
    changed = {name: value for name in said.__slots__ if (value := getattr(said, name)) != getattr(ReadOptions(), name)}
    return replace(of.recipe.data, **{"limit": None, **changed})


def _same_rows(columns: Mapping[str, Evaluation]) -> None:
    (first, one), *others = columns.items()
    for name, other in others:
        if [(row.id, row.references) for row in one.rows] != [(row.id, row.references) for row in other.rows]:
            raise DataError(f"{name} has other test rows than {first}; name rows for both with --data FILE")


def _cells(columns: Mapping[str, Evaluation]) -> dict[str, dict[str, Cell]]:
    """By metric, then by model. What decides is one family over the models; all else is another."""
    first, *_ = columns.values()
    apart = {name: differences(first, one) for name, one in columns.items() if one is not first}
    found = {(metric, name): each for name, one in apart.items() for metric, each in one.items()}
    primary = first.task.primary
    raised = family({key: one for key, one in found.items() if key[0] == primary})
    raised |= family({key: one for key, one in found.items() if key[0] != primary})
    return {
        metric: {
            name: Cell(one.metrics[metric], found.get((metric, name)), raised.get((metric, name), 1.0))
            for name, one in columns.items()
        }
        for metric in first.metrics
    }


def _parts(cuts: Sequence[Slice], columns: Mapping[str, Evaluation]) -> tuple[Part, ...]:
    """Every slice; the differences on all of them are one family."""
    found = {(at, name): cell for at, cut in enumerate(cuts) for name, cell in _on(cut, columns).items()}
    raised = family({key: one.difference for key, one in found.items() if one.difference is not None})
    cells = {key: replace(cell, p_family=raised.get(key, 1.0)) for key, cell in found.items()}
    return tuple(Part(cut, {name: cells[at, name] for name in columns}) for at, cut in enumerate(cuts))


def _on(cut: Slice, columns: Mapping[str, Evaluation]) -> dict[str, Cell]:
    """Each model on the rows of a slice by the metric that decides."""
    cells: dict[str, Cell] = {}
    first = None
    for name, one in columns.items():
        primary, rows = one.task.primary, [row for row in one.rows if row.id in cut.ids]
        sample = samples(rows, one.task, only=primary)[primary]
        first = first or sample
        rngs = (np.random.default_rng(one.seed) for _ in range(2))
        apart = None if sample is first else paired(first, sample, resamples=one.resamples, rng=next(rngs))
        cells[name] = Cell(interval(sample, resamples=one.resamples, rng=next(rngs)), apart)
    return cells
