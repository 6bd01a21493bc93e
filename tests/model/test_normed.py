"""Norms that keep what they hand on: the same bits forward, slopes as near as the number format allows, less kept."""

from __future__ import annotations

import copy

import families
import pytest
import torch
from held import kept
from torch import Tensor, nn

from luthier.model.normed import RMSNorm, keep_norms_small

ROWS = 7


def pair(dtype: torch.dtype = torch.float32) -> tuple[nn.Module, RMSNorm]:
    """A norm of transformers with a weight that is not all ones, frozen, and what stands in for it."""
    network = families.network("llama")
    norm = network.base_model.layers[0].input_layernorm.requires_grad_(False)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(norm.weight.shape, generator=torch.Generator().manual_seed(3)))
    return norm, RMSNorm(copy.deepcopy(norm), norm.variance_epsilon, dtype)


def slope(norm: nn.Module, rows: Tensor, grad: Tensor) -> Tensor:
    rows = rows.detach().clone().requires_grad_()
    out = norm(rows)
    out.backward(grad.to(out.dtype))
    assert rows.grad is not None
    return rows.grad


def drawn(width: int) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(1)
    return torch.randn(2, ROWS, width, generator=draw).unbind()  # type: ignore[return-value]


def test_what_is_handed_on_is_the_same_bits_and_the_slope_the_same_but_for_rounding() -> None:
    norm, made = pair()
    rows, grad = drawn(len(made.weight))
    assert torch.equal(norm(rows), made(rows.clone().requires_grad_()))
    torch.testing.assert_close(slope(made, rows, grad), slope(norm, rows, grad), rtol=1e-5, atol=1e-6)


def test_in_half_precision_the_slope_moves_by_no_more_than_the_rounding_of_what_comes_back() -> None:
    norm, made = pair(torch.bfloat16)
    rows, grad = drawn(len(made.weight))
    assert torch.equal(norm(rows).to(torch.bfloat16), made(rows))
    exact = slope(norm, rows, grad)
    rounded = (slope(norm, rows, grad.to(torch.bfloat16).float()) - exact).norm()
    assert (slope(made, rows, grad) - exact).norm() < 2 * rounded


def test_a_slope_without_the_second_term_would_be_seen() -> None:
    norm, _ = pair()
    rows, grad = drawn(len(norm.get_parameter("weight")))
    alone = grad * norm.get_parameter("weight") * torch.rsqrt(rows.square().mean(-1, keepdim=True))
    assert (slope(norm, rows, grad) - alone).norm() > 0.05 * alone.norm()


def test_in_half_precision_it_keeps_nothing_that_a_product_behind_it_does_not_keep() -> None:
    norm, made = pair(torch.bfloat16)
    rows, _ = drawn(len(made.weight))
    behind = nn.Linear(len(made.weight), 3, bias=False).to(torch.bfloat16)

    class Narrowed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = norm

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.norm(x).to(torch.bfloat16)
            return found

    *_, held = kept(nn.Sequential(Narrowed(), copy.deepcopy(behind)), rows)
    *_, less = kept(nn.Sequential(made, copy.deepcopy(behind)), rows)
    assert held - less == ROWS * len(made.weight) * 4, "the float32 input"


def test_a_weight_that_learns_or_holds_a_zero_is_autograds() -> None:
    norm, made = pair()
    rows, grad = drawn(len(made.weight))
    with torch.no_grad():
        for one in (norm, made):
            one.get_parameter("weight")[3] = 0
    torch.testing.assert_close(slope(made, rows, grad), slope(norm, rows, grad), rtol=0, atol=0)
    for one in (norm, made):
        one.requires_grad_()
    slope(made, rows, grad), slope(norm, rows, grad)
    assert made.weight.grad is not None
    torch.testing.assert_close(made.weight.grad, norm.get_parameter("weight").grad, rtol=0, atol=0)


@pytest.mark.parametrize(("family", "some"), [("llama", True), ("qwen3", True), ("gemma", False), ("gpt2", False)])
def test_what_computes_otherwise_is_left_alone(family: str, some: bool) -> None:
    network = families.network(family)
    before = {name: one.clone() for name, one in network.state_dict().items()}
    assert bool(keep_norms_small(network, torch.float32)) is some
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_norms_of_queries_and_keys_are_left() -> None:
    network = families.network("qwen3")
    keep_norms_small(network, torch.float32)
    first = network.base_model.layers[0]
    assert isinstance(first.input_layernorm, RMSNorm)
    assert not isinstance(first.self_attn.q_norm, RMSNorm)
