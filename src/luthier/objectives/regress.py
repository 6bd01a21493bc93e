"""Regression by a linear head: a number, from the state that an answer would begin at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from luthier.batch import Batch, Unit
from luthier.errors import RecipeError
from luthier.objectives.objective import Scores


@dataclass(frozen=True, slots=True)
class Regress:
    """Learn to say a number by a linear head on the prompt's last state, in place of writing it."""

    delta: float = math.inf
    """Deviation, in standard deviations of the training rows' numbers, from which on an error counts linearly and not
    squared (Huber 1964); inf squares all."""

    unit: ClassVar[Unit] = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"head"})

    def __post_init__(self) -> None:
        if not self.delta > 0:
            raise RecipeError(f"delta is {self.delta}; it must be above 0")

    def __call__(self, scores: Scores, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Half the squared error against each row's score, linear beyond `delta`, weighted and summed."""
        assert scores.head is not None, "the forward left out 'head', which regression needs"
        found, wanted = scores.head[:, 0], batch.score[batch.sequence].to(scores.head.dtype)
        squared = 0.5 * (found - wanted) ** 2
        error = squared if math.isinf(self.delta) else functional.huber_loss(found, wanted, "none", self.delta)
        return (batch.weight * error).sum(), {"half_squared_error": (batch.weight * squared).sum().detach()}
