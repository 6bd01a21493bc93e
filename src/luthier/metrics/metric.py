"""What a metric is: a number a row, or row statistics that add up to a number for the whole.

Both shapes end in sums over rows, so that one bootstrap serves every metric. A reward is the same function as a
row metric. Not here: intervals and comparisons (`luthier.stats`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]

RowMetric: TypeAlias = Callable[[str, Sequence[str]], float]
"""(prediction, references) -> a number in [0, 1]; an empty prediction gets 0."""


Better: TypeAlias = Literal["higher", "lower", "neither"]
"""Which values are the good ones; `neither` describes answers without judging them."""


class Metric(Protocol):
    """A score of n predictions that depends on them only through the sum of their statistics."""

    @property
    def top(self) -> float:
        """The largest value."""
        ...

    @property
    def bottom(self) -> float:
        """The smallest value: 0, save for a correlation and its like."""
        ...

    @property
    def better(self) -> Better:
        """Which values are the good ones."""
        ...

    @property
    def by_row(self) -> bool:
        """Whether the score of a single row means something by itself."""
        ...

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """n predictions with their references -> (n, k): what each row adds to the totals."""
        ...

    def score(self, totals: Floats) -> Floats:
        """Totals (b, k), one line a set of rows -> (b,); an empty set scores 0."""
        ...

    def signature(self, references: Sequence[Sequence[str]]) -> str:
        """How it was computed, in the words others publish it with; empty where there is no such convention."""
        ...


@dataclass(frozen=True, slots=True)
class Mean:
    """A row metric as a metric: the mean over rows."""

    row: RowMetric
    top: float = 1.0
    bottom: float = 0.0
    by_row: bool = True
    better: Better = "higher"

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """(n, 2): the row's value, and 1."""
        values = [self.row(text, right) for text, right in zip(predictions, references, strict=True)]
        return np.column_stack((np.array(values, dtype=np.float64), np.ones(len(values))))

    def score(self, totals: Floats) -> Floats:
        """Sum of values over count of rows."""
        return ratio(totals[:, 0], totals[:, 1])

    def signature(self, references: Sequence[Sequence[str]]) -> str:
        """None is customary."""
        return ""


def ratio(above: Floats, below: Floats) -> Floats:
    """Element by element `above / below`, and 0 where `below` is 0."""
    return np.divide(above, below, out=np.zeros(np.shape(above)), where=below != 0)
