"""A linear layer with a low-rank adapter beside it, as one autograd function.

    y = x W^T + b + s (x A^T) B^T           x (n, in), W (out, in), A (rank, in), B (out, rank)

W and b are frozen and stand in the compute dtype; A and B are float32 parameters. For the backward only the
adapter's input is kept (once: layers that read one input keep the same tensor), no gradient of W is computed, and
the gradients of A and B are added up in float32. Source: Hu et al. 2021, arXiv:2106.09685, eq. 3.

Deliberately not here: several adapters in one batch, and layers of one input computed as a group; both would replace
`LowRank`, not the modules around it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional
from transformers.pytorch_utils import Conv1D

from luthier.model.quantize import Packed, QuantizedLinear

Linear: TypeAlias = nn.Linear | Conv1D | QuantizedLinear
"""What can carry an adapter; transformers' Conv1D (GPT-2) is a linear layer whose weight is stored (in, out)."""


TOGETHER = 64
"""Rows from which base and adapter are one product, where the sum is rounded once.

Rounded one after the other, what an adapter adds vanishes while it is smaller than half a step of bfloat16 at the
base's output. Copying the weight for it costs as much as some tens of rows.
"""


class Saved(FunctionCtx):
    """What `LowRank` keeps between forward and backward."""

    saved_tensors: tuple[Tensor, ...]
    packed: Packed | None
    """The weight, where it is held in few bits: unpacked again for the backward, never kept."""
    needs_input_grad: tuple[bool, ...]
    scale: float
    dropped: bool


class LowRank(torch.autograd.Function):
    """y = base(x) + s (z A^T) B^T, where z is x, or x after dropout."""

    @staticmethod
    def forward(
        ctx: Saved,
        x: Tensor,
        z: Tensor | None,
        held: Tensor | Packed,
        bias: Tensor | None,
        a: Tensor,
        b: Tensor,
        scale: float,
    ) -> Tensor:
        """x, z (n, in), the weight held (out, in) in one dtype; a, b float32 -> (n, out)."""
        weight = held if isinstance(held, Tensor) else held.unpack()
        ctx.packed = None if isinstance(held, Tensor) else held
        a_compute, b_compute = a.to(weight.dtype), b.to(weight.dtype)
        read = x if z is None else z
        inner = read @ a_compute.T  # (n, rank)
        ctx.save_for_backward(read, inner, a_compute, b_compute, *([weight] if ctx.packed is None else []))
        ctx.scale, ctx.dropped = scale, z is not None
        if len(x) < TOGETHER or weight.dtype.itemsize >= 4:
            return functional.linear(x, weight, bias).addmm_(inner, b_compute.T, alpha=scale)
        both = torch.cat((x, inner * scale), dim=1)  # (n, in + rank)
        return functional.linear(both, torch.cat((weight, b_compute), dim=1), bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Saved, grad: Tensor) -> tuple[Tensor | None, ...]:
        """grad (n, out) -> the gradients of x, z, a and b; None for what is frozen."""
        read, inner, a, b, *kept = ctx.saved_tensors
        weight = kept[0] if ctx.packed is None else ctx.packed.unpack()
        grad_inner = (grad @ b).mul_(ctx.scale)  # (n, rank)
        grad_a = _product(grad_inner.T, read)
        grad_b = _product(grad.T, inner).mul_(ctx.scale)
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        grad_z = grad_inner @ a if ctx.dropped and ctx.needs_input_grad[1] else None
        if grad_x is not None and not ctx.dropped:
            grad_x.addmm_(grad_inner, a)
        return grad_x, grad_z, None, None, grad_a, grad_b, None


def _product(left: Tensor, right: Tensor) -> Tensor:
    """A product of compute-dtype factors, in at least float32; on the CPU it is rounded to their dtype first."""
    if left.is_cuda and left.dtype.itemsize < 4:
        return torch.mm(left, right, out_dtype=torch.float32)
    return (left @ right).to(torch.promote_types(left.dtype, torch.float32))


class LoRALinear(nn.Module):
    """Stands in for a linear layer, which it keeps as `base`, and adds its adapter to what that returns."""

    def __init__(self, base: Linear, *, rank: int, alpha: float, dropout: float = 0.0, rslora: bool = False) -> None:
        """An adapter of zeros: `start` draws A, so that the first step can move B."""
        super().__init__()
        inputs, outputs = features(base)
        device = base.weight.device
        self.base = base.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.zeros(rank, inputs, device=device))
        self.lora_b = nn.Parameter(torch.zeros(outputs, rank, device=device))
        self.rank, self.alpha, self.dropout, self.rslora = rank, alpha, dropout, rslora
        self.on = True
        self.train(base.training)

    @property
    def scale(self) -> float:
        """s: alpha over the rank, or over its root (rsLoRA, arXiv:2312.03732)."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    def start(self, generator: torch.Generator) -> None:
        """Draws A uniformly in +-1/sqrt(in) and zeroes B, on the CPU so that every device starts alike."""
        drawn = nn.init.kaiming_uniform_(torch.empty(self.lora_a.shape), a=math.sqrt(5), generator=generator)
        with torch.no_grad():
            self.lora_a.copy_(drawn)
            self.lora_b.zero_()

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out); with the adapter off, what the base returns."""
        if not self.on:
            return cast(Tensor, self.base(x))
        weight = self.base.packed if isinstance(self.base, QuantizedLinear) else weight_of(self.base)
        rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)
        z = functional.dropout(rows, self.dropout) if self.training and self.dropout else None
        y = low_rank(rows, z, weight, self.base.bias, self.lora_a, self.lora_b, self.scale)
        return y.view(*x.shape[:-1], y.shape[-1])

    @torch.no_grad()
    def merged(self) -> Linear:
        """The base with s B A added to its weight in float32 and rounded once to the weight's own dtype."""
        change = (self.lora_b @ self.lora_a).mul_(self.scale)  # (out, in)
        base = self.base.unpacked() if isinstance(self.base, QuantizedLinear) else self.base
        base.weight.copy_(base.weight.float() + (change.T if isinstance(base, Conv1D) else change))
        return base


if TYPE_CHECKING:

    def low_rank(
        x: Tensor, z: Tensor | None, weight: Tensor | Packed, bias: Tensor | None, a: Tensor, b: Tensor, scale: float
    ) -> Tensor:
        """`LowRank.apply`, whose signature torch does not type."""
else:
    low_rank = LowRank.apply


def weight_of(linear: Linear) -> Tensor:
    """The weight as it multiplies: (out, in)."""
    return linear.weight.T if isinstance(linear, Conv1D) else linear.weight


def features(linear: Linear) -> tuple[int, int]:
    """How many inputs and outputs a linear layer has."""
    outer, inner = linear.weight.shape
    return (outer, inner) if isinstance(linear, Conv1D) else (inner, outer)
