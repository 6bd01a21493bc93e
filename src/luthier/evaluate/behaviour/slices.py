"""Where a model fails more: the failure rate of all invariance tests by length, class, language and any column.

Slices describe: their intervals are not corrected for how many there are. Values with few rows are named, not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from luthier.checks.language import UNSURE, installed, language
from luthier.errors import DataError
from luthier.evaluate.behaviour.cases import wish
from luthier.evaluate.behaviour.perturbation import Perturbation
from luthier.evaluate.behaviour.rates import Judged, Rate, of_base, of_tuned, rate
from luthier.types import Example
from luthier.words import closest

FEWEST = 20
"""Rows of a value from which its rate is told."""
LONGEST = 60
"""Characters of a value that are shown."""

By: TypeAlias = Callable[[Example], str]


@dataclass(frozen=True, slots=True)
class SliceLine:
    """The rows of one value."""

    value: str
    rows: int
    tuned: Rate
    base: Rate | None


@dataclass(frozen=True, slots=True)
class Cut:
    """The rows divided by one column or property."""

    column: str
    lines: tuple[SliceLine, ...]
    """Values with at least FEWEST rows, the most failures first."""
    few: tuple[tuple[str, int], ...]
    """(value, rows) of those with fewer, the most rows first."""


def cuts(
    judged: Sequence[Judged], perturbations: Mapping[str, Perturbation], columns: Sequence[str], *, seed: int
) -> tuple[Cut, ...]:
    """The rows divided in every way that there is. Raises DataError for a column that no row has."""
    rows = list({one.case.row.id: one.case.row for one in judged}.values())
    invariant = [one for one in judged if perturbations[one.case.name].expects == "same"]
    return tuple(_cut(name, by, rows, invariant, seed) for name, by in _ways(rows, columns).items())


def check_columns(rows: Sequence[Example], columns: Sequence[str]) -> None:
    """Raises DataError for a column that no row has."""
    known = sorted({column for row in rows for column in row.meta})
    for column in columns:
        if column not in known:
            hint = closest(column, known) or f"; there are {', '.join(known) or 'none besides input and answer'}"
            raise DataError(f"--slice {column}: no row has that column{hint}")


def _ways(rows: Sequence[Example], columns: Sequence[str]) -> dict[str, By]:
    found: dict[str, By] = {"length": _by_length(rows)}
    if all(row.label is not None for row in rows):
        found["class"] = lambda row: row.label or ""
    if installed():
        found["language"] = lambda row: _language(wish(row) or "")
    return found | {column: _by_column(column) for column in columns}


def _by_length(rows: Sequence[Example]) -> By:
    """Three parts of about as many rows, by words; two where three would be too small to tell."""
    lengths = [len((wish(row) or "").split()) for row in rows]
    parts = (1 / 3, 2 / 3) if len(rows) >= 4 * FEWEST else (1 / 2,)
    edges = [int(edge) for edge in np.quantile(lengths or [0], parts)]

    def part(row: Example) -> str:
        length = len((wish(row) or "").split())
        if length <= edges[0]:
            return f"up to {edges[0]} words"
        return f"more than {edges[-1]} words" if length > edges[-1] else f"{edges[0] + 1} to {edges[-1]} words"

    return part


def _language(text: str) -> str:
    found = language(text)
    return "cannot be told" if found == UNSURE else found


def _by_column(column: str) -> By:
    return lambda row: str(row.meta[column]) if row.meta.get(column) is not None else "(none)"


def _cut(column: str, by: By, rows: Sequence[Example], judged: Sequence[Judged], seed: int) -> Cut:
    values: dict[str, list[Judged]] = {}
    counts: dict[str, int] = {}
    value_of = {row.id: by(row)[:LONGEST] for row in rows}
    for value in value_of.values():
        counts[value] = counts.get(value, 0) + 1
    for one in judged:
        values.setdefault(value_of[one.case.row.id], []).append(one)
    told = [_line(value, counts[value], some, seed) for value, some in values.items() if counts[value] >= FEWEST]
    few = [(value, count) for value, count in counts.items() if count < FEWEST]
    ranked = sorted(told, key=lambda line: (-(line.tuned.count / max(1, line.tuned.n)), line.value))
    return Cut(column, tuple(ranked), tuple(sorted(few, key=lambda pair: (-pair[1], pair[0]))))


def _line(value: str, rows: int, judged: Sequence[Judged], seed: int) -> SliceLine:
    base = rate(judged, of_base, seed=seed) if any(one.base for one in judged) else None
    return SliceLine(value, rows, rate(judged, of_tuned, seed=seed), base)
