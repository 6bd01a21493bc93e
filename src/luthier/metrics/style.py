"""What answers are like, whether right or wrong: their length, how they repeat themselves, how varied they are.

These describe and do not judge: a recipe's deciding metric is another one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

import numpy as np

from luthier.metrics.metric import Better, Floats, ratio
from luthier.metrics.words import words

REPEATED = 4
"""Words in a row whose return counts as repeating oneself."""


@dataclass(frozen=True, slots=True)
class LengthRatio:
    """Words of all answers over words of their references, each by the reference nearest in length; 1 is as long."""

    top: float = inf
    bottom: float = 0.0
    by_row: bool = False
    better: Better = "neither"

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """(n, 2): words said, words of the reference."""
        rows = [_lengths(text, right) for text, right in zip(predictions, references, strict=True)]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2)

    def score(self, totals: Floats) -> Floats:
        """Said over wanted."""
        return ratio(totals[:, 0], totals[:, 1])

    def signature(self, references: Sequence[Sequence[str]]) -> str:
        """None is customary."""
        return ""


@dataclass(frozen=True, slots=True)
class Distinct:
    """Share of different ones among an answer's runs of `order` words, over all answers; near 0 where they loop.

    Within each answer, so that it adds up over rows and does not fall with their number, as that of Li et al. 2016 over
    a whole corpus does.
    """

    order: int
    repeated: bool = False
    """The share that stood in the answer before, instead: 1 minus the other."""
    top: float = 1.0
    bottom: float = 0.0
    by_row: bool = False
    better: Better = "neither"

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """(n, 2): runs that count, runs in all."""
        rows = [self._counts(words(text)) for text in predictions]
        return np.array(rows, dtype=np.float64).reshape(len(rows), 2)

    def score(self, totals: Floats) -> Floats:
        """The share."""
        return ratio(totals[:, 0], totals[:, 1])

    def signature(self, references: Sequence[Sequence[str]]) -> str:
        """None is customary."""
        return ""

    def _counts(self, text: Sequence[str]) -> tuple[int, int]:
        runs = list(zip(*(text[at:] for at in range(self.order)), strict=False))
        distinct = len(set(runs))
        return (len(runs) - distinct if self.repeated else distinct), len(runs)


def _lengths(prediction: str, references: Sequence[str]) -> tuple[int, int]:
    said = len(words(prediction))
    return said, min((len(words(text)) for text in references), key=lambda one: (abs(one - said), one), default=0)
