"""How much calibration error mere chance gives a model whose confidence is true: the bar that an error is held to.

A calibration error is never below 0, so that few rows show one even where confidence tells the truth, and no interval
around it says whether it is any more than that. Not here: the error itself, and how far it lies on other rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from luthier.metrics.calibration import Bins, Integers, if_calibrated
from luthier.stats import LEVEL, Floats
from luthier.types import Json
from luthier.words import counted


@dataclass(frozen=True, slots=True)
class Chance:
    """A calibration error beside those that chance gives on as many rows."""

    error: float
    high: float
    """95 of 100 models whose confidence is true show no more."""
    p: float
    """How often such a model shows as much."""
    n: int

    @property
    def explains(self) -> bool:
        """Whether the error says nothing against the confidence."""
        return self.p >= 1 - LEVEL

    def json(self) -> dict[str, Json]:
        """For report.json."""
        return {"high": self.high, "p": self.p, "miscalibrated": not self.explains}


def by_chance(
    confidence: Floats,
    right: Floats,
    bins: Bins,
    together: Integers | None = None,
    *,
    draws: int,
    rng: np.random.Generator,
) -> Chance:
    """confidence (n,) and right (n,) of 0 and 1; together (n,): the group of each row, where rows come in groups."""
    drawn = if_calibrated(confidence, bins, together, draws=draws, rng=rng)
    error = float(bins.error(bins.statistics(confidence, right).sum(axis=0, keepdims=True))[0])
    as_large = int((drawn >= error - 1e-12).sum())
    return Chance(error, float(np.quantile(drawn, LEVEL)), (as_large + 1) / (draws + 1), len(right))


def trusted(found: Chance, *, sure: float, right: float) -> str:
    """Whether confidence can be taken at its word, for people; sure, right: means over all rows."""
    bar = f"19 of 20 models whose confidence is true show no more than {found.high:.3f} on {counted(found.n, 'row')}"
    if found.explains:
        return f"No miscalibration to be seen: the calibration error is {found.error:.3f}, and {bar}."
    told = f"Its confidence is off: the calibration error is {found.error:.3f}, and {bar}"
    return f"{told}. On average it is {100 * sure:.1f} % sure, and right on {100 * right:.1f} %."
