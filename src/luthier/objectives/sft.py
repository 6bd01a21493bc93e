"""Supervised fine-tuning: the weighted negative log-likelihood of the answers.

Which tokens are learned, and how much, was decided by whoever rendered them: the weights carry it.
"""

from __future__ import annotations

import math
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
    kl: float = 0.0
    """Pull to the model as it was: this times KL(base || tuned) is added to the loss of each learned token, replay's
    too. Costs one forward more a step; with `full` and `freeze` also a second copy of the weights that learn."""
    r_drop: float = 0.0
    """Pull of two passes with their own dropout to each other, such as 1: the loss is the mean of both, and this times
    a quarter of their KL, both ways, is added. Needs dropout (`method.dropout`, `model.dropout`); costs twice the time
    and memory of a step."""

    unit: ClassVar[Unit] = "token"

    def __post_init__(self) -> None:
        bounds = [
            ("label_smoothing", 0 <= self.label_smoothing < 1, "a share in [0, 1)"),
            ("kl", 0 <= self.kl < math.inf, "0 or more"),
            ("r_drop", 0 <= self.r_drop < math.inf, "0 or more"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))

    @property
    def needs(self) -> frozenset[str]:
        """What smoothing, kl and r_drop use, where they are on."""
        used = {"uniform": self.label_smoothing, "divergence": self.kl, "twin": self.r_drop}
        return frozenset(name for name, strength in used.items() if strength)

    def __call__(self, scores: Scores, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy against the smoothed target with the pull to the base, summed.

        Logs the plain cross-entropy as `nll`, and the divergence and the disagreement where they are used. With two
        passes `nll` is the mean of both, smoothing and the pull are taken of the first, and the sum is half of
        R-Drop's, so that a learning rate means what it does without it.
        Source: Szegedy et al. 2016, arXiv:1512.00567, section 7; Li & Hoiem 2017, arXiv:1606.09282, for the pull;
        Liang et al. 2021, arXiv:2106.14448, eq. 4, for R-Drop.
        """
        nll = -(batch.weight * scores.logprobs).sum()
        if self.r_drop:
            assert scores.twin is not None, "the forward left out 'twin', which r_drop needs"
            nll = (nll - (batch.weight * scores.twin).sum()) / 2
        loss, logged = nll, {"nll": nll.detach()}
        if self.label_smoothing:
            assert scores.uniform is not None, "the forward left out 'uniform', which label smoothing needs"
            spread = -(batch.weight * scores.uniform).sum()
            loss = (1 - self.label_smoothing) * nll + self.label_smoothing * spread
        if self.kl:
            assert scores.divergence is not None, "the forward left out 'divergence', which kl needs"
            apart = (batch.weight * scores.divergence).sum()
            loss, logged = loss + self.kl * apart, {**logged, "divergence": apart.detach()}
        if self.r_drop:
            assert scores.disagreement is not None, "the forward left out 'disagreement', which r_drop needs"
            between = (batch.weight * scores.disagreement).sum() / 2
            loss, logged = loss + self.r_drop / 2 * between, {**logged, "disagreement": between.detach()}
        return loss, logged
