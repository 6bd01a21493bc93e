"""A difference that is to hold for other rows and for other seeds: both were drawn, and both may have been lucky."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt

import numpy as np
from scipy.stats import t

from luthier.stats.paired import Difference
from luthier.stats.sample import LEVEL


def crossed(over_rows: Difference, rows: int, by_seed: Sequence[float]) -> Difference:
    """A paired difference whose interval is for new rows and new seeds alike, by Student's t.

    over_rows: of all seeds together, the runs of one row a group. rows: independent ones. by_seed: the difference of
    each seed alone, two at the least. The variances over rows and over seeds are added, which counts what is left over
    twice and so errs to the wide side; degrees of freedom are Satterthwaite's.
    Source: Owen 2007, "The pigeonhole bootstrap", for sums of one-way variances in crossed designs.
    """
    seeds = float(np.var(by_seed, ddof=1)) / len(by_seed)
    spread = over_rows.spread**2
    whole = spread + seeds
    if whole == 0:
        return over_rows
    freedom = whole**2 / (spread**2 / max(1, rows - 1) + seeds**2 / (len(by_seed) - 1))
    margin = float(t.ppf((1 + LEVEL) / 2, freedom)) * sqrt(whole)
    p = 2 * float(t.sf(abs(over_rows.value) / sqrt(whole), freedom))
    value = over_rows.value
    return replace(over_rows, low=value - margin, high=value + margin, p=p, spread=sqrt(whole))
