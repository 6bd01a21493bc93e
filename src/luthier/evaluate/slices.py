"""Rows divided by what they are: where a model is good and where it is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.checks.language import installed, language
from luthier.errors import RecipeError
from luthier.metrics.words import words
from luthier.types import Example

FEWEST = 5
"""Rows of a slice that is told."""
MOST = 12
"""Slices of one column that are told, the largest."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Some of the rows."""

    by: str
    """`length`, `class`, `language`, or the name of a column."""
    value: str
    ids: frozenset[str]


def sliced(examples: Sequence[Example], names: Sequence[str]) -> tuple[Slice, ...]:
    """The rows by each name in turn, the largest slices first, lengths from short to long.

    Values of fewer than FEWEST rows, and all beyond MOST, are told together, as others. Raises RecipeError for a column
    no row has, and for classes of rows without labels.
    """
    return tuple(one for name in names for one in _by(name, examples))


def _by(name: str, examples: Sequence[Example]) -> list[Slice]:
    values = _values(name, examples)
    ids: dict[str, set[str]] = {}
    for example, value in zip(examples, values, strict=True):
        if value is not None:
            ids.setdefault(value, set()).add(example.id)
    order = [value for value, _ in Counter(filter(None, values)).most_common()]
    if name == "length":
        order.sort(key=lambda value: int(value.split()[0]))
    kept = [value for value in order if len(ids[value]) >= FEWEST][:MOST]
    found = [Slice(name, value, frozenset(ids[value])) for value in kept]
    small = [value for value in order if value not in kept]
    if small:
        rest = frozenset[str]().union(*(ids[value] for value in small))
        others = f"{len(small)} others" if kept else f"none of {len(small)} has {FEWEST} rows"
        found.append(Slice(name, small[0] if len(small) == 1 else others, rest))
    missing = frozenset(one.id for one, value in zip(examples, values, strict=True) if value is None)
    return [*found, Slice(name, f"no {name}", missing)] if missing else found


def _values(name: str, examples: Sequence[Example]) -> list[str | None]:
    known: dict[str, Callable[[Sequence[Example]], list[str | None]]] = {
        "length": _lengths,
        "class": lambda rows: [row.label for row in rows],
        "language": _languages,
    }
    columns = sorted({column for example in examples for column in example.meta} - {"merged"})
    if name in columns:
        return [str(row.meta[name]) if row.meta.get(name) is not None else None for row in examples]
    if name not in known:
        there = ", ".join([*known, *columns])
        raise RecipeError(f"slices: {name!r} is no column of these rows; there are {there}")
    found = known[name](examples)
    if examples and not any(found):
        raise RecipeError(f"slices: these rows have no {name}, so they cannot be divided by it; leave it out")
    return found


def _lengths(examples: Sequence[Example]) -> list[str | None]:
    """Thirds of the rows by the words of the question."""
    counts = np.array([len(words(example.question)) for example in examples])
    edges = np.unique(np.quantile(counts, (1 / 3, 2 / 3), method="lower"))
    found: list[str | None] = [None] * len(counts)
    places = np.searchsorted(edges, counts, side="left")
    for place in np.unique(places):
        here = np.flatnonzero(places == place)
        low, high = int(counts[here].min()), int(counts[here].max())
        for at in here:
            found[int(at)] = f"{low} to {high} words" if low < high else f"{low} words"
    return found


def _languages(examples: Sequence[Example]) -> list[str | None]:
    if not installed():
        raise RecipeError("slices: language needs py3langid; install it with `pip install 'luthier[audit]'`")
    return [language(example.question) for example in examples]
