"""Several runs side by side, from their folders alone: paired differences on the test rows that all of them answered.

A row is shared where every run has it by its id with the same question and the same right answers; only there are two
models comparable. Each pair of runs is one claim by the metric that decides, and all pairs are one family (Holm).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from luthier.errors import RunError
from luthier.evaluate import Row, Task, read_predictions
from luthier.evaluate.measure import samples
from luthier.report.folder import Run, read_run
from luthier.report.worse import better
from luthier.stats import Difference, Interval, Sample, holm, interval, paired
from luthier.types import Json

RESAMPLES = 2000
_TASK: TypeAdapter[Task] = TypeAdapter(Task)


@dataclass(frozen=True, slots=True)
class Side:
    """One run."""

    name: str
    run: Run
    task: Task
    rows: Mapping[str, Row]
    """What its tuned model said to each test row, by id."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two runs by one metric, on the shared rows."""

    first: str
    second: str
    metric: str
    difference: Difference
    """Second minus first."""
    p_family: float
    """p, raised for all that was claimed with it."""

    @property
    def seen(self) -> bool:
        """Whether the interval excludes 0, and the corrected test agrees."""
        return self.difference.seen_at(self.p_family)

    @property
    def ahead(self) -> str | None:
        """The better of the two, where a difference was seen and the metric has a good end."""
        wanted = better(self.metric)
        if not self.seen or wanted == "neither":
            return None
        return self.second if (self.difference.value > 0) == (wanted == "higher") else self.first


@dataclass(frozen=True, slots=True)
class Compared:
    """Runs beside each other."""

    sides: tuple[Side, ...]
    primary: str
    shared: tuple[str, ...]
    """Ids of the test rows that all of them answered."""
    metrics: Mapping[str, Mapping[str, Interval]]
    """By metric, then by run; the one that decides first."""
    pairs: tuple[Pair, ...]
    """Every pair, by the metric that decides."""
    others: tuple[Pair, ...]
    """Every run against the first, by the other metrics: a family of their own."""
    doubts: tuple[str, ...]
    """Why the comparison is weaker than it looks, with counts."""


def compare(folders: Sequence[Path]) -> Compared:
    """Reads the folders and compares what they hold.

    Raises RunError where a folder holds no finished run with answers, the runs were judged differently, or they share
    no test row.
    """
    if len(folders) < 2 or len({folder.resolve() for folder in folders}) < len(folders):
        raise RunError(f"name at least two runs, each once; these are {', '.join(map(str, folders)) or 'none'}")
    sides = tuple(_side(folder, name) for folder, name in zip(folders, names(folders), strict=True))
    primary = _primary(sides)
    shared = _shared(sides)
    if not shared:
        raise RunError(_nothing_shared(sides))
    measured = {side.name: _samples(side, shared) for side in sides}
    common = [name for name in measured[sides[0].name] if all(name in one for one in measured.values())]
    ordered = sorted(common, key=lambda name: name != primary)
    first = sides[0].name
    return Compared(
        sides=sides,
        primary=primary,
        shared=shared,
        metrics={
            metric: {name: interval(one[metric], resamples=RESAMPLES, rng=_random()) for name, one in measured.items()}
            for metric in ordered
        },
        pairs=_pairs([(a.name, b.name, primary) for a, b in combinations(sides, 2)], measured),
        others=_pairs([(first, b.name, metric) for metric in ordered[1:] for b in sides[1:]], measured),
        doubts=tuple(_doubts(sides, shared)),
    )


def names(folders: Sequence[Path]) -> list[str]:
    """What the runs are called: the folder's name where that tells them apart, else its path."""
    short = [folder.resolve().name for folder in folders]
    return short if len(set(short)) == len(short) else [str(folder) for folder in folders]


def as_json(found: Compared) -> dict[str, Json]:
    """For machines."""
    return {
        "runs": {side.name: str(side.run.folder) for side in found.sides},
        "metric": found.primary,
        "n": len(found.shared),
        "doubts": list(found.doubts),
        "metrics": {
            metric: {name: {"value": one.value, "low": one.low, "high": one.high} for name, one in runs.items()}
            for metric, runs in found.metrics.items()
        },
        "pairs": [_pair_json(pair) for pair in (*found.pairs, *found.others)],
    }


