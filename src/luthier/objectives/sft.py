"""Supervised fine-tuning: the weighted negative log-likelihood of the answers.

Which tokens are learned, and how much, was decided by whoever rendered them: the weights carry it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from luthier.batch import Batch, Unit
from luthier.errors import RecipeError
from luthier.objectives.objective import Scores


@dataclass(frozen=True, slots=True)
class SFT:
    """Learn to give the answers as written."""

    label_smoothing: float = 0.0
    """Share of each target spread evenly over the vocabulary, in [0, 1)."""

    unit: ClassVar[Unit] = "token"

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise RecipeError(f"label_smoothing is {self.label_smoothing}; give a share in [0, 1)")

    @property
    def needs(self) -> frozenset[str]:
        """The mean log-probability over the vocabulary, only where smoothing uses it."""
        return frozenset({"uniform"}) if self.label_smoothing else frozenset()

    def __call__(self, scores: Scores, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy against the smoothed target, summed; logs the plain one as `nll`.

        Source: Szegedy et al. 2016, arXiv:1512.00567, section 7.
        """
        nll = -(batch.weight * scores.logprobs).sum()
        if not self.label_smoothing:
            return nll, {"nll": nll.detach()}
        assert scores.uniform is not None, "the forward left out 'uniform', which label smoothing needs"
        spread = -(batch.weight * scores.uniform).sum()
        loss = (1 - self.label_smoothing) * nll + self.label_smoothing * spread
        return loss, {"nll": nll.detach()}
