"""The same procedures in scipy and statsmodels: the largest difference over many cases."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import stats as scipy_stats
from stats_rows import Random, mean, of_rows

from luthier.stats import bca, holm, mcnemar, percentile, swapped, wilson

CASES = 200
Z = float(scipy_stats.norm.ppf(0.975))


@dataclass(frozen=True, slots=True)
class Agreement:
    """One procedure beside another library's."""

    ours: str
    theirs: str
    cases: int
    apart: float
    """The largest difference."""
    allowed: float
    """Zero but for rounding, or what so many random draws differ by."""


def agreements(*, seed: int, cases: int = CASES) -> Iterator[Agreement]:
    """All of them. Needs statsmodels."""
    rng = np.random.default_rng(seed)
    compared = {
        "Wilson's interval": ("statsmodels `proportion_confint`", _wilson, 1e-9),
        "exact McNemar": ("statsmodels `mcnemar`", _mcnemar, 1e-9),
        "exact McNemar, again": ("scipy `binomtest`", _binomial, 1e-9),
        "Holm": ("statsmodels `multipletests`", _holm, 1e-9),
        "percentile interval, their resamples": ("scipy `bootstrap`", _percentile, 1e-9),
        "BCa interval, their resamples": ("scipy `bootstrap`", _bca, 1e-9),
        "every swap of 8 rows": ("scipy `permutation_test`", _every_swap, 1e-9),
        "20,000 swaps of 40 rows": ("scipy `permutation_test`, 20,000", _some_swaps, 0.02),
    }
    for ours, (theirs, apart, allowed) in compared.items():
        many = cases if allowed < 1e-6 else max(3, cases // 20)
        yield Agreement(ours, theirs, many, max(apart(rng) for _ in range(many)), allowed)


def _wilson(rng: Random) -> float:
    from statsmodels.stats.proportion import proportion_confint

    n = int(rng.integers(1, 300))
    successes = int(rng.integers(0, n + 1))
    found = wilson(successes, n)
    low, high = proportion_confint(successes, n, method="wilson")
    return max(abs(found.low - low), abs(found.high - high))


def _mcnemar(rng: Random) -> float:
    from statsmodels.stats.contingency_tables import mcnemar as theirs

    base, tuned = (rng.integers(0, 2, (2, int(rng.integers(1, 80))))).astype(np.float64)
    table = [[int(((base == i) & (tuned == j)).sum()) for j in (1, 0)] for i in (1, 0)]
    return abs(mcnemar(base, tuned) - float(theirs(table, exact=True).pvalue))


def _binomial(rng: Random) -> float:
    base, tuned = (rng.integers(0, 2, (2, int(rng.integers(20, 80))))).astype(np.float64)
    gained, lost = int((tuned > base).sum()), int((tuned < base).sum())
    theirs = scipy_stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return abs(mcnemar(base, tuned) - float(theirs))


def _holm(rng: Random) -> float:
    from statsmodels.stats.multitest import multipletests

    p = rng.random(int(rng.integers(1, 40))) ** 3
    return float(np.abs(holm(p.tolist()) - multipletests(p, method="holm")[1]).max())


def _percentile(rng: Random) -> float:
    values = rng.gamma(0.7, size=30)
    found = scipy_stats.bootstrap((values,), np.mean, n_resamples=500, method="percentile", rng=rng)
    return _ends(percentile(found.bootstrap_distribution, Z), found.confidence_interval)


def _bca(rng: Random) -> float:
    values = rng.gamma(0.7, size=30)
    found = scipy_stats.bootstrap((values,), np.mean, n_resamples=500, method="BCa", rng=rng)
    left_out = (values.sum() - values) / (len(values) - 1)
    return _ends(bca(found.bootstrap_distribution, float(values.mean()), left_out, Z), found.confidence_interval)


def _ends(ours: tuple[float, float], theirs: tuple[float, float]) -> float:
    return max(abs(ours[0] - theirs[0]), abs(ours[1] - theirs[1]))


def _every_swap(rng: Random) -> float:
    return _swaps(rng, 8, 256)


def _some_swaps(rng: Random) -> float:
    return _swaps(rng, 40, 20_000)


def _swaps(rng: Random, rows: int, draws: int) -> float:
    base, tuned = rng.normal(size=(2, rows))
    ours = swapped(of_rows(base).statistics, of_rows(tuned).statistics, mean, draws, rng)
    theirs = scipy_stats.permutation_test(
        (tuned, base),
        lambda x, y, axis: np.mean(x - y, axis=axis),
        permutation_type="samples",
        n_resamples=np.inf if draws >= 2**rows else draws,
        vectorized=True,
        rng=rng,
    )
    return abs(ours - float(theirs.pvalue))
