"""The first step computed twice agrees with itself, and a wrong computation on the engine's side is told apart."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_run import rows, tiny_model
from torch import Tensor

import luthier.model.forward as engine
from luthier.batch import Batch
from luthier.errors import GateError
from luthier.methods import LoRA, keep_base
from luthier.model.load import Model
from luthier.model.plan import Plan as Forest
from luthier.model.plan import plan as planned
from luthier.objectives.sft import SFT
from luthier.train.loader import Plan, plan
from luthier.train.optim import trainable
from luthier.train.options import TrainOptions
from luthier.train.verify import verify

MODULE = sys.modules[verify.__module__]


def exact_model() -> Model:
    model = tiny_model(dropout=0.0)
    model.network.double()
    model.dtype = torch.float64
    return model


def first_step(*, budget: int = 40) -> Plan:
    return plan(rows(9), TrainOptions(epochs=1, token_budget=budget))


@pytest.mark.parametrize(
    "objective", [SFT(), SFT(label_smoothing=0.2), SFT(kl=0.5), SFT(r_drop=1.0)], ids=["sft", "smoothed", "kl", "twin"]
)
def test_both_computations_agree(objective: SFT) -> None:
    model = exact_model()
    LoRA(rank=4).attach(model.network, dtype=model.dtype)
    with torch.no_grad():  # away from the base, so that a pull to it is no pull of zero
        for one in trainable(model.network).values():
            one.add_(torch.randn_like(one), alpha=0.05)
    if "divergence" in objective.needs:
        keep_base(model, LoRA(rank=4), goes_on=False)
    found = verify(model, objective, first_step())
    assert found.holds
    assert found.gap < 1e-6
    assert found.loss == pytest.approx(found.alone, rel=1e-9)
    assert found.distinct < found.logical
    assert found.examples == 9


def test_it_leaves_nothing_behind() -> None:
    model = exact_model()
    model.network.train()
    before = {name: one.detach().clone() for name, one in model.network.named_parameters()}
    attention, drawn = model.network.config._attn_implementation, torch.random.get_rng_state()
    verify(model, SFT(), first_step())
    assert model.shared
    assert model.network.training
    assert model.network.config._attn_implementation == attention
    assert torch.equal(torch.random.get_rng_state(), drawn)
    for name, one in model.network.named_parameters():
        assert torch.equal(before[name], one)
        assert one.grad is None


def test_a_mask_that_lets_rows_see_each_other_does_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def all_that_lies_before(batch: Batch) -> Forest:
        forest = planned(batch, dense=True)
        forest.end = torch.full_like(batch.end, batch.distinct)
        return forest

    model = exact_model()  # accepted before: with this mask it would not be
    monkeypatch.setattr(engine, "plan", all_that_lies_before)
    with pytest.raises(GateError, match=r"they are not the same, so the run does not start. model\.shared=false"):
        verify(model, SFT(), first_step())


def test_rows_scored_one_place_off_do_not_start(monkeypatch: pytest.MonkeyPatch) -> None:
    right = engine.forward

    def shifted(model: Model, batch: Batch, *, needs: frozenset[str] = frozenset()) -> engine.Scores:
        scores = right(model, batch, needs=needs)
        return engine.Scores(logprobs=scores.logprobs.roll(1))

    monkeypatch.setattr(MODULE, "forward", shifted)
    weighed = [replace(one, weight=_rising(one.weight)) for one in rows(9)]
    with pytest.raises(GateError):
        verify(exact_model(), SFT(), plan(weighed, TrainOptions(epochs=1)))


def _rising(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Each learned token weighs more than the one before it."""
    return weight * np.cumsum(weight > 0).astype(np.float32)


def test_gradients_alone_can_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss that is right while its gradient is not."""
    right = engine.forward

    class Halved(torch.autograd.Function):
        @staticmethod
        def forward(_: object, values: Tensor) -> Tensor:
            return values.clone()

        @staticmethod
        def backward(_: object, slope: Tensor) -> Tensor:
            return slope / 2

    def halved(model: Model, batch: Batch, *, needs: frozenset[str] = frozenset()) -> engine.Scores:
        return engine.Scores(logprobs=Halved.apply(right(model, batch, needs=needs).logprobs))  # type: ignore[no-untyped-call]

    monkeypatch.setattr(MODULE, "forward", halved)
    with pytest.raises(GateError, match=r"gradients 0\.5 of their norm apart"):
        verify(exact_model(), SFT(), first_step())
