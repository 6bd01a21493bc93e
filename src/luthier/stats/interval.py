"""Where a score would lie on other rows of the same kind: Wilson, percentile and BCa bootstrap, Student's t.

A bootstrap of c groups is too narrow by a factor of about sqrt((c - 1) / c), and by what Student's t has over the
normal distribution; both are given back by reaching further into its tails (Hesterberg 2015, "What teachers should know
about the bootstrap", sec. 5.3). From some hundred groups on that changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, sqrt
from statistics import NormalDist

import numpy as np

from luthier.stats.resample import resample
from luthier.stats.sample import FEWEST, LEVEL, Floats, Sample


@dataclass(frozen=True, slots=True)
class Interval:
    """A number and where it would lie on other rows of the same kind, at 95 %."""

    value: float
    low: float
    high: float


def interval(sample: Sample, *, resamples: int, rng: np.random.Generator) -> Interval:
    """The score with its interval: Wilson's for a proportion, else by BCa bootstrap of whole groups.

    With fewer than FEWEST groups Student's t over them takes the bootstrap's place, cut off at the ends of the score's
    scale; a single one, or several without which the score stays the same, tell nothing.
    """
    sums = sample.sums()
    if sample.is_proportion:
        return _proportion(sample, sums)
    value, left_out = sample.value, without_each(sample, sums)
    if len(sums) < FEWEST:
        low, high = student(value, left_out) if np.ptp(left_out) > 0 else (-inf, inf)
        least, most = sample.scale
        return Interval(value, max(least, low), min(most, high))
    return Interval(value, *bca(sample.score(resample(sums, resamples, rng)), value, left_out, reach(len(sums))))


def wilson(successes: int, n: int) -> Interval:
    """Wilson's score interval of a proportion. Source: Wilson 1927, "Probable inference", eq. 5."""
    share, z = successes / n, NormalDist().inv_cdf((1 + LEVEL) / 2)
    shrunk = 1 / (1 + z * z / n)
    middle, margin = shrunk * (share + z * z / (2 * n)), shrunk * z * sqrt(share * (1 - share) / n + (z / (2 * n)) ** 2)
    return Interval(share, middle - margin if successes else 0.0, middle + margin if successes < n else 1.0)


def reach(groups: int) -> float:
    """How many standard errors of a bootstrap of so many groups an interval reaches to either side; 1.96 for many."""
    from scipy.stats import t

    if groups < 2:
        return inf
    return float(t.ppf((1 + LEVEL) / 2, groups - 1)) * sqrt(groups / (groups - 1))


def percentile(scores: Floats, reach: float) -> tuple[float, float]:
    """The quantiles of resampled scores (b,) that lie `reach` standard normal deviations out. Source: Efron 1981."""
    from scipy.stats import norm

    low, high = np.quantile(scores, norm.cdf((-reach, reach)))
    return float(low), float(high)


def bca(scores: Floats, value: float, left_out: Floats, reach: float) -> tuple[float, float]:
    """As `percentile`, corrected for bias and for a spread that changes with the score.

    scores (b,) of resamples, `value` of all rows, left_out (c,) of all but each group. Source: Efron 1987, eq. 2.3.
    """
    from scipy.stats import norm

    share = (np.mean(scores < value) + np.mean(scores <= value)) / 2
    bias = norm.ppf(np.clip(share, 0.5 / len(scores), 1 - 0.5 / len(scores)))
    pull = left_out.mean() - left_out
    spread = 6 * float((pull**2).sum()) ** 1.5
    change = float((pull**3).sum()) / spread if spread > 0 and isfinite(spread) else 0.0
    low, high = np.quantile(scores, [norm.cdf(_moved(bias, side, change)) for side in (-reach, reach)])
    return float(low), float(high)


def student(value: float, left_out: Floats) -> tuple[float, float]:
    """Student's t about the score with the jackknife's standard error; left_out (c,) as in `bca`.

    Source: Tukey 1958. It holds for as few as two groups; one tells nothing.
    """
    from scipy.stats import t

    count = len(left_out)
    if count < 2:
        return -inf, inf
    error = sqrt((count - 1) * float(np.var(left_out)))
    margin = float(t.ppf((1 + LEVEL) / 2, count - 1)) * error
    return value - margin, value + margin


def without_each(sample: Sample, sums: Floats) -> Floats:
    """(c,): the score of all groups but one, for each of `sums` (c, k)."""
    with np.errstate(invalid="ignore"):
        return sample.score(sums.sum(axis=0) - sums)


def _moved(bias: float, side: float, change: float) -> float:
    shrink = 1 - change * (bias + side)
    return bias + (bias + side) / shrink if shrink > 0 else float(np.sign(side)) * inf


def _proportion(sample: Sample, sums: Floats) -> Interval:
    """Wilson's interval; of grouped rows with as many rows as they are worth, and Student's t.

    Where every row is right, or every row wrong, they are worth as many as there are groups. Source: Korn & Graubard
    1998; Dean & Pagano 2015, "Evaluating confidence interval methods for binomial proportions in clustered surveys".
    """
    from scipy.stats import t

    value, n = sample.value, len(sample.statistics)
    if sample.clusters is None:
        return wilson(round(value * n), n)
    count = len(sums)
    if count < 2:
        return Interval(value, 0.0, 1.0)
    residuals = sums[:, 0] - value * sums[:, 1]
    variance = count / (count - 1) * float((residuals**2).sum()) / n**2
    worth = min(n, value * (1 - value) / variance) if 0 < value < 1 and variance > 0 else n if variance else count
    square = float(t.ppf((1 + LEVEL) / 2, count - 1)) ** 2
    centre = (value + square / (2 * worth)) / (1 + square / worth)
    margin = sqrt(square * (value * (1 - value) / worth + square / (4 * worth**2))) / (1 + square / worth)
    return Interval(value, max(0.0, centre - margin), min(1.0, centre + margin))
