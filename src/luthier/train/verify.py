"""The first step computed twice before it is taken: as the engine does it, and every row alone.

    the engine                                     alone
    rows packed into one forest, cut by budget     one example at a time, its sequences side by side
    attention over the plan                        the attention that transformers opened the model with
    the head in chunks, gradients in the forward   all logits of a row, log_softmax, autograd

Both compute in the run's own number format, with nothing dropped out. Layers of the method, and their gradients, are
the same on both sides: their own tests hold them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from luthier.batch import Batch, pack
from luthier.errors import GateError
from luthier.model.forward import Scores, computing, forward, head, scored_rows, still
from luthier.model.load import Model
from luthier.objectives.objective import Objective
from luthier.train.loader import Plan
from luthier.train.optim import trainable
from luthier.types import TokenSequence

ALLOWED = {torch.float64: 1e-6, torch.float32: 1e-3}
"""Largest distance of two gradients, as a share of their norm, where compute is not in half precision."""
HALF_ALLOWED = 0.1
"""The same for bfloat16 and float16, whose own rounding is of this order."""


@dataclass(frozen=True, slots=True)
class Verified:
    """How the two computations of one step compare."""

    examples: int
    logical: int
    """Tokens that were computed alone."""
    distinct: int
    """Tokens that the engine computed."""
    loss: float
    """Mean per unit, as the engine has it."""
    alone: float
    gap: float
    """Norm of the difference of the gradients, as a share of the norm of those computed alone."""
    allowed: float

    @property
    def holds(self) -> bool:
        """Whether loss and gradient are the same, as far as the number format can tell."""
        return self.gap <= self.allowed and abs(self.loss - self.alone) <= self.allowed * max(1.0, abs(self.alone))

    @property
    def sentence(self) -> str:
        """The figures, beside what is allowed."""
        return (
            f"the first step computed twice, packed ({self.distinct:,} tokens) and each of {self.examples} rows alone "
            f"({self.logical:,}): loss {self.loss:.5g} and {self.alone:.5g}, gradients {self.gap:.2g} of their norm "
            f"apart ({self.allowed:g} allowed)"
        )


def verify(model: Model, objective: Objective, run: Plan) -> Verified:
    """Compares both computations of the first step; changes no parameter, leaves no gradient.

    Raises GateError where they differ.
    """
    sequences, packed = run.sequences(0), run.batches(0)
    total = sum(batch.count(objective.unit) for batch in packed) or 1.0
    with still(model):
        loss, ours = _computed(model, objective, packed, total, forward)
        with _opened_with(model):
            alone, theirs = _computed(model, objective, [pack(one) for one in _examples(sequences)], total, _alone)
    found = Verified(
        examples=len(_examples(sequences)),
        logical=sum(len(one) for one in sequences),
        distinct=sum(batch.distinct for batch in packed),
        loss=loss,
        alone=alone,
        gap=_gap(ours, theirs),
        allowed=ALLOWED.get(model.dtype, HALF_ALLOWED),
    )
    if not found.holds:
        raise GateError(
            f"{found.sentence}: they are not the same, so the run does not start. model.shared=false trains "
            "this model with transformers' own attention; please report the model's family with this line"
        )
    return found


def _examples(sequences: Sequence[TokenSequence]) -> list[list[TokenSequence]]:
    """The sequences of each group: what an objective may not see apart."""
    found: dict[int, list[TokenSequence]] = {}
    for sequence in sequences:
        found.setdefault(sequence.group, []).append(sequence)
    return list(found.values())


def _computed(
    model: Model, objective: Objective, batches: Sequence[Batch], total: float, score: Callable[..., Scores]
) -> tuple[float, dict[str, Tensor]]:
    """The mean loss over all batches, and its gradient by parameter."""
    loss = 0.0
    for batch in (batch.to(model.device) for batch in batches if len(batch.target)):
        part, _ = objective(score(model, batch, needs=objective.needs), batch)
        (part / total).backward()
        loss += float(part.detach()) / total
    named = trainable(model.network)
    gradients = {name: p.grad.clone() for name, p in named.items() if p.grad is not None}
    model.network.zero_grad()
    return loss, gradients


def _alone(model: Model, batch: Batch, *, needs: frozenset[str] = frozenset()) -> Scores:
    """What `forward` returns, with log-probabilities from all logits of each row."""
    hidden, row = scored_rows(model, batch)
    with computing(model):
        logits = head(model.network).logits(hidden)
    scored = logits.log_softmax(dim=-1)[row, batch.tokens[batch.target]]
    return Scores(scored) if not needs else replace(forward(model, batch, needs=needs), logprobs=scored)


def _gap(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> float:
    """How far two gradients are apart, as a share of the norm of the second."""
    apart = sum(float((ours.get(name, 0.0) - one).double().square().sum()) for name, one in theirs.items())
    apart += sum(float(one.double().square().sum()) for name, one in ours.items() if name not in theirs)
    norm = sum(float(one.double().square().sum()) for one in theirs.values())
    return (apart / norm) ** 0.5 if norm else float(apart > 0)


@contextmanager
def _opened_with(model: Model) -> Iterator[None]:
    """The attention that transformers opened the model with, and nothing shared."""
    shared, attention = model.shared, model.network.config._attn_implementation
    model.shared = False
    model.network.set_attn_implementation(model.plain)
    try:
        yield
    finally:
        model.shared = shared
        model.network.set_attn_implementation(attention or model.plain)
