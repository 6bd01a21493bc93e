"""How likely a model finds the reference answers: the loss that training lowers, on rows it did not learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from luthier.batch import cut, pack
from luthier.evaluate.question import Progress, Question
from luthier.model.forward import forward
from luthier.model.load import Model


@dataclass(frozen=True, slots=True)
class Loss:
    """Of one question's references."""

    total: float
    """Weighted negative log-likelihood in nats, summed in float64."""
    tokens: float
    """Weight of the tokens it was summed over."""
    bytes: float
    """Of the references' text in UTF-8, weighted as their tokens are; the end of the turn has none."""

    @property
    def mean(self) -> float:
        """Nats a token; 0 where nothing is learned."""
        return self.total / self.tokens if self.tokens else 0.0


def losses(model: Model, questions: Sequence[Question], *, budget: int, progress: Progress) -> list[Loss]:
    """Each question's loss over all its right completions, in packed batches of at most `budget` distinct tokens."""
    sequences = [sequence for question in questions for sequence in question.sequences]
    total = np.zeros(len(questions))
    done: set[int] = set()
    for members in cut(sequences, budget=budget):
        batch = pack(members).to(model.device)
        spent = -forward(model, batch).logprobs.to(torch.float64) * batch.weight
        np.add.at(total, batch.group[batch.sequence].cpu().numpy(), spent.cpu().numpy())
        done |= {member.group for member in members}
        progress("loss", len(done), len(questions))
    weights = [sum(float(one.weight.sum(dtype=np.float64)) for one in each.sequences) for each in questions]
    return [
        Loss(float(nats), weight, bytes_of(question))
        for nats, weight, question in zip(total, weights, questions, strict=True)
    ]


def bytes_of(question: Question) -> float:
    """Bytes of every right completion's last turn, each by the mean weight of its learned tokens."""
    right = [one for one in question.example.completions if one.score > 0]
    return sum(
        len(completion.text.encode()) * float(sequence.weight[sequence.weight != 0].mean())
        for completion, sequence in zip(right, question.sequences, strict=True)
        if sequence.supervised
    )
