"""Several differences claimed at once: one of twenty true nulls is below 0.05 by itself."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from luthier.stats.sample import Floats


def holm(p_values: Sequence[float]) -> Floats:
    """(m,) p-values so raised that in at most 5 % of families any true null is below 0.05. Source: Holm 1979."""
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    raised = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    found: Floats = np.empty(len(given))
    found[order] = np.minimum(raised, 1)
    return found
