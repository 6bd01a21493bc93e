"""A linear layer with a low-rank adapter beside it, as one autograd function.

    y = x W^T + b + s (x A^T) B^T           x (n, in), W (out, in), A (rank, in), B (out, rank)

W and b are frozen and stand in the compute dtype; A and B are float32 parameters. For the backward only the
adapter's input is kept (once: layers that read one input keep the same tensor), no gradient of W is computed, and
the gradients of A and B are added up in float32. Source: Hu et al. 2021, arXiv:2106.09685, eq. 3.

With a magnitude (DoRA) every output but its bias is scaled by m / n, where n is the length of its row of W + s B A.
Started from the weight itself (PiSSA) the adapter is what A and B have become since: B A - B0 A0.

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

from luthier.errors import ModelError
from luthier.model.laid import Product
from luthier.model.quantize import Packed, QuantizedLinear

Linear: TypeAlias = nn.Linear | Conv1D | QuantizedLinear
"""What can carry an adapter; transformers' Conv1D (GPT-2) is a linear layer whose weight is stored (in, out)."""


TOGETHER = 64
"""Rows from which base and adapter are one product, where the sum is rounded once.

Rounded one after the other, what an adapter adds vanishes while it is smaller than half a step of bfloat16 at the
base's output. Copying the weight for it costs as much as some tens of rows.
"""


SHORTEST = 1e-12
"""Length below which a row of a weight counts as this long, so that a row of zeros is no division by zero."""


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
        grad_b = _product(inner.T, grad).mul_(ctx.scale).T.contiguous()  # twice as fast as grad.T @ inner
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

    lora_magnitude: nn.Parameter | None
    """m (out,), where the adapter has one."""
    start_a: Tensor | None
    """A0 (rank, in), where it starts from the weight; then `lora_a` is what was added to it since."""
    start_b: Tensor | None
    """B0 (out, rank), likewise."""

    def __init__(
        self,
        base: Linear,
        *,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        rslora: bool = False,
        dora: bool = False,
    ) -> None:
        """An adapter of zeros: `start` or `start_from_weight` readies it to learn."""
        super().__init__()
        inputs, outputs = features(base)
        device = base.weight.device
        self.base = base.requires_grad_(False)
        self.lora_a = nn.Parameter(torch.zeros(rank, inputs, device=device))
        self.lora_b = nn.Parameter(torch.zeros(outputs, rank, device=device))
        self.register_parameter("lora_magnitude", nn.Parameter(torch.zeros(outputs, device=device)) if dora else None)
        self.register_buffer("start_a", None, persistent=False)
        self.register_buffer("start_b", None, persistent=False)
        self.rank, self.alpha, self.dropout, self.rslora = rank, alpha, dropout, rslora
        self.on = True
        self._known: tuple[tuple[int, ...], Tensor] | None = None
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
        self._start_magnitude()

    def start_from_weight(self) -> None:
        """A0 and B0 with s B0 A0 = the weight's part of this rank; what is learned on top is zero.

        Raises ModelError for a rank that the weight cannot have. Source: Meng et al. 2024, arXiv:2404.02948.
        """
        weight = weight_of(self.base).float()
        if self.rank > min(weight.shape):
            raise ModelError(
                f"rank {self.rank} to start from a weight of shape {tuple(weight.shape)}; it has at most "
                f"{min(weight.shape)}: lower rank, or give that layer one of its own in `ranks`"
            )
        left, right = principal(weight, self.rank)
        self.start_a, self.start_b = right / math.sqrt(self.scale), left / math.sqrt(self.scale)
        self._start_magnitude()

    @property
    def stored(self) -> tuple[int, float]:
        """Rank and alpha of what `factors` gives, as an adapter that knows of no start; of the same scale."""
        rank = len(self.factors()[0])
        wider = rank / self.rank
        return rank, self.alpha * (math.sqrt(wider) if self.rslora else wider)

    @torch.no_grad()
    def take(self, a: Tensor, b: Tensor, magnitude: Tensor | None) -> None:
        """Copies factors as `factors` gave them, to the bit where the start was computed on the same machine."""
        if self.start_a is None or self.start_b is None:
            self.lora_a.copy_(a)
            self.lora_b.copy_(b)
        else:
            whole, added = a.to(self.lora_a).split(self.rank)
            self.lora_a.copy_(added)
            self.start_a.copy_(torch.where(self.start_a + added == whole, self.start_a, whole - added))
            self.lora_b.copy_(b[:, : self.rank])
            self.start_b.copy_(b[:, self.rank :])
        if self.lora_magnitude is not None and magnitude is not None:
            self.lora_magnitude.copy_(magnitude)

    def factors(self) -> tuple[Tensor, Tensor]:
        """A and B as they are multiplied: (rank, in), (out, rank), or of twice the rank where it started elsewhere.

        With A = A0 + a and B = B0 + b, B A - B0 A0 = b A + B0 a: nothing large is subtracted, and zero is zero.
        """
        if self.start_a is None or self.start_b is None:
            return self.lora_a, self.lora_b
        return torch.cat((self.start_a + self.lora_a, self.lora_a)), torch.cat((self.lora_b, self.start_b), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out); with the adapter off, what the base returns."""
        if not self.on:
            return cast(Tensor, self.base(x))
        weight = self.base.packed if isinstance(self.base, QuantizedLinear) else weight_of(self.base)
        rows = x.reshape(-1, x.shape[-1]).to(weight.dtype)
        z = functional.dropout(rows, self.dropout) if self.training and self.dropout else None
        a, b = self.factors()
        y = low_rank(rows, z, weight, self.base.bias, a, b, self.scale)
        if self.lora_magnitude is not None:
            y = _rescaled(y, self.lora_magnitude / self._lengths(a, b), self.base.bias)
        return y.view(*x.shape[:-1], y.shape[-1])

    @torch.no_grad()
    def product(self) -> Product | None:
        """Layer and adapter as one product, rounded once; None for a magnitude, or a base in few bits."""
        if isinstance(self.base, QuantizedLinear):
            return None
        weight = weight_of(self.base)
        if not self.on:
            return Product(weight, self.base.bias)
        if self.lora_magnitude is not None:
            return None
        a, b = self.factors()
        both = torch.cat((weight, b.to(weight.dtype)), dim=1)
        return Product(both, self.base.bias, (a * self.scale).to(weight.dtype))

    @torch.no_grad()
    def merged(self) -> Linear:
        """The base with s B A added to its weight in float32, rescaled, and rounded once to the weight's own dtype."""
        a, b = self.factors()
        change = (b @ a).mul_(self.scale)  # (out, in)
        base = self.base.unpacked() if isinstance(self.base, QuantizedLinear) else self.base
        tuned = base.weight.float() + (change.T if isinstance(base, Conv1D) else change)
        if self.lora_magnitude is not None:
            ratio = self.lora_magnitude / row_lengths(weight_of(base), a, b, self.scale)
            tuned.mul_(ratio if isinstance(base, Conv1D) else ratio[:, None])
        base.weight.copy_(tuned)
        return base

    @torch.no_grad()
    def _start_magnitude(self) -> None:
        if self.lora_magnitude is not None:
            self.lora_magnitude.copy_(row_lengths(weight_of(self.base), *self.factors(), self.scale))

    def _lengths(self, a: Tensor, b: Tensor) -> Tensor:
        """n (out,), kept between calls while nothing learns: for one row it costs more than the layer itself.

        What an optimizer changes was used in a call with gradients before, which forgets it; what is copied over a
        parameter changes its version.
        """
        if torch.is_grad_enabled():
            self._known = None
            return row_lengths(weight_of(self.base), a, b, self.scale)
        state = tuple(number for one in (self.lora_a, self.lora_b) for number in (one.data_ptr(), one._version))
        if self._known is None or self._known[0] != state:
            self._known = state, row_lengths(weight_of(self.base), a, b, self.scale)
        return self._known[1]


