"""Several differences claimed at once: one of twenty true nulls is below 0.05 by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from luthier.stats.paired import Difference
from luthier.stats.sample import Floats

Key = TypeVar("Key")


def holm(p_values: Sequence[float]) -> Floats:
    """(m,) p-values so raised that in at most 5 % of families any true null is below 0.05. Source: Holm 1979."""
    given = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(given, kind="stable")
    raised = np.maximum.accumulate(given[order] * np.arange(len(given), 0, -1))
    found: Floats = np.empty(len(given))
    found[order] = np.minimum(raised, 1)
    return found


def family(found: Mapping[Key, Difference]) -> dict[Key, float]:
    """What p becomes for each of the differences that are claimed at once; `Difference.seen_at` takes it."""
    raised = holm([one.p for one in found.values()])
    return {key: float(p) for key, p in zip(found, raised, strict=True)}
