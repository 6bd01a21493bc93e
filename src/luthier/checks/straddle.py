"""What should part the splits and does not: groups of rows, and time."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np

from luthier.checks.check import Corpus
from luthier.data.split import PARTS
from luthier.errors import RecipeError
from luthier.stats import Floats, wilson
from luthier.types import Issue, Json
from luthier.words import closest

SHOWN = 10
"""Rows shown of a split."""


def group_leak(corpus: Corpus) -> Iterator[Issue]:
    """One Issue for each group with rows in two splits: the later split's rows first, all of each."""
    parts: defaultdict[str, set[str]] = defaultdict(set)
    for row, part in zip(corpus.rows, corpus.parts, strict=True):
        if row.group is not None:
            parts[row.group].add(part)
    members: defaultdict[str, list[int]] = defaultdict(list)
    for at, row in enumerate(corpus.rows):
        if row.group is not None and len(parts[row.group]) > 1:
            members[row.group].append(at)
    for group, places in sorted(members.items()):
        counts = {part: sum(corpus.parts[at] == part for at in places) for part in PARTS}
        told = ", ".join(f"{count:,} in {part}" for part, count in counts.items() if count)
        yield Issue(
            check="group_leak",
            examples=tuple(corpus.rows[at].id for at in sorted(places, reverse=True)),
            severity=0.7,
            flagged=True,
            why=f"the group {group!r} has rows in several splits ({told}), so held-out rows are not new to the model",
            remedy="keep each group in one split; splits that are drawn here with this group column do",
        )


def time_leak(corpus: Corpus) -> Iterator[Issue]:
    """One Issue for each held-out split with rows from before training rows, and one for rows without a time.

    Numbers are compared as numbers if every time is one, else ISO 8601 dates; those without a zone are UTC. Raises
    RecipeError where no row has the column.
    """
    column = corpus.options.time
    if column is None:
        return
    written = [row.meta.get(column) for row in corpus.rows]
    _known(corpus, column, written)
    times = _times(written)
    trained = np.sort(times[list(corpus.of("train"))])
    trained = trained[np.isfinite(trained)]
    for part in PARTS[1:]:
        places = [at for at in corpus.of(part) if np.isfinite(times[at])]
        if places and len(trained):
            yield from _older(corpus, part, np.array(places), times, trained)
    if unread := [at for at in range(len(times)) if not np.isfinite(times[at])]:
        yield _unread(corpus, column, unread)


def _known(corpus: Corpus, column: str, written: Sequence[Json]) -> None:
    if all(value is None for value in written) and corpus.rows:
        columns = sorted({name for row in corpus.rows[:1000] for name in row.meta})
        hint = closest(column, columns) or f"; other columns are {', '.join(columns) or 'none'}"
        raise RecipeError(f"checks.time: no row has a column {column!r}{hint}")


def _times(written: Sequence[Json]) -> Floats:
    """(n,) numbers in one unit; NaN for what is no time."""
    numbers = [_number(value) for value in written]
    if all(found is not None for value, found in zip(written, numbers, strict=True) if value is not None):
        return np.array([math.nan if found is None else found for found in numbers])
    return np.array([_date(value) for value in written], np.float64)


def _number(value: Json) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def _date(value: Json) -> float:
    """Seconds since 1970 of an ISO 8601 date; NaN for anything else."""
    try:
        found = datetime.fromisoformat(str(value).strip())
    except ValueError:
        return math.nan
    aware = found if found.tzinfo is not None else found.replace(tzinfo=UTC)
    return (aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()


def _older(
    corpus: Corpus, part: str, places: np.ndarray[tuple[int], np.dtype[np.int64]], times: Floats, trained: Floats
) -> Iterator[Issue]:
    """An Issue where rows of a split are older than the newest training row, oldest first."""
    later = len(trained) - np.searchsorted(trained, times[places], side="right")
    order = np.argsort(-later, kind="stable")
    older = places[order[: int((later > 0).sum())]]
    if not len(older):
        return
    rate = wilson(len(older), len(places))
    share = float(later[later > 0].mean() / len(trained))
    yield Issue(
        check="time_leak",
        examples=tuple(corpus.rows[at].id for at in older[:SHOWN]),
        severity=0.2 + 0.5 * rate.value * share,
        flagged=True,
        why=f"{100 * rate.value:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f}) of {len(places):,} {part} rows "
        f"are older than training rows, each on average than {100 * share:.1f} % of them, so the model has seen what "
        "came after",
        remedy=f"give {part} the newest rows and train on what came before",
    )


def _unread(corpus: Corpus, column: str, places: Sequence[int]) -> Issue:
    rate = wilson(len(places), len(corpus.rows))
    return Issue(
        check="time_leak",
        examples=tuple(corpus.rows[at].id for at in places[:SHOWN]),
        severity=0.2,
        flagged=rate.value > 0.05,
        why=f"{len(places):,} of {len(corpus.rows):,} rows have no time in {column!r} that can be read "
        f"({corpus.rows[places[0]].meta.get(column)!r}), so they were not compared",
        remedy="write times as ISO 8601 (2024-05-31, 2024-05-31T12:00:00Z), or all as numbers",
    )
