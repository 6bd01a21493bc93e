"""How far answers that are numbers lie from the right ones. An answer's number is found as `numeric` finds it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from luthier.metrics.metric import Better, Floats, ratio
from luthier.metrics.numeric import answer_number


@dataclass(frozen=True, slots=True)
class Regression:
    """A score of the errors' sums."""

    of: Callable[[Floats], Floats]
    """Totals (b, 5) of `statistics` -> (b,)."""
    top: float = inf
    bottom: float = 0.0
    better: Better = "lower"
    by_row: bool = False

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """(n, 5): 1, the error, its square, the right number, its square. Of several references the nearest counts."""
        found = [_nearest(text, right) for text, right in zip(predictions, references, strict=True)]
        error, right = np.array(found, np.float64).reshape(-1, 2).T
        return np.column_stack((np.ones(len(error)), error, error**2, right, right**2))

    def score(self, totals: Floats) -> Floats:
        """Totals (b, 5) -> (b,)"""
        return self.of(totals)

    def signature(self, references: Sequence[Sequence[str]]) -> str:
        """None is customary."""
        return ""


def mean_absolute_error(totals: Floats) -> Floats:
    """Mean distance."""
    return ratio(totals[:, 1], totals[:, 0])


def root_mean_squared_error(totals: Floats) -> Floats:
    """Root of the mean squared distance."""
    found: Floats = np.sqrt(ratio(totals[:, 2], totals[:, 0]))
    return found


def explained(totals: Floats) -> Floats:
    """R2, the share of the right numbers' variance that is explained; 0 where their mean would do as well."""
    about_mean = totals[:, 4] - ratio(totals[:, 3] ** 2, totals[:, 0])
    found: Floats = np.where(about_mean > 0, 1 - ratio(totals[:, 2], about_mean), 0.0)
    return np.clip(found, 0, 1)


def _nearest(text: str, references: Sequence[str]) -> tuple[float, float]:
    """The distance to the nearest reference, and that reference's number."""
    found = [_apart(text, reference) for reference in references]
    return min(found, default=(1.0, 0.0))


def _apart(text: str, reference: str) -> tuple[float, float]:
    """An answer without a number is as far off as 0 would be, and at least by 1."""
    said, right = answer_number(text), answer_number(reference)
    wanted = float(right) if right is not None else 0.0
    if said is not None and right is not None:
        return abs(float(said) - wanted), wanted
    return (0.0 if text.strip() == reference.strip() else max(1.0, abs(wanted))), wanted
