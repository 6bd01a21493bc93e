"""Bias: whether a label stands more often under one value of a column than under the others, beyond chance.

Columns are those named in `CheckOptions.slices`. Rows count as independent. What a label ought to be is not judged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.checks.balance import SHOWN, short
from luthier.checks.check import Corpus, Table
from luthier.checks.columns import Integers, Slice, sliced
from luthier.stats import LEVEL, holm, wilson
from luthier.types import Issue, Json

FEWEST_ROWS = 20
"""Rows a value must have to be compared."""
ALIKE = 0.8
"""Lower rate over the higher from which a difference, though beyond chance, is small. Source: the four-fifths rule of
29 CFR 1607.4 D."""

Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Difference:
    """One label under one value beside the same label under all others."""

    value: int
    label: int
    here: int
    """Rows of the value with the label."""
    of: int
    """Rows of the value."""
    there: int
    """Rows of other values with the label."""
    of_others: int
    p: float
    """Two-sided, of no difference, by itself."""

    @property
    def apart(self) -> float:
        """The rate here minus the rate there."""
        return self.here / self.of - self.there / self.of_others

    @property
    def large(self) -> bool:
        """Whether the lower rate is less than ALIKE of the higher."""
        low, high = sorted((self.here / self.of, self.there / self.of_others))
        return low < ALIKE * high


def slice_rates(corpus: Corpus) -> Iterator[Table]:
    """For every named column each label's rate under each value, with its interval; the furthest apart, if many."""
    for cut in sliced(corpus):
        found = list(compared(cut, every=True))
        shown = sorted(found, key=lambda one: (-abs(one.apart), one.value, one.label))[:SHOWN]
        lines = [_line(cut, one) for one in sorted(shown, key=lambda one: (one.value, one.label))]
        more = f" The {SHOWN} furthest apart of {len(found):,}." if len(found) > SHOWN else ""
        yield Table(
            title=f"Labels by {cut.column}",
            columns=(cut.column, "label", "rows", "of", "rate %", "from %", "to %", "others %"),
            rows=tuple(lines),
            note=f"How often a label stands under a value, with its 95 % interval, and under all others.{more}",
        )


def evenness(corpus: Corpus) -> Iterator[Table]:
    """One line a named column: how many comparisons were made, and how many of them differ beyond chance."""
    lines: list[tuple[Json, ...]] = []
    cuts = sliced(corpus)
    tests = [(at, one) for at, cut in enumerate(cuts) for one in compared(cut)]
    sure = holm([one.p for _, one in tests]) < 1 - LEVEL
    for at, cut in enumerate(cuts):
        own = [bool(seen) for (of, _), seen in zip(tests, sure, strict=True) if of == at]
        said = "even" if not any(own) else "uneven"
        lines.append(
            (cut.column, len(own), sum(own), said if own else f"no value has {FEWEST_ROWS} rows beside others")
        )
    if lines:
        title, columns = "Slices compared", ("column", "comparisons", "beyond chance", "labels are")
        yield Table(title, columns, tuple(lines), "Labels by each named column, beyond chance over all (Holm).")


def slice_bias(corpus: Corpus) -> Iterator[Issue]:
    """Values under which a label's rate is not that of the others beyond chance (Holm over all comparisons).

    One Issue for each value, with the label that is surest. Raises RecipeError for a column that no row has.
    """
    cuts = sliced(corpus)
    tests = [(at, one) for at, cut in enumerate(cuts) for one in compared(cut)]
    sure = holm([one.p for _, one in tests]) < 1 - LEVEL
    by_value: dict[tuple[int, int], list[Difference]] = {}
    for (at, one), seen in zip(tests, sure, strict=True):
        if seen:
            by_value.setdefault((at, one.value), []).append(one)
    for (at, _), some in by_value.items():
        first = min(some, key=lambda one: (not one.large, one.p, -abs(one.apart), one.label))
        yield _issue(corpus, cuts[at], first, others=len(some) - 1, tests=len(tests))


def compared(cut: Slice, *, every: bool = False) -> Iterator[Difference]:
    """Each label under each value beside the others; of two values or two labels the rarer only, unless `every`."""
    counts = cut.counts()
    total, n = counts.sum(axis=0), counts.sum()
    for value, held in enumerate(counts):
        of = int(held.sum())
        if of == n or (not every and (of < FEWEST_ROWS or n - of < FEWEST_ROWS or (len(counts) == 2 and value == 0))):
            continue
        p = two_sided(held, of, total, int(n))
        for label in range(1 if len(total) == 2 and not every else len(total)):
            here, there = int(held[label]), int(total[label] - held[label])
            yield Difference(value, label, here, of, there, int(n) - of, float(p[label]))


def two_sided(here: Integers, of: int, total: Integers, n: int) -> Floats:
    """p that `here` (l,) rows of `of` with a label are by chance, where all n rows hold `total` (l,) of it.

    Chi-squared with Yates' correction where at least 5 rows are to be expected everywhere (Cochran 1954), else the
    exact binomial tail, twice, which is on the safe side of Fisher's.
    """
    from scipy.stats import binom, chi2

    if 2 * of > n:
        here, of = total - here, n - of
    expected = of * total / n
    most = np.maximum(total * (n - total) * float(of) * float(n - of), 1e-12)
    apart = np.maximum(np.abs(here * float(n) - of * total.astype(np.float64)) - n / 2, 0)
    usual = chi2.sf(n * apart**2 / most, 1)
    exact = 2 * np.minimum(binom.cdf(here, of, total / n), binom.sf(here - 1, of, total / n))
    p: Floats = np.where(np.minimum(expected, of - expected) >= 5, usual, np.minimum(exact, 1))
    return p


def _issue(corpus: Corpus, cut: Slice, one: Difference, *, others: int, tests: int) -> Issue:
    label, value = cut.labels[one.label], short(cut.values[one.value])
    own = cut.places[(cut.value == one.value) & ((cut.label == one.label) | (one.here == 0))]
    word = "comparison" if tests == 1 else "comparisons"
    more = f"; {others} more labels differ there" if others else ""
    return Issue(
        check="slice_bias",
        examples=tuple(corpus.rows[at].id for at in islice(own, SHOWN)),
        severity=round(min(0.7, 0.3 + abs(one.apart)), 3) if one.large else 0.2,
        flagged=one.large,
        why=f"where {cut.column!r} is {value!r}, {_rate(one.here, one.of)} have the label {label!r}, and "
        f"{_rate(one.there, one.of_others)} elsewhere in train: beyond chance over {tests:,} {word} (Holm){more}",
        remedy=f"look how these rows were gathered and labelled, even the rates out, or judge by {cut.column}",
    )


def _rate(some: int, of: int) -> str:
    found = wilson(some, of)
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%}, {some:,} of {of:,})"


def _line(cut: Slice, one: Difference) -> tuple[Json, ...]:
    found = wilson(one.here, one.of)
    rates = (found.value, found.low, found.high, one.there / one.of_others)
    return (cut.values[one.value], cut.labels[one.label], one.here, one.of, *(round(100 * rate, 1) for rate in rates))
