"""A difference that is to hold for other rows and for other seeds: both were drawn, and both may have been lucky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import numpy as np

from luthier.stats.paired import Difference
from luthier.stats.sample import LEVEL

SMALLEST = 1e-12
"""Of p-values that are told apart."""


def crossed(over_rows: Difference, rows: int, by_seed: Sequence[float]) -> Difference:
    """A paired difference whose interval is for new rows and new seeds alike.

    over_rows: of all seeds together, the runs of one row a group. rows: independent ones. by_seed: the difference of
    each seed alone, two at the least. The half widths over rows and over seeds, each by its own Student's t, are added
    as squares; what is left over between the two counts twice, which errs to the wide side.
    Source: Howe 1974, "Approximate confidence limits on the mean of X + Y where X and Y are two tabled independent
    random variables"; Owen 2007, "The pigeonhole bootstrap", for sums of one-way variances in crossed designs.
    """
    from scipy.optimize import brentq
    from scipy.stats import t

    value, seeds = over_rows.value, sqrt(float(np.var(by_seed, ddof=1)) / len(by_seed))
    if over_rows.spread == seeds == 0:
        return over_rows

    def half(p: float) -> float:
        wide = over_rows.spread * t.isf(p / 2, max(1, rows - 1)), seeds * t.isf(p / 2, len(by_seed) - 1)
        return float(np.hypot(*wide))

    margin = half(1 - LEVEL)
    p = SMALLEST if half(SMALLEST) < abs(value) else brentq(lambda p: half(p) - abs(value), SMALLEST, 1.0)
    low, high = value - margin, value + margin
    return replace(over_rows, low=low, high=high, p=float(p), spread=float(np.hypot(over_rows.spread, seeds)))
