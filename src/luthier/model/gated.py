"""The gated half of an MLP as one function: silu(gate) * up, of which the backward keeps gate and up alone.

Autograd would keep silu(gate) besides, and the layer behind keeps the product: together a quarter of all that a LoRA
step holds on SmolLM2. The product is made again when that layer's backward asks for it, for a hundredth of the step's
time. Only modules that a trial shows to compute just that are replaced, and what they compute stays the same to the
bit, gradients included.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

PARTS = {"gate_proj", "up_proj", "down_proj", "act_fn"}
"""The children of the MLPs of transformers' Llama and its kin."""


class _Saved(Protocol):
    """What the forward leaves for its backward."""

    saved_tensors: tuple[Tensor, Tensor]
    half: _Half

    def save_for_backward(self, *tensors: Tensor) -> None: ...


@dataclass(slots=True, eq=False)
class _Half:
    """silu(gate), from the moment the product was made again until the backward of the product, which comes next."""

    made: Tensor | None = None


class _Gated(torch.autograd.Function):
    """silu(gate) * up, both (..., n)."""

    @staticmethod
    def forward(ctx: _Saved, gate: Tensor, up: Tensor, half: _Half) -> Tensor:
        ctx.save_for_backward(gate, up)
        ctx.half = half
        return silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: _Saved, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        gate, up = ctx.saved_tensors
        half = silu(gate) if ctx.half.made is None else ctx.half.made
        ctx.half.made = None
        return torch.ops.aten.silu_backward(grad * up, gate), half.mul_(grad), None


class GatedMLP(nn.Module):
    """`down_proj(silu(gate_proj(x)) * up_proj(x))`, with the parts of the module it stands in for."""

    def __init__(self, of: nn.Module) -> None:
        super().__init__()
        for name, part in of.named_children():
            self.add_module(name, part)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d) -> (..., d)."""
        gate, up, down = (self.get_submodule(name) for name in ("gate_proj", "up_proj", "down_proj"))
        one, other, half = gate(x), up(x), _Half()
        product = gated(one, other, half)
        with _made_again(product, one, other, half):
            found: Tensor = down(product)
        return found


@dataclass(frozen=True, slots=True, eq=False)
class _Factors:
    """What silu(gate) * up is made of, and the shape it is wanted in."""

    gate: Tensor
    up: Tensor
    shape: torch.Size
    half: _Half

    def make(self) -> Tensor:
        self.half.made = silu(self.gate)
        return (self.half.made * self.up).view(self.shape)


def _made_again(product: Tensor, gate: Tensor, up: Tensor, half: _Half) -> AbstractContextManager[None]:
    """Where the layer behind would keep the product for its backward, it keeps what that is made of."""
    if not torch.is_grad_enabled():
        return nullcontext()
    place, size = product.data_ptr(), product.numel()
    gate, up = gate.detach(), up.detach()

    def keep(one: Tensor) -> Tensor | _Factors:
        same = one.data_ptr() == place and one.numel() == size and one.is_contiguous()
        return _Factors(gate, up, one.shape, half) if same else one

    def give(kept: Tensor | _Factors) -> Tensor:
        return kept.make() if isinstance(kept, _Factors) else kept

    return torch.autograd.graph.saved_tensors_hooks(keep, give)


def gate_mlps(network: nn.Module) -> int:
    """Replaces the MLPs that compute just what `GatedMLP` does, and says how many they were."""
    found = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if {part for part, _ in child.named_children()} == PARTS
    ]
    count = 0
    for parent, name, child in found:
        made = GatedMLP(child)
        if _alike(child, made):
            setattr(parent, name, made.train(child.training))
            count += 1
    return count


@torch.no_grad()
def _alike(child: nn.Module, made: nn.Module) -> bool:
    """Whether both give the same bits for two made-up rows."""
    weight = next(child.parameters())  # the first part's, whose input is the whole's
    rows = torch.randn(2, weight.shape[-1], generator=torch.Generator().manual_seed(0)).to(weight)
    return torch.equal(child(rows), made(rows))


if TYPE_CHECKING:

    def gated(gate: Tensor, up: Tensor, half: _Half) -> Tensor:
        """`_Gated.apply`, whose signature torch does not type."""
else:
    gated = _Gated.apply
