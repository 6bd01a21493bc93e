"""MLPs that keep less for the backward: the same bits, the same names, and only where they compute just that."""

from __future__ import annotations

import copy

import families
import pytest
import torch
from held import kept
from torch import Tensor, nn

from luthier.model.gated import GatedMLP, gate_mlps


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_output_and_gradients_are_the_same_bits_from_less(dtype: torch.dtype) -> None:
    mlp = families.network("llama").base_model.layers[0].mlp.to(dtype)
    rows = torch.randn(7, mlp.gate_proj.in_features, generator=torch.Generator().manual_seed(1)).to(dtype)
    out, grads, held = kept(copy.deepcopy(mlp), rows)
    same, others, less = kept(GatedMLP(copy.deepcopy(mlp)), rows)
    assert torch.equal(out, same)
    assert all(torch.equal(one, other) for one, other in zip(grads, others, strict=True))
    assert held - less == 2 * 7 * mlp.gate_proj.out_features * dtype.itemsize, "silu(gate), and its product with up"


@pytest.mark.parametrize(("family", "some"), [("llama", True), ("qwen2", True), ("gemma", False), ("gpt2", False)])
def test_what_computes_otherwise_is_left_alone(family: str, some: bool) -> None:
    network = families.network(family)
    names = list(network.state_dict())
    assert bool(gate_mlps(network)) is some
    assert list(network.state_dict()) == names


def test_an_mlp_of_the_same_parts_that_computes_more_is_left_alone() -> None:
    class More(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gate_proj, self.up_proj, self.down_proj = (nn.Linear(4, 4) for _ in range(3))
            self.act_fn = nn.SiLU()

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x)) + 1
            return found

    network = nn.Sequential(More())
    assert gate_mlps(network) == 0
    assert isinstance(network[0], More)
