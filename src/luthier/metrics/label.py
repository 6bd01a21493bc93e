"""Right or wrong among labels: accuracy, the table of classes, macro and weighted F1, MCC, confusions.

Labels are compared as written. A row's reference is its first one. The classes are the labels that stand among
the references: a label that only a model says costs the others recall, but adds no class, so that two models are
averaged over the same classes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.metrics.metric import Better, Floats, ratio


def accuracy(prediction: str, references: Sequence[str]) -> float:
    """1 if the prediction is one of the references, apart from white space around it, else 0."""
    given = prediction.strip()
    return float(bool(given) and any(given == reference.strip() for reference in references))


@dataclass(frozen=True, slots=True)
class ClassScore:
    """How one label fares."""

    label: str
    support: int
    """Rows whose reference it is."""
    precision: float
    """Of the rows given this label, the share that is right; 0 if it was never given."""
    recall: float
    f1: float


@dataclass(frozen=True, slots=True)
class Confusion:
    """A mistake, and how often it was made."""

    gold: str
    predicted: str
    count: int


@dataclass(frozen=True, slots=True)
class MacroF1:
    """Mean F1 of the classes, each counting the same however rare; classes without a row in a resample sit out."""

    weighted: bool = False
    """Whether a class counts by its rows instead."""
    top: float = 1.0
    bottom: float = 0.0
    by_row: bool = False
    better: Better = "higher"

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """(n, 3 c): for each of c classes, whether the row was rightly given it, was given it, has it."""
        return _counts(predictions, references)

    def score(self, totals: Floats) -> Floats:
        """Mean over classes with a row of `2 right / (given + had)`."""
        right, given, had = np.split(totals, 3, axis=1)
        share = had if self.weighted else (had > 0).astype(np.float64)
        return ratio((ratio(2 * right, given + had) * share).sum(axis=1), share.sum(axis=1))

    def signature(self, references: Sequence[Sequence[str]]) -> str:
        """None is customary."""
        return ""


@dataclass(frozen=True, slots=True)
class Matthews:
    """Correlation of given and right classes, in [-1, 1]; 0 for answers that say nothing about the class.

    Labels that are no class of the references count as one class. Source: Gorodkin 2004, eq. 8.
    """

    top: float = 1.0
    bottom: float = -1.0
    by_row: bool = False
    better: Better = "higher"

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """(n, 3 c), as of F1; what was given to no class follows from the sums."""
        return _counts(predictions, references)

    def score(self, totals: Floats) -> Floats:
        """(right n - sum given had) / sqrt((n^2 - sum given^2) (n^2 - sum had^2))."""
        right, given, had = np.split(totals, 3, axis=1)
        n = had.sum(axis=1)
        other = n - given.sum(axis=1)
        above = right.sum(axis=1) * n - (given * had).sum(axis=1)
        spread = (n**2 - (given**2).sum(axis=1) - other**2) * (n**2 - (had**2).sum(axis=1))
        return ratio(above, np.sqrt(np.maximum(spread, 0)))

    def signature(self, references: Sequence[Sequence[str]]) -> str:
        """None is customary."""
        return ""


def _counts(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """(n, 3 c): for each of c classes, whether the row was rightly given it, was given it, has it."""
    column = {label: at for at, label in enumerate(sorted({right[0].strip() for right in references}))}
    counts = np.zeros((len(predictions), 3, len(column)))
    for row, (text, right) in enumerate(zip(predictions, references, strict=True)):
        given, gold = column.get(text.strip()), column[right[0].strip()]
        counts[row, 2, gold] = 1
        if given is not None:
            counts[row, 1, given] = 1
            counts[row, 0, given] = given == gold
    return counts.reshape(len(predictions), -1)


def classes(predictions: Sequence[str], gold: Sequence[str]) -> tuple[ClassScore, ...]:
    """Precision, recall and F1 of every label among `gold`, by name."""
    given, had = Counter(predictions), Counter(gold)
    right = Counter(one for one, other in zip(predictions, gold, strict=True) if one == other)
    return tuple(_class(label, right[label], given[label], had[label]) for label in sorted(had))


def confusions(predictions: Sequence[str], gold: Sequence[str]) -> tuple[Confusion, ...]:
    """Every mistake with its count, the most frequent first, then by name."""
    pairs = Counter(pair for pair in zip(gold, predictions, strict=True) if pair[0] != pair[1])
    ranked = sorted(pairs.items(), key=lambda item: (-item[1], item[0]))
    return tuple(Confusion(one, other, count) for (one, other), count in ranked)


def _class(label: str, right: int, given: int, had: int) -> ClassScore:
    precision = right / given if given else 0.0
    return ClassScore(label, had, precision, right / had, 2 * right / (given + had))
