"""The schedule is a pure function of the step; the optimizer decays matrices only and comes back to the bit."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from luthier.errors import ModelError
from luthier.methods import Rate
from luthier.train.optim import (
    learning_rate,
    optimizer_of,
    optimizer_tensors,
    restore_optimizer,
    set_rates,
    trainable,
)
from luthier.train.options import TrainOptions


def test_a_linear_schedule_with_warm_up_by_hand() -> None:
    options = TrainOptions(schedule="linear", warmup=0.2)
    rates = [learning_rate(step, 10, 1.0, options) for step in range(10)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8])


def test_a_cosine_is_half_way_down_at_half_time_and_ends_on_its_floor() -> None:
    options = TrainOptions(schedule="cosine", warmup=0.0, min_lr=0.1)
    assert learning_rate(50, 100, 2.0, options) == pytest.approx(2.0 * 0.55)
    assert learning_rate(10**6 - 1, 10**6, 2.0, options) == pytest.approx(0.2, rel=1e-4)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.05, 1.0])
@pytest.mark.parametrize("total", [1, 2, 7])
def test_every_step_learns_and_none_above_the_peak(schedule: str, warmup: float, total: int) -> None:
    options = TrainOptions(schedule=schedule, warmup=warmup)  # type: ignore[arg-type]
    rates = [learning_rate(step, total, 3.0, options) for step in range(total)]
    assert all(0 < rate <= 3.0 for rate in rates)


class Small(nn.Module):
    """An embedding tied to nothing, a matrix, a bias, a norm, and a matrix that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 3)
        self.linear = nn.Linear(3, 3)
        self.norm = nn.LayerNorm(3)
        self.frozen = nn.Linear(3, 3).requires_grad_(False)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = self.frozen(self.norm(self.linear(self.words(tokens))))
        return hidden.square().sum()


def test_only_matrices_that_are_no_embedding_are_decayed() -> None:
    network = Small()
    optimizer = optimizer_of(network, TrainOptions(weight_decay=0.1))
    decay = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    by_name = {name: decay[id(p)] for name, p in trainable(network).items()}
    assert by_name.pop("linear.weight") == 0.1
    assert set(by_name) == {"words.weight", "linear.bias", "norm.weight", "norm.bias"}
    assert set(by_name.values()) == {0.0}


def stepped(network: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    for group in optimizer.param_groups:
        group["lr"] = 0.01
    for _ in range(steps):
        network(torch.tensor([0, 1, 2])).backward()
        optimizer.step()
        optimizer.zero_grad()


def test_a_restored_optimizer_goes_on_to_the_same_bits() -> None:
    torch.manual_seed(0)
    one, other = Small(), Small()
    first = optimizer_of(one, TrainOptions())
    stepped(one, first, 3)
    other.load_state_dict(one.state_dict())
    second = optimizer_of(other, TrainOptions())
    restore_optimizer(second, trainable(other), optimizer_tensors(first, trainable(one)))
    stepped(one, first, 3)
    stepped(other, second, 3)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def test_what_is_trained_in_half_precision_or_not_at_all_is_refused() -> None:
    with pytest.raises(ModelError, match="bfloat16"):
        trainable(Small().bfloat16())
    with pytest.raises(ModelError, match="attach a method"):
        trainable(Small().requires_grad_(False))


def test_moments_of_another_network_are_refused() -> None:
    with pytest.raises(ModelError, match="stranger"):
        restore_optimizer(
            optimizer_of(Small(), TrainOptions()), trainable(Small()), {"stranger/exp_avg": torch.ones(2)}
        )


def test_the_first_step_of_adamw_by_hand() -> None:
    """With fresh moments each entry moves by the learning rate against its sign, after its decay."""
    linear = nn.Linear(1, 1, bias=False)
    linear.weight.data.fill_(2.0)
    optimizer = optimizer_of(linear, TrainOptions(weight_decay=0.1))
    optimizer.param_groups[0]["lr"] = 0.5
    linear.weight.grad = torch.tensor([[3.0]])
    optimizer.step()
    assert math.isclose(float(linear.weight.detach()), 2.0 * (1 - 0.5 * 0.1) - 0.5, rel_tol=1e-6)


def test_a_parameter_with_a_rate_of_its_own_moves_by_that_much_more() -> None:
    moved = {}
    for factor in (1.0, 3.0):
        network = Small()
        torch.nn.init.ones_(network.linear.weight)
        optimizer = optimizer_of(network, TrainOptions(weight_decay=0.0), {"linear.weight": Rate(factor)})
        network.linear.weight.grad = torch.ones(3, 3)
        set_rates(optimizer, 0.01, done=0.0)
        optimizer.step()
        moved[factor] = float((1 - network.linear.weight.detach()).mean())
    assert moved[3.0] == pytest.approx(3 * moved[1.0], rel=1e-4)


def test_a_parameter_stays_as_it_is_until_its_time_and_then_learns() -> None:
    network = Small()
    optimizer = optimizer_of(network, TrainOptions(), {"linear.weight": Rate(begins=0.5)})
    before = network.linear.weight.detach().clone()
    for done, learns in ((0.0, False), (0.4, False), (0.5, True)):
        network(torch.tensor([1, 2])).backward()
        set_rates(optimizer, 0.01, done=done)
        optimizer.step()
        optimizer.zero_grad()
        assert torch.equal(network.linear.weight, before) is not learns
    assert not optimizer.state[network.norm.weight]["step"].eq(optimizer.state[network.linear.weight]["step"])
