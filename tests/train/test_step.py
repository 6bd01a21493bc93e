"""A step is the same however it is cut, is what plain transformers gives, and is refused whole or taken whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from tiny_run import rows, tiny_model
from torch import Tensor

from luthier.batch import Batch, Unit, cut, pack
from luthier.model.load import Model
from luthier.objectives.objective import Objective, Scores
from luthier.objectives.sft import SFT
from luthier.train.optim import optimizer_of, optimizer_tensors, trainable
from luthier.train.options import TrainOptions
from luthier.train.step import Update, update


def exact_model() -> Model:
    model = tiny_model(dropout=0.0)
    model.network.double()
    model.dtype = torch.float64
    return model


def gradients(model: Model, budget: int, objective: Objective) -> tuple[Update, dict[str, Tensor]]:
    """One step of plain gradient descent with rate 1: what the parameters lost is the gradient."""
    before = {name: p.detach().clone() for name, p in trainable(model.network).items()}
    batches = [pack(part) for part in cut(rows(9), budget=budget)]
    came = update(model, objective, batches, torch.optim.SGD(trainable(model.network).values(), lr=0.0), lr=1.0)
    return came, {name: before[name] - p.detach() for name, p in trainable(model.network).items()}


@pytest.mark.parametrize("objective", [SFT(), SFT(label_smoothing=0.2)])
@pytest.mark.parametrize("budget", [1, 20, 50])
def test_the_cut_into_micro_batches_changes_nothing(budget: int, objective: SFT) -> None:
    whole, one = gradients(exact_model(), 4096, objective)
    parts, other = gradients(exact_model(), budget, objective)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-9)
    assert parts.grad_norm == pytest.approx(whole.grad_norm, rel=1e-6)
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-8)


def test_a_step_is_the_mean_cross_entropy_that_plain_transformers_gives() -> None:
    came, moved = gradients(exact_model(), 30, SFT())
    plain = exact_model().network
    plain.set_attn_implementation("eager")
    total = torch.zeros((), dtype=torch.float64)
    for row in rows(9):
        tokens = torch.from_numpy(row.tokens)
        logprobs = plain(input_ids=tokens[None]).logits[0, :-1].log_softmax(dim=-1)
        weight = torch.from_numpy(row.weight[1:])
        total = total - (weight * logprobs[torch.arange(len(tokens) - 1), tokens[1:]]).sum()
    loss = total / sum(float(row.weight.sum()) for row in rows(9))
    loss.backward()
    assert came.loss == pytest.approx(float(loss.detach()), rel=1e-6)
    for name, parameter in trainable(plain).items():
        assert parameter.grad is not None
        torch.testing.assert_close(moved[name], parameter.grad, rtol=1e-4, atol=1e-7)


def test_the_gradient_is_clipped_by_its_global_norm() -> None:
    model = exact_model()
    before = [p.detach().clone() for p in model.network.parameters()]
    optimizer = torch.optim.SGD(model.network.parameters(), lr=0.0)
    came = update(model, SFT(), [pack(rows(9))], optimizer, lr=1.0, clip=1e-3)
    moved = torch.stack(
        [(b - p.detach()).norm() for b, p in zip(before, model.network.parameters(), strict=True)]
    ).norm()
    assert came.grad_norm > 1e-2
    assert float(moved) == pytest.approx(1e-3, rel=1e-2)


@dataclass(frozen=True)
class Poisoned:
    """SFT whose loss, or only whose gradient, is not finite in the second micro-batch it sees."""

    spoil: Callable[[Tensor], Tensor]
    seen: list[int]
    unit: ClassVar[Unit] = "token"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, scores: Scores, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        loss, logged = SFT()(scores, batch)
        self.seen.append(len(batch.target))
        return (self.spoil(loss) if len(self.seen) == 2 else loss), logged


def only_gradient(loss: Tensor) -> Tensor:
    """A finite value whose slope is infinite."""
    return loss.detach() + (loss - loss.detach()).clamp(min=0).sqrt()


@pytest.mark.parametrize("spoil", [lambda loss: loss * math.nan, lambda loss: loss * math.inf, only_gradient])
def test_a_step_that_is_not_finite_changes_no_bit(spoil: Callable[[Tensor], Tensor]) -> None:
    model = tiny_model()
    optimizer = optimizer_of(model.network, TrainOptions())
    batches = [pack(part) for part in cut(rows(9), budget=30)]
    update(model, SFT(), batches, optimizer, lr=1e-2)
    weights = [p.detach().clone() for p in model.network.parameters()]
    moments = {name: t.clone() for name, t in optimizer_tensors(optimizer, trainable(model.network)).items()}
    came = update(model, Poisoned(spoil, []), batches, optimizer, lr=1e-2)
    assert came.refused
    assert all(torch.equal(a, b) for a, b in zip(weights, model.network.parameters(), strict=True))
    after = optimizer_tensors(optimizer, trainable(model.network))
    assert all(torch.equal(moments[name], after[name]) for name in moments)
    assert not update(model, SFT(), batches, optimizer, lr=1e-2).refused
    assert not all(torch.equal(a, b) for a, b in zip(weights, model.network.parameters(), strict=True))
