"""What an objective is: a sum over its units, and nothing about models, forests or steps.

An objective never averages, never reads a sequence's neighbours unless its unit is the group, and never
learns how a batch was packed or cut: the engine counts, divides and steps.
"""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from luthier.batch import Batch, Unit


class Scores(Protocol):
    """What the forward brings for the m scored (sequence, token) pairs of a batch."""

    @property
    def logprobs(self) -> Tensor:
        """(m,) log-probability of each scored token, float32."""

    @property
    def uniform(self) -> Tensor | None:
        """(m,) mean log-probability over the vocabulary, where `needs` asked for it."""

    @property
    def divergence(self) -> Tensor | None:
        """(m,) KL(base || model) over the vocabulary in nats, where `needs` asked for it."""

    @property
    def twin(self) -> Tensor | None:
        """(m,) log-probability of each scored token in a second pass with its own dropout, where `needs` asked."""

    @property
    def disagreement(self) -> Tensor | None:
        """(m,) KL of the two passes, both ways, over the vocabulary in nats; comes with `twin`."""

    @property
    def head(self) -> Tensor | None:
        """(m, k) what the leaf head says of the state that predicts each pair, where `needs` asked for it."""


class Objective(Protocol):
    """A frozen dataclass that is its own configuration, and callable."""

    @property
    def unit(self) -> Unit:
        """What is counted to turn the sum into a mean."""

    @property
    def needs(self) -> frozenset[str]:
        """Fields of `Scores` the forward must bring beside `logprobs`."""

    def __call__(self, scores: Scores, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss as a sum over units (0-d, differentiable), and sums to log by name (0-d, detached)."""
