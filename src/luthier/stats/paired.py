"""Tuned minus base on the same rows: how large the difference is, and whether it could be nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np

from luthier.errors import ShapeError
from luthier.stats.interval import percentile, reach, student, wilson, without_each
from luthier.stats.resample import swaps, weighings
from luthier.stats.sample import FEWEST, LEVEL, Floats, Sample, Score


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
        return self.seen_at(self.p)

    def seen_at(self, p: float) -> bool:
        """Whether the interval excludes 0 and a p-value agrees, such as one raised for a family by `holm`."""
        return (self.low > 0 or self.high < 0) and p < 1 - LEVEL


def paired(base: Sample, tuned: Sample, *, resamples: int, rng: np.random.Generator) -> Difference:
    """Tuned minus base by a percentile bootstrap of whole groups, with a p-value.

    Where right-or-wrong rows are all alike, no resample differs; the interval is then that of the share that could.
    Raises ShapeError if the two were not measured on the same number of rows.
    """
    return paired_all({"": base}, {"": tuned}, resamples=resamples, rng=rng)[""]


def paired_all(
    base: Mapping[str, Sample], tuned: Mapping[str, Sample], *, resamples: int, rng: np.random.Generator
) -> dict[str, Difference]:
    """Tuned minus base of several metrics of the same rows, all from the same resamples: each as if it were alone.

    Raises ShapeError if two were not measured on the same rows.
    """
    _check(base, tuned)
    before, after = ({name: one.sums() for name, one in each.items()} for each in (base, tuned))
    own = int(rng.integers(2**63))
    count = len(next(iter(before.values()), ()))
    drawn: dict[str, list[Floats]] = {name: [] for name in before}
    for weights in weighings(count, resamples, rng) if count else ():
        for name, found in drawn.items():
            found.append(tuned[name].score(weights @ after[name]) - base[name].score(weights @ before[name]))
    return {
        name: _difference(base[name], tuned[name], np.concatenate(found), resamples, np.random.default_rng(own))
        for name, found in drawn.items()
    }


def mcnemar(base: Floats, tuned: Floats) -> float:
    """Exact two-sided p that two models are right equally often; (n,) and (n,) of 0 and 1 on the same rows."""
    from scipy.stats import binomtest

    gained, lost = int(((base == 0) & (tuned == 1)).sum()), int(((base == 1) & (tuned == 0)).sum())
    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def swapped(before: Floats, after: Floats, score: Score, draws: int, rng: np.random.Generator) -> float:
    """Two-sided p of no difference: how often swapping base and tuned in random lines gives as large a difference.

    (c, k) and (c, k), one line an independent row or group. Where there are no more than `draws` swaps, all are tried,
    and p is exact. Else an equally large difference counts half: counted whole, the few values that right-or-wrong rows
    can take would make 5 % into 4 or less. 1 where the score is no number.
    Source: Noreen 1989; for BLEU Riezler & Maxwell 2005; half counts Lancaster 1961.
    """
    change = after - before
    change = change[(change != 0).any(axis=1)]
    rest = before.sum(axis=0)
    actual = abs(float(score((rest + change.sum(axis=0))[None])[0] - score(rest[None])[0]))
    if not isfinite(actual):
        return 1.0
    larger = equal = tried = 0
    for some in swaps(len(change), draws, rng):
        kept = some.astype(np.float64) @ change
        found = np.abs(score(rest + kept) - score(rest + change.sum(axis=0) - kept))
        apart = found - actual
        near = np.abs(apart) <= 1e-9 * actual
        larger, equal, tried = larger + int((apart[~near] > 0).sum()), equal + int(near.sum()), tried + len(some)
    if 2 ** len(change) <= draws:
        return (larger + equal) / tried
    return (larger + (equal + 1) / 2) / (tried + 1)


def _check(base: Mapping[str, Sample], tuned: Mapping[str, Sample]) -> None:
    for name, one in base.items():
        other = tuned[name].statistics.shape
        if one.statistics.shape != other:
            raise ShapeError(f"base has statistics {one.statistics.shape}, tuned {other}; rows must agree")


def _difference(base: Sample, tuned: Sample, drawn: Floats, draws: int, rng: np.random.Generator) -> Difference:
    before, after = base.sums(), tuned.sums()
    value = tuned.value - base.value
    differing = int((before != after).any(axis=1).sum())
    if base.is_proportion and not differing:
        high = wilson(0, len(before)).high
        low = -high
    elif len(before) < FEWEST:
        low, high = student(value, without_each(tuned, after) - without_each(base, before))
    else:
        low, high = percentile(drawn, reach(len(before)))
    widest = 1.0 if base.is_proportion and tuned.is_proportion else base.scale[1] - base.scale[0]
    if isfinite(low):
        low, high = max(low, -widest), min(high, widest)
    if base.is_proportion and tuned.is_proportion and base.clusters is None:
        p = mcnemar(base.statistics[:, 0], tuned.statistics[:, 0])
    else:
        p = swapped(before, after, base.score, draws, rng)
    return Difference(
        value=value,
        low=low,
        high=high,
        p=p,
        spread=float(np.std(drawn, ddof=1)),
        differing=differing,
    )