def _pair_json(pair: Pair) -> Json:
    found = pair.difference
    return {
        "first": pair.first,
        "second": pair.second,
        "metric": pair.metric,
        "difference": {"value": found.value, "low": found.low, "high": found.high, "p": found.p},
        "p_family": pair.p_family,
        "seen": pair.seen,
        "ahead": pair.ahead,
    }


def _side(folder: Path, name: str) -> Side:
    run, task = read_run(folder), _task(folder / "report.json")
    rows, _ = read_predictions(folder / "predictions.jsonl")
    return Side(name, run, task, {row.id: row for row in rows})


def _task(path: Path) -> Task:
    asked = json.loads(path.read_text(encoding="utf-8")).get("task") or {}
    try:
        return _TASK.validate_python({**asked, "labels": asked.get("labels") or ()})
    except ValidationError as error:
        raise RunError(
            f"{path}: does not say what was asked ({error.error_count()} problems), so the run cannot be compared; "
            "was it made without test rows?"
        ) from None


def _primary(sides: Sequence[Side]) -> str:
    """The metric that decides in every run. Raises RunError where it is not one."""
    judged = {side.name: f"{side.task.primary} ({side.task.kind})" for side in sides}
    if len(set(judged.values())) > 1:
        told = ", ".join(f"{name} by {what}" for name, what in judged.items())
        raise RunError(f"the runs were judged differently: {told}; `luthier evaluate` judges them anew by one task")
    return sides[0].task.primary


def _shared(sides: Sequence[Side]) -> tuple[str, ...]:
    first, *others = sides
    return tuple(
        name for name, row in first.rows.items() if all(_same(row, side.rows.get(name)) for side in others)
    )  # fmt: skip


def _same(one: Row, other: Row | None) -> bool:
    return other is not None and (one.question, one.references) == (other.question, other.references)


def _nothing_shared(sides: Sequence[Side]) -> str:
    counts = ", ".join(f"{side.name} has {len(side.rows):,}" for side in sides)
    return (
        f"the runs share no test row ({counts}), so there is nothing to compare; `luthier evaluate` asks them the same "
        "rows: luthier evaluate RUN RUN --data FILE"
    )


def _doubts(sides: Sequence[Side], shared: Sequence[str]) -> Iterator[str]:
    counts = {side.name: len(side.rows) for side in sides}
    if any(count > len(shared) for count in counts.values()):
        told = ", ".join(f"{name} {count:,}" for name, count in counts.items())
        yield f"Not all test rows are shared: {len(shared):,} are compared, of {told}."
    other = [name for name in sides[0].rows if _altered(name, sides)]
    if other:
        yield f"{len(other):,} rows have the same id and another text or answer, {other[0]} for one, and are left out."
    if len({side.task.labels for side in sides}) > 1:
        told = ", ".join(f"{side.name} {len(side.task.labels):,}" for side in sides)
        yield f"The runs chose between different labels ({told}): fewer are easier."
    learned = {side.name: _learned(side) & set(shared) for side in sides}
    for name, seen in learned.items():
        if seen:
            yield f"{name} was trained on {len(seen):,} of the shared rows, which flatters it."


def _altered(name: str, sides: Sequence[Side]) -> bool:
    known = [side.rows[name] for side in sides if name in side.rows]
    return any(not _same(known[0], row) for row in known[1:])


def _learned(side: Side) -> set[str]:
    return {row.id for row in side.run.rows if row.split == "train" and row.fate != "left out"}


def _samples(side: Side, shared: Sequence[str]) -> dict[str, Sample]:
    return samples([side.rows[name] for name in shared], side.task)


def _pairs(claims: Sequence[tuple[str, str, str]], measured: Mapping[str, Mapping[str, Sample]]) -> tuple[Pair, ...]:
    """All claims as one family."""
    found = [paired(measured[a][m], measured[b][m], resamples=RESAMPLES, rng=_random()) for a, b, m in claims]
    raised = holm([one.p for one in found])
    return tuple(Pair(a, b, m, one, p) for (a, b, m), one, p in zip(claims, found, raised.tolist(), strict=True))


def _random() -> np.random.Generator:
    return np.random.default_rng(0)
