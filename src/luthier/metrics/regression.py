"""How far answers that are numbers lie from the right ones.

An answer that is no number is read as `numeric` reads it; one without any counts as 0 would, and as 1 off at least.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite

import numpy as np

from luthier.metrics.metric import Better, Floats, ratio
from luthier.metrics.numeric import answer_number

SAME = 1e-14
"""Share of the mean square that rounding alone leaves of a variance of 0."""


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
    """R2, the share of the right numbers' variance that is explained; 0 where their mean would do as well, below 0
    where it would do better, without end. 0 for right numbers that are all the same, which have no variance.
    """
    about_mean = totals[:, 4] - ratio(totals[:, 3] ** 2, totals[:, 0])
    varied = about_mean > SAME * totals[:, 4]
    return np.where(varied, 1 - ratio(totals[:, 2], np.where(varied, about_mean, 0.0)), 0.0)


def whole_number(text: str) -> float | None:
    """The number that a whole text is, in whatever way it is written; None where it is none or has no end."""
    try:
        found = float(text.strip().replace("\N{MINUS SIGN}", "-"))
    except ValueError:
        return None
    return found if isfinite(found) else None


def number_in(text: str) -> float | None:
    """The number that the text is, else the one it ends in; None without one."""
    whole = whole_number(text)
    if whole is not None:
        return whole
    found = answer_number(text)
    return None if found is None else float(found)


def _nearest(text: str, references: Sequence[str]) -> tuple[float, float]:
    """The distance to the nearest reference, and that reference's number."""
    found = [_apart(text, reference) for reference in references]
    return min(found, default=(1.0, 0.0))


def _apart(text: str, reference: str) -> tuple[float, float]:
    """An answer without a number is as far off as 0 would be, and at least by 1."""
    said, right = number_in(text), number_in(reference)
    wanted = right if right is not None else 0.0
    if said is not None and right is not None:
        return abs(said - wanted), wanted
    return (0.0 if text.strip() == reference.strip() else max(1.0, abs(wanted))), wanted
