"""How sure a number is: intervals, paired differences, and how many rows it takes to see one.

Everything here works on sums of row statistics (`luthier.metrics.metric`), so accuracy, macro-F1, BLEU and loss share
one bootstrap and one significance test. Rows of one group (user, thread, document) are drawn together: 500 rows of 50
users are not 500 independent observations. Not here: what the rows mean, and the words of a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest, norm

from luthier.errors import ShapeError

Floats: TypeAlias = NDArray[np.float64]
Score: TypeAlias = Callable[[Floats], Floats]
"""Totals (b, k) -> (b,)."""

LEVEL = 0.95
"""Of every interval; a difference is called one at p < 1 - LEVEL."""
POWER = 0.8
"""Chance of seeing a difference of the stated size."""
FEWEST = 6
"""Independent rows that must differ before an exact two-sided sign test can reach p < 0.05: 2 / 2**6 = 0.031."""
_CELLS = 2**21
"""Resampling weights held at a time: 16 MiB in float64."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and where it would lie on other rows of the same kind, at 95 %."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Tuned minus base on the same rows."""

    value: float
    low: float
    high: float
    p: float
    """Two-sided, of no difference: exact McNemar for right-or-wrong rows without groups, else swapping at random."""
    spread: float
    """Standard error."""
    differing: int
    """Rows, or groups where rows come in groups, in which the two are not the same."""

    @property
    def seen(self) -> bool:
        """Whether the interval excludes 0 and the test agrees."""
        return (self.low > 0 or self.high < 0) and self.p < 1 - LEVEL


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a metric measured on n rows."""

    statistics: Floats
    """(n, k): what each row adds."""
    score: Score
    clusters: NDArray[np.int64] | None = None
    """(n,) index of the group each row belongs to; None where every row stands alone."""

    @property
    def value(self) -> float:
        """The score of all rows."""
        return float(self.score(self.statistics.sum(axis=0, keepdims=True))[0])

    @property
    def is_proportion(self) -> bool:
        """Whether every row is plainly right (1) or wrong (0)."""
        stats = self.statistics
        return stats.shape[1] == 2 and bool((stats[:, 1] == 1).all() and np.isin(stats[:, 0], (0, 1)).all())

    def sums(self) -> Floats:
        """(c, k): the statistics of each group of rows."""
        if self.clusters is None:
            return self.statistics
        sums = np.zeros((int(self.clusters.max(initial=-1)) + 1, self.statistics.shape[1]))
        np.add.at(sums, self.clusters, self.statistics)
        return sums


def clusters(groups: Sequence[str | None]) -> NDArray[np.int64] | None:
    """Group names to indexes (n,); a row without a group stands alone; None where all rows do."""
    names = [f"row {at}" if group is None else f"group {group}" for at, group in enumerate(groups)]
    first: dict[str, int] = {}
    index = np.array([first.setdefault(name, len(first)) for name in names], dtype=np.int64)
    return None if len(first) == len(names) else index


def wilson(successes: int, n: int) -> Interval:
    """Wilson's score interval of a proportion. Source: Wilson 1927; `scipy.stats.binomtest`."""
    found = binomtest(successes, n).proportion_ci(confidence_level=LEVEL, method="wilson")
    return Interval(successes / n, float(found.low), float(found.high))


