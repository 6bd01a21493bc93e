"""The training rows by the values of a column, for whoever compares them; long columns are grouped.

What is compared, and what it means, is `slices`' business.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.checks.check import Corpus
from luthier.errors import RecipeError
from luthier.types import Json
from luthier.words import closest

VALUES = 50
"""Values of a column that are told apart, the commonest; more of them are one, or four bands where they are numbers."""
NONE, OTHERS = "(none)", "(others)"

Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Slice:
    """The rows of training by a column's value and by label; rows without a label are left out."""

    column: str
    places: Integers
    """(n,) rows of the corpus."""
    values: tuple[str, ...]
    """v of them, the commonest first."""
    value: Integers
    """(n,) index in `values`."""
    labels: tuple[str, ...]
    """l of them, the rarest first."""
    label: Integers
    """(n,) index in `labels`."""

    def counts(self) -> Integers:
        """(v, l) rows of each value with each label."""
        width = len(self.labels)
        return np.bincount(self.value * width + self.label, minlength=len(self.values) * width).reshape(-1, width)


def sliced(corpus: Corpus) -> list[Slice]:
    """The training rows by every named column. Raises RecipeError for a column that no row has."""
    _known(corpus)
    rows = [at for at in corpus.of("train") if corpus.rows[at].label is not None]
    if not rows:
        return []
    labels, label = _indexed([corpus.rows[at].label or "" for at in rows])
    order = len(labels) - 1 - label
    cuts = []
    for column in corpus.options.slices:
        values, value = _indexed(_grouped([_text(corpus.rows[at].meta.get(column)) for at in rows]))
        cuts.append(Slice(column, np.array(rows), values, value, labels[::-1], order))
    return cuts


def _known(corpus: Corpus) -> None:
    for column in corpus.options.slices:
        if corpus.rows and not any(column in row.meta for row in corpus.rows):
            there = sorted({name for row in corpus.rows for name in row.meta})
            hint = closest(column, there) or f"; there are {', '.join(there) or 'none beside input and answer'}"
            raise RecipeError(f"slices: no row has a column {column!r}{hint}")


def _indexed(names: Sequence[str]) -> tuple[tuple[str, ...], Integers]:
    """The distinct names, the commonest first, and for each name its place among them."""
    found = Counter(names)
    order = {name: at for at, name in enumerate(sorted(found, key=lambda name: (-found[name], name)))}
    return tuple(order), np.fromiter((order[name] for name in names), np.int64, len(names))


def _grouped(names: list[str]) -> list[str]:
    """The names, or where there are more than VALUES their four bands or the commonest and the others."""
    found = Counter(names)
    if len(found) <= VALUES:
        return names
    numbers = {name: number for name in found if (number := _number(name)) is not None}
    if len(numbers) + (NONE in found) == len(found):
        return _banded(names, numbers)
    kept = set(sorted(found, key=lambda name: (-found[name], name))[: VALUES - 1])
    return [name if name in kept else OTHERS for name in names]


def _banded(names: list[str], numbers: dict[str, float]) -> list[str]:
    held = np.array([numbers[name] for name in names if name in numbers])
    ends = np.unique(np.quantile(held, (0.25, 0.5, 0.75, 1.0)))
    begins = [f"above {end:g}, " for end in ends]
    bands = [f"{begun}up to {end:g}" for begun, end in zip(["", *begins], ends, strict=False)]
    return [bands[int(np.searchsorted(ends, numbers[name]))] if name in numbers else name for name in names]


def _number(name: str) -> float | None:
    try:
        return number if np.isfinite(number := float(name)) else None
    except ValueError:
        return None


def _text(value: Json) -> str:
    found = value.strip() if isinstance(value, str) else "" if value is None else json.dumps(value, sort_keys=True)
    return found or NONE
