"""What an evaluation during training finds: figures of validation rows, and the loss beside them on training rows.

The training rows are a fixed sample, measured as the validation rows are: in evaluation mode, without dropout, after
the step. Only so are the two losses like with like, and their gap a measure of how much was learned by heart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.metrics.metric import ratio
from luthier.stats import LEVEL, Floats, Interval, Sample, clusters, resample
from luthier.types import Json

RESAMPLES = 1000
"""Behind the interval of a gap, which is drawn and not decided by."""
DIGITS = 6
"""Decimals of a row's nats in metrics.jsonl."""


@dataclass(frozen=True, slots=True)
class Losses:
    """How likely a model found the answers of some rows; rows of one group (user, document) are one entry."""

    nats: tuple[float, ...]
    """What each entry spent."""
    tokens: tuple[float, ...]
    """Weight of the tokens it was spent on."""
    rows: int
    """Rows in all the entries."""

    @property
    def mean(self) -> float:
        """Nats a token."""
        return self.sample.value

    @property
    def sample(self) -> Sample:
        """As a statistic of its entries."""
        return Sample(np.array([self.nats, self.tokens], dtype=np.float64).T.reshape(-1, 2), _mean)

    def line(self) -> Json:
        """As metrics.jsonl has it: `[nats, tokens]` of each entry."""
        return [[round(nats, DIGITS), tokens] for nats, tokens in zip(self.nats, self.tokens, strict=True)]


@dataclass(frozen=True, slots=True)
class Look:
    """What one evaluation during training found."""

    metrics: Mapping[str, float]
    """Of the validation rows, by name."""
    validation: Losses | None = None
    train: Losses | None = None
    """Of as many training rows, the same ones every time."""

    @property
    def gap(self) -> Interval | None:
        """Validation loss minus training loss, in nats a token; the two samples are drawn apart."""
        if self.validation is None or self.train is None:
            return None
        draw = np.random.default_rng(0)
        held_out, learned = self.validation.sample, self.train.sample
        drawn = [one.score(resample(one.statistics, RESAMPLES, draw)) for one in (held_out, learned)]
        low, high = np.quantile(drawn[0] - drawn[1], ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
        return Interval(held_out.value - learned.value, float(low), float(high))


def losses(nats: Sequence[float], tokens: Sequence[float], groups: Sequence[str | None]) -> Losses:
    """One entry a row, or a group of rows, each in the order they first came."""
    index = clusters(groups)
    spent = np.array([nats, tokens], dtype=np.float64).T
    if index is not None:
        spent = Sample(spent, _mean, index).sums()
    return Losses(tuple(spent[:, 0].tolist()), tuple(spent[:, 1].tolist()), len(nats))


def _mean(totals: Floats) -> Floats:
    return ratio(totals[:, 0], totals[:, 1])