def mcnemar(base: Floats, tuned: Floats) -> float:
    """Exact two-sided p that two models are right equally often; (n,) and (n,) of 0 and 1 on the same rows."""
    gained, lost = int(((base == 0) & (tuned == 1)).sum()), int(((base == 1) & (tuned == 0)).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def interval(sample: Sample, *, resamples: int, rng: np.random.Generator) -> Interval:
    """The score with its interval: Wilson's for a proportion of independent rows, else by percentile bootstrap.

    Where every row is right, or every row wrong, no resample differs; then Wilson's, with groups for rows.
    """
    sums = sample.sums()
    if sample.is_proportion and (sample.clusters is None or sample.value in (0, 1)):
        return wilson(round(sample.value * len(sums)), len(sums))
    low, high = _percentiles(sample.score(resample(sums, resamples, rng)))
    return Interval(sample.value, low, high)


def paired(base: Sample, tuned: Sample, *, resamples: int, rng: np.random.Generator) -> Difference:
    """Tuned minus base on the same rows, by a percentile bootstrap of whole groups, with a p-value.

    Raises ShapeError if the two were not measured on the same number of rows.
    """
    if base.statistics.shape != tuned.statistics.shape:
        raise ShapeError(
            f"base has statistics {base.statistics.shape}, tuned {tuned.statistics.shape}; rows must agree"
        )
    before, after = base.sums(), tuned.sums()
    width = before.shape[1]
    totals = resample(np.hstack((before, after)), resamples, rng)
    differences = tuned.score(totals[:, width:]) - base.score(totals[:, :width])
    low, high = _percentiles(differences)
    if base.is_proportion and tuned.is_proportion and base.clusters is None:
        p = mcnemar(base.statistics[:, 0], tuned.statistics[:, 0])
    else:
        p = swapped(before, after, base.score, resamples, rng)
    return Difference(
        value=tuned.value - base.value,
        low=low,
        high=high,
        p=p,
        spread=float(np.std(differences, ddof=1)),
        differing=int((before != after).any(axis=1).sum()),
    )


def resample(sums: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Totals (draws, k) of as many lines of `sums` (c, k) as there are, drawn with replacement."""
    count = len(sums)
    totals = np.empty((draws, sums.shape[1]))
    step = max(1, _CELLS // count)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        drawn = rng.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        weights = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        totals[start : start + size] = weights.astype(np.float64) @ sums
    return totals


def swapped(before: Floats, after: Floats, score: Score, draws: int, rng: np.random.Generator) -> float:
    """Two-sided p of no difference: how often swapping base and tuned in random lines gives as large a difference.

    (c, k) and (c, k), one line an independent row or group. All swaps are tried where there are no more than `draws`.
    Source: Noreen 1989; for BLEU Riezler & Maxwell 2005.
    """
    change = after - before
    change = change[(change != 0).any(axis=1)]
    rest = before.sum(axis=0)
    actual = abs(float(score((rest + change.sum(axis=0))[None])[0] - score(rest[None])[0]))
    tried = as_large = 0
    for swaps in _swaps(len(change), draws, rng):
        kept = swaps.astype(np.float64) @ change
        found = np.abs(score(rest + kept) - score(rest + change.sum(axis=0) - kept))
        tried += len(swaps)
        as_large += int((found >= actual * (1 - 1e-9)).sum())
    unseen = 0 if 2 ** len(change) <= draws else 1
    return (as_large + unseen) / (tried + unseen)


def rows_needed(difference: Difference, n: int) -> int | None:
    """Rows of this kind that would show a difference of the observed size in 4 of 5 tries; None if there is none.

    From the standard error on n rows, which shrinks with the square root of their number; never fewer than leave FEWEST
    differing rows.
    """
    if difference.value == 0 or not difference.differing:
        return None
    shrink = _margin() * difference.spread / abs(difference.value)
    return ceil(max(n * shrink**2, n * FEWEST / difference.differing))


def smallest_visible(difference: Difference, n: int, rows: int) -> float:
    """The difference that `rows` rows show in 4 of 5 tries, judged from n measured ones."""
    return _margin() * difference.spread * sqrt(n / rows)


def _margin() -> float:
    """Standard errors between 0 and a difference that is seen with POWER at LEVEL: 2.80."""
    return float(norm.ppf((1 + LEVEL) / 2) + norm.ppf(POWER))


def _percentiles(scores: Floats) -> tuple[float, float]:
    low, high = np.quantile(scores, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


def _swaps(count: int, draws: int, rng: np.random.Generator) -> Iterator[NDArray[np.bool_]]:
    """(b, count) at a time: every way to swap `count` lines, or `draws` random ones where there are more."""
    if 2**count <= draws:
        yield (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(np.bool_)
        return
    step = max(1, _CELLS // count)
    for start in range(0, draws, step):
        yield rng.random((min(step, draws - start), count)) < 0.5
