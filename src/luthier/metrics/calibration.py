"""Whether a model knows when it is right: calibration error, Brier score, log loss, abstention, AUROC, temperature.

All of it is about a choice: every row has a probability for each class, and the likeliest class is the answer. What
adds up over rows gives row statistics, as every metric does; what depends on ranks takes a weight for each row, so that
both can be resampled. Not here: models, rows of a run, and intervals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.metrics.metric import Floats, ratio

Integers: TypeAlias = NDArray[np.int64]

BINS = 15
"""Source: Guo et al. 2017, "On Calibration of Modern Neural Networks"."""
_CELLS = 2**21
"""Drawn rows held at a time: 16 MiB in float64."""
HOTTEST = 100.0
"""A temperature is looked for between 1 / HOTTEST and HOTTEST."""


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Rows put together by their confidence; a bin holds its upper edge, the first one 0 too."""

    edges: Floats
    """(b - 1,) between the bins, rising."""

    @classmethod
    def equal(cls, count: int = BINS) -> Bins:
        """Bins of one width."""
        return cls(np.arange(1, count) / count)

    @classmethod
    def adaptive(cls, confidence: Floats, count: int = BINS) -> Bins:
        """Bins of as many rows each as can be; rows of one confidence share a bin. Source: Nguyen & O'Connor 2015."""
        ranked = np.sort(confidence)
        places = np.arange(1, count) * len(ranked) // count
        return cls(np.unique(ranked[np.maximum(places - 1, 0)]))

    def place(self, confidence: Floats) -> Integers:
        """(n,) which bin each row is in."""
        return np.searchsorted(self.edges, confidence, side="left").astype(np.int64)

    def statistics(self, confidence: Floats, right: Floats) -> Floats:
        """(n, 3 b): for its own bin, that it is there, its confidence, and whether it is right."""
        n, count = len(confidence), len(self.edges) + 1
        found = np.zeros((n, 3, count))
        found[np.arange(n), :, self.place(confidence)] = np.column_stack((np.ones(n), confidence, right))
        return found.reshape(n, -1)

    @staticmethod
    def error(totals: Floats) -> Floats:
        """(t, 3 b) -> (t,) expected calibration error: |confidence - accuracy| of a bin, weighted by its rows."""
        rows, confidence, right = np.split(totals, 3, axis=1)
        return ratio(np.abs(confidence - right).sum(axis=1), rows.sum(axis=1))


def if_calibrated(
    confidence: Floats, bins: Bins, together: Integers | None = None, *, draws: int, rng: np.random.Generator
) -> Floats:
    """(draws,) calibration errors that chance gives a model whose confidence is true, on just these rows.

    confidence (n,): each row is right with its own. together (n,): rows of one group share a draw, the most that they
    can hang together. Source: Broecker & Smith 2007, "Increasing the reliability of reliability diagrams".
    """
    groups = np.arange(len(confidence)) if together is None else together
    count = int(groups.max(initial=-1)) + 1
    member = np.eye(len(bins.edges) + 1)[bins.place(confidence)]  # (n, b)
    believed = confidence @ member
    size = max(1, _CELLS // max(1, len(confidence)))
    found = []
    for start in range(0, draws, size):
        chance = rng.random((min(size, draws - start), count))[:, groups]
        found.append(np.abs(believed - (chance < confidence) @ member).sum(axis=1))
    errors: Floats = np.concatenate(found) / max(1, len(confidence))
    return errors


def probabilities(logits: Floats, temperature: float = 1.0) -> Floats:
    """(n, c) log-probabilities, minus infinity where unknown -> (n, c) that sum to 1."""
    from scipy.special import softmax

    found: Floats = softmax(logits / temperature, axis=1)
    return found


def brier(chances: Floats, gold: Integers) -> Floats:
    """(n, c), (n,) -> (n,) squared distance from the truth over all classes, in [0, 2]. Source: Brier 1950."""
    truth = np.zeros_like(chances)
    truth[np.arange(len(gold)), gold] = 1
    found: Floats = ((chances - truth) ** 2).sum(axis=1)
    return found


def log_loss(logits: Floats, gold: Integers, temperature: float = 1.0) -> Floats:
    """(n, c), (n,) -> (n,) nats that the right class takes."""
    from scipy.special import log_softmax

    found: Floats = -log_softmax(logits / temperature, axis=1)[np.arange(len(gold)), gold]
    return found


def temperature(logits: Floats, gold: Integers) -> float:
    """The divisor of (n, c) log-probabilities under which the right classes are likeliest: above 1 was too sure.

    To be fitted on rows other than those it is judged on. Source: Guo et al. 2017.
    """
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda power: float(log_loss(logits, gold, float(np.exp(power))).mean()),
        bounds=(-np.log(HOTTEST), np.log(HOTTEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def coverage(confidence: Floats, right: Floats) -> tuple[Floats, Floats]:
    """Answering only the surest rows: (g,) share of rows answered and (g,) accuracy on them, rising in coverage.

    One point for each distinct confidence: rows of one confidence are answered together.
    """
    order, ends = _ranked(confidence)
    answered = np.arange(1, len(order) + 1, dtype=np.float64)[ends]
    return answered / len(order), right[order].cumsum()[ends] / answered


def coverage_area(confidence: Floats, right: Floats, weights: Floats) -> Floats:
    """Mean accuracy over all coverages, (n,), (n,), (t, n) weights of rows -> (t,); 1 is best.

    Rows of one confidence come in no order: each counts with their mean. Source: Geifman & El-Yaniv 2017 (as risk).
    """
    order, ends = _ranked(confidence)
    rows, hits = (_grouped(weights[:, order] * column, ends) for column in (np.ones(len(order)), right[order]))
    before, hit = rows.cumsum(axis=1) - rows, hits.cumsum(axis=1) - hits
    share = ratio(hits, rows)
    # Within a group accuracy goes from that of the rows before it towards its own: integral of (hit + x s)/(before + x)
    grown = share * rows + (hit - share * before) * np.log1p(ratio(rows, before))
    area = np.where(before > 0, grown, share * rows)
    return ratio(area.sum(axis=1), rows.sum(axis=1))


def auroc(score: Floats, positive: Floats, weights: Floats) -> Floats:
    """Chance that a positive row scores above a negative one, ties half; (n,), (n,) of 0 and 1, (t, n) -> (t,).

    0 where one of the kinds is missing.
    """
    order, ends = _ranked(score)
    good, bad = (_grouped(weights[:, order] * column, ends) for column in (positive[order], 1 - positive[order]))
    above = good.cumsum(axis=1) - good / 2
    return ratio((bad * above).sum(axis=1), good.sum(axis=1) * bad.sum(axis=1))


def _ranked(score: Floats) -> tuple[Integers, Integers]:
    """Rows by falling score, and the last place of each group of equal ones."""
    order = np.argsort(-score, kind="stable")
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    return order, ends


def _grouped(values: Floats, ends: Integers) -> Floats:
    """(t, n) -> (t, g) sums of neighbours, each group ending at its place."""
    starts = np.concatenate(([0], ends[:-1] + 1))
    found: Floats = np.add.reduceat(values, starts, axis=1)
    return found
