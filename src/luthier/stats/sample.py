"""What a metric measured on n rows, and which of them belong together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Score: TypeAlias = Callable[[Floats], Floats]
"""Totals (b, k) -> (b,)."""

LEVEL = 0.95
"""Of every interval; a difference is called one at p < 1 - LEVEL."""
POWER = 0.8
"""Chance of seeing a difference of the stated size."""
FEWEST = 6
"""Independent rows that must differ before an exact two-sided sign test can reach p < 0.05: 2 / 2**6 = 0.031."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What a metric measured on n rows."""

    statistics: Floats
    """(n, k): what each row adds."""
    score: Score
    clusters: NDArray[np.int64] | None = None
    """(n,) index of the group each row belongs to; None where every row stands alone."""
    scale: tuple[float, float] = (-inf, inf)
    """The smallest and the largest value that the score can take."""

    @property
    def value(self) -> float:
        """The score of all rows."""
        return float(self.score(self.statistics.sum(axis=0, keepdims=True))[0])

    @property
    def is_proportion(self) -> bool:
        """Whether every row is plainly right (1) or wrong (0)."""
        stats = self.statistics
        return stats.shape[1] == 2 and bool((stats[:, 1] == 1).all() and np.isin(stats[:, 0], (0, 1)).all())

    def sums(self) -> Floats:
        """(c, k): the statistics of each group of rows."""
        if self.clusters is None:
            return self.statistics
        sums = np.zeros((int(self.clusters.max(initial=-1)) + 1, self.statistics.shape[1]))
        np.add.at(sums, self.clusters, self.statistics)
        return sums


def clusters(groups: Sequence[str | None]) -> NDArray[np.int64] | None:
    """Group names to indexes (n,); a row without a group stands alone; None where all rows do."""
    names = [f"row {at}" if group is None else f"group {group}" for at, group in enumerate(groups)]
    first: dict[str, int] = {}
    index = np.array([first.setdefault(name, len(first)) for name in names], dtype=np.int64)
    return None if len(first) == len(names) else index
