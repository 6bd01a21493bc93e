"""How many rows it takes to see a difference, and which difference so many rows can show."""

from __future__ import annotations

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray

from luthier.stats.paired import Difference
from luthier.stats.sample import FEWEST, LEVEL, POWER


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
    """The difference that `rows` rows show in 4 of 5 tries, judged from n measured ones.

    Never smaller than it is where FEWEST of the rows differ, by as much as those that did.
    """
    each = abs(difference.value) * n / difference.differing if difference.differing else 0.0
    return max(visible(difference.spread * sqrt(n), rows), each * FEWEST / rows)


def visible(spread: float, rows: float) -> float:
    """The difference that `rows` independent rows show in 4 of 5 tries.

    spread: standard deviation of tuned minus base over rows, in the metric's units; of right-or-wrong rows at most the
    root of the share on which just one of the two models is right.
    """
    return _margin() * spread / sqrt(rows)


def independent_groups(clusters: NDArray[np.int64]) -> float:
    """How many rows grouped ones (n,) are worth where those of a group stand or fall together.

    Fewer than there are groups where their sizes differ. Source: Kish 1965, sec. 8.2.
    """
    sizes = np.bincount(clusters)
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _margin() -> float:
    """Standard errors between 0 and a difference that is seen with POWER at LEVEL: 2.80."""
    from scipy.stats import norm

    return float(norm.ppf((1 + LEVEL) / 2) + norm.ppf(POWER))
