"""How often a difference is claimed where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.stats import norm
from stats_rows import NULLS, Random, grouped, of_rows

from luthier.stats import Interval, bca, paired, percentile, reach, resample, wilson

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Size:
    """One kind of rows without a difference, simulated."""

    title: str
    groups: int
    n: int
    """Simulations."""
    claimed: Interval
    """Share in which the verdict would have been better or worse."""
    by_interval: float
    """Share in which the interval alone excluded 0."""
    by_test: float
    """Share in which the test alone gave p < 0.05."""


def size(kind: str, groups: int, n: int, *, seed: int, as_rows: bool = False) -> Size:
    """Of a kind in `stats_rows.NULLS`; as_rows: rows of one group are taken for independent, which is wrong."""
    rng = np.random.default_rng(seed)
    title, _ = NULLS[kind]
    found = np.array([_claims(rng, kind, groups, as_rows) for _ in range(n)])
    by_interval, by_test = found.mean(axis=0)
    return Size(title, groups, n, wilson(int(found.all(axis=1).sum()), n), float(by_interval), float(by_test))


def independent(rows: int, n: int, *, seed: int) -> Size:
    """Right or wrong, no groups: exact McNemar. A model's rows are easy or hard, and three in four alike for both."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        easy = rng.random(rows)
        base, tuned = ((0.8 * easy + 0.2 * rng.random(rows) < 0.6) * 1.0 for _ in range(2))
        one = paired(of_rows(base), of_rows(tuned), resamples=RESAMPLES // 4, rng=rng)
        found.append((one.low > 0 or one.high < 0, one.p < 0.05))
    claims = np.array(found)
    title = f"right or wrong, {rows} rows without groups (exact McNemar)"
    by_interval, by_test = claims.mean(axis=0)
    return Size(title, rows, n, wilson(int(claims.all(axis=1).sum()), n), float(by_interval), float(by_test))


@dataclass(frozen=True, slots=True)
class Choice:
    """How often one kind of interval excludes 0 where there is no difference."""

    title: str
    groups: int
    n: int
    shares: dict[str, Interval]


def choices(kind: str, groups: int, n: int, *, seed: int) -> Choice:
    """Percentile and BCa, as they are published and widened for few groups, on the same resamples."""
    rng = np.random.default_rng(seed)
    counts: dict[str, int] = {}
    for _ in range(n):
        for name, (low, high) in _intervals(rng, kind, groups):
            counts[name] = counts.get(name, 0) + (low > 0 or high < 0)
    return Choice(NULLS[kind][0], groups, n, {name: wilson(count, n) for name, count in counts.items()})


def _claims(rng: Random, kind: str, groups: int, as_rows: bool) -> tuple[bool, bool]:
    group = grouped(rng, groups)
    base, tuned = NULLS[kind][1](rng, group)
    together = None if as_rows else group
    one = paired(of_rows(base, together), of_rows(tuned, together), resamples=RESAMPLES, rng=rng)
    return one.low > 0 or one.high < 0, one.p < 0.05


def _intervals(rng: Random, kind: str, groups: int) -> Iterator[tuple[str, tuple[float, float]]]:
    group = grouped(rng, groups)
    base, tuned = NULLS[kind][1](rng, group)
    sums = of_rows(tuned - base, group).sums()
    total = sums.sum(axis=0)
    drawn = resample(sums, RESAMPLES, rng)
    scores, left_out = drawn[:, 0] / drawn[:, 1], (total - sums)[:, 0] / (total - sums)[:, 1]
    usual = float(norm.ppf(0.975))
    yield "percentile", percentile(scores, usual)
    yield "percentile, widened", percentile(scores, reach(groups))
    yield "BCa", bca(scores, total[0] / total[1], left_out, usual)
    yield "BCa, widened", bca(scores, total[0] / total[1], left_out, reach(groups))