@torch.no_grad()
def row_lengths(weight: Tensor, a: Tensor, b: Tensor, scale: float) -> Tensor:
    """Length of each row of W + s B A, without that sum: (out,) float32; a constant to the backward.

    |w + s b A|^2 = |w|^2 + 2 s b . (A w) + s^2 b (A A^T) b. Source: Liu et al. 2024, arXiv:2402.09353, section 4.3.
    """
    own = torch.linalg.vector_norm(weight, dim=1, dtype=torch.promote_types(weight.dtype, torch.float32)).square()
    across = (_product(weight, a.to(weight.dtype).T) * b).sum(1)
    added = ((b @ (a @ a.T)) * b).sum(1)
    squares: Tensor = own + 2 * scale * across + scale**2 * added
    return squares.clamp_(min=SHORTEST**2).sqrt_()


def principal(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """Factors of the nearest matrix of a rank, of equal lengths: weight (out, in) -> (out, rank), (rank, in).

    U sqrt(S) and sqrt(S) V^T of the largest singular values, from the eigenvectors of the smaller square, in float64.
    """
    wide = weight.shape[0] < weight.shape[1]
    tall = (weight.T if wide else weight).double()
    values, vectors = torch.linalg.eigh(tall.T @ tall)  # ascending
    roots = values[-rank:].clamp(min=0).sqrt().sqrt()  # of the singular values
    inner = vectors[:, -rank:]
    outer = (tall @ inner) / roots.clamp(min=SHORTEST)
    left, right = (inner * roots, outer) if wide else (outer, inner * roots)
    return left.to(weight.dtype).contiguous(), right.T.to(weight.dtype).contiguous()


def _rescaled(y: Tensor, ratio: Tensor, bias: Tensor | None) -> Tensor:
    """y (n, out) of a layer with its rows of the weight, not its bias, scaled by ratio (out,) float32."""
    scaled = y * ratio if bias is None else torch.addcmul((1 - ratio) * bias, y, ratio)
    return scaled.to(y.dtype)


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
