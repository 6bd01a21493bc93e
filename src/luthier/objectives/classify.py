"""Classification by a linear head: how likely it finds a row's label, from the state that an answer would begin at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from luthier.batch import Batch, Unit
from luthier.errors import RecipeError
from luthier.objectives.objective import Scores


@dataclass(frozen=True, slots=True)
class Classify:
    """Learn to tell labels apart by a linear head on the prompt's last state, in place of writing them."""

    label_smoothing: float = 0.0
    """Share of each target spread evenly over the labels, in [0, 1)."""

    unit: ClassVar[Unit] = "token"
    needs: ClassVar[frozenset[str]] = frozenset({"head"})

    def __post_init__(self) -> None:
        if not 0 <= self.label_smoothing < 1:
            raise RecipeError(f"label_smoothing is {self.label_smoothing}; it must be a share in [0, 1)")

    def __call__(self, scores: Scores, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy of each row's label, which its score counts, weighted and summed; logs it unsmoothed as `nll`,
        and `right`, the weight of the rows whose label comes first.
        """
        assert scores.head is not None, "the forward left out 'head', which classification needs"
        label = batch.score[batch.sequence].long()  # (m,)
        logprobs = scores.head.gather(1, label[:, None]).squeeze(1)
        nll = -(batch.weight * logprobs).sum()
        right = (batch.weight * (scores.head.argmax(dim=1) == label)).sum()
        spread = -(batch.weight * scores.head.mean(dim=1)).sum()
        loss = (1 - self.label_smoothing) * nll + self.label_smoothing * spread if self.label_smoothing else nll
        return loss, {"nll": nll.detach(), "right": right.detach()}
