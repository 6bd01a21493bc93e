"""Supervised fine-tuning keeps the contract, and its value is the one a pencil gives."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

from luthier.batch import Batch, Unit, pack
from luthier.errors import RecipeError
from luthier.objectives import contract, objectives
from luthier.objectives.contract import ToyScores
from luthier.objectives.objective import Scores
from luthier.objectives.sft import SFT
from luthier.types import TokenSequence


@pytest.mark.parametrize("objective", [SFT(), SFT(label_smoothing=0.1)])
def test_sft_keeps_the_contract(objective: SFT) -> None:
    contract.check(objective)


@pytest.mark.parametrize("name", sorted(objectives))
def test_every_named_objective_keeps_the_contract_at_its_defaults(name: str) -> None:
    contract.check(objectives[name]())


def worked() -> tuple[ToyScores, Batch]:
    """Two answer tokens of weight 1 and 0.5 with probabilities 1/2 and 1/4."""
    weight = np.array([0, 1, 0.5], np.float32)
    batch = pack([TokenSequence(np.array([4, 5, 6]), weight, "hand")])
    logprobs = torch.tensor([0.5, 0.25]).log()
    return ToyScores(logprobs, torch.tensor([-3.0, -2.0])), batch


def test_the_sum_is_the_weighted_negative_log_likelihood() -> None:
    loss, logged = SFT()(*worked())
    assert float(loss) == pytest.approx(math.log(2) + 0.5 * math.log(4))
    assert float(logged["nll"]) == pytest.approx(float(loss))


def test_smoothing_moves_its_share_of_the_target_to_the_mean_over_the_vocabulary() -> None:
    loss, logged = SFT(label_smoothing=0.2)(*worked())
    nll = math.log(2) + 0.5 * math.log(4)
    assert float(loss) == pytest.approx(0.8 * nll + 0.2 * (3.0 + 0.5 * 2.0))
    assert float(logged["nll"]) == pytest.approx(nll)


def test_only_smoothing_asks_the_forward_for_more() -> None:
    assert SFT().needs == frozenset()
    assert SFT(label_smoothing=0.1).needs == {"uniform"}


@pytest.mark.parametrize("share", [-0.1, 1.0, math.nan])
def test_a_smoothing_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(RecipeError, match="label_smoothing"):
        SFT(label_smoothing=share)


@dataclass(frozen=True)
class MeanPerBatch:
    """The classic mistake: a mean where a sum is due."""

    unit: ClassVar[Unit] = "token"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, scores: Scores, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return -(batch.weight * scores.logprobs).mean(), {}


@dataclass(frozen=True)
class Overflowing(MeanPerBatch):
    """Exponentials of log-probabilities, unbounded."""

    def __call__(self, scores: Scores, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        return (-(batch.weight * scores.logprobs)).exp().sum(), {}


@pytest.mark.parametrize(("broken", "law"), [(MeanPerBatch(), "at a time"), (Overflowing(), "finite")])
def test_the_contract_catches_planted_mistakes(broken: MeanPerBatch, law: str) -> None:
    with pytest.raises(AssertionError, match=law):
        contract.check(broken)
