"""A frozen base in few bits: what lies under an adapter that learns, so that a larger model fits.

Every linear layer but the output head holds its weight packed and unpacks it for each product, forward and backward;
nothing else changes, and gradients reach its input. `nf4` keeps 4 bits a weight and a scale for each 64, themselves in
8 bits (Dettmers et al. 2023, arXiv:2305.14314), packed by bitsandbytes on CPUs and GPUs; `int8` keeps 8 bits and a
scale for each output, the largest weight of which is 127.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.model.few_bits import require

if TYPE_CHECKING:
    from bitsandbytes.functional import QuantState

Bits: TypeAlias = Literal["int8", "nf4"]
BLOCK = 64
"""Weights that share a scale in `nf4`."""


class Packed(Protocol):
    """A weight in few bits."""

    @property
    def dtype(self) -> torch.dtype:
        """What it is unpacked to: what products compute in."""

    @property
    def bytes(self) -> int:
        """Memory it takes."""

    def unpack(self) -> Tensor:
        """(out, in)"""


class QuantizedLinear(nn.Module):
    """Stands in for a linear layer whose weight does not learn; the bias is kept as it is."""

    def __init__(self, packed: Packed, bias: nn.Parameter | None, shape: tuple[int, int]) -> None:
        super().__init__()
        self.packed, self.bias = packed, bias
        self.out_features, self.in_features = shape

    @property
    def weight(self) -> Tensor:
        """(out, in) as it is computed with, unpacked at every call."""
        return self.packed.unpack()

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out) in the dtype that products compute in."""
        return packed_linear(x, self.packed, self.bias)

    def unpacked(self) -> nn.Linear:
        """A linear layer of the weight as it is computed with; frozen."""
        weight = self.packed.unpack()
        made = nn.Linear(self.in_features, self.out_features, bias=False, device="meta")
        made.weight = nn.Parameter(weight, requires_grad=False)
        made.register_parameter("bias", self.bias)
        return made


def quantize(network: PreTrainedModel, bits: Bits, dtype: torch.dtype) -> None:
    """Packs the weight of every linear layer but the output head, in place; embeddings and norms stay as they are.

    dtype: what products compute in. Raises ModelError where there is no linear layer, or what packs them is missing.
    """
    head = network.get_output_embeddings()
    found = {
        name: module for name, module in network.named_modules() if isinstance(module, nn.Linear) and module is not head
    }
    if not found:
        raise ModelError(f"model.quantize: {type(network).__name__} has no linear layer to keep in few bits")
    if bits == "nf4":
        require("model.quantize: nf4", "int8")
    for name, module in found.items():
        parent, _, leaf = name.rpartition(".")
        packed = _PACK[bits](module.weight.detach(), dtype)
        made = QuantizedLinear(packed, module.bias, (module.out_features, module.in_features))
        setattr(network.get_submodule(parent), leaf, made.train(module.training))


def parameters(network: nn.Module) -> int:
    """How many weights a network has, those in few bits among them."""
    packed = [one for one in network.modules() if isinstance(one, QuantizedLinear)]
    held = sum(parameter.numel() for parameter in network.parameters())
    return held + sum(one.in_features * one.out_features for one in packed)


@dataclass(frozen=True, slots=True, eq=False)
class _FourBit:
    """bitsandbytes' NormalFloat, its scales packed again."""

    weight: Tensor
    state: QuantState

    @property
    def dtype(self) -> torch.dtype:
        found: torch.dtype = self.state.dtype
        return found

    @property
    def bytes(self) -> int:
        return self.weight.nbytes + sum(part.nbytes for part in vars(self.state).values() if isinstance(part, Tensor))

    def unpack(self) -> Tensor:
        from bitsandbytes import functional as kernels

        return kernels.dequantize_4bit(self.weight, self.state)


@dataclass(frozen=True, slots=True, eq=False)
class _EightBit:
    """Whole numbers up to 127 with a scale a row."""

    weight: Tensor
    scale: Tensor
    """(out, 1) float32."""
    dtype: torch.dtype

    @property
    def bytes(self) -> int:
        return self.weight.nbytes + self.scale.nbytes

    def unpack(self) -> Tensor:
        return torch.mul(self.weight, self.scale).to(self.dtype)


def _four_bit(weight: Tensor, dtype: torch.dtype) -> _FourBit:
    from bitsandbytes import functional as kernels

    packed, state = kernels.quantize_4bit(
        weight.to(dtype).contiguous(), quant_type="nf4", blocksize=BLOCK, compress_statistics=True
    )
    return _FourBit(packed, state)


def _eight_bit(weight: Tensor, dtype: torch.dtype) -> _EightBit:
    exact = weight.float()
    scale = exact.abs().amax(dim=1, keepdim=True).clamp_min(torch.finfo(torch.float32).tiny) / 127
    return _EightBit((exact / scale).round().to(torch.int8), scale, dtype)


_PACK: dict[Bits, Callable[[Tensor, torch.dtype], Packed]] = {"nf4": _four_bit, "int8": _eight_bit}


class _Saved(FunctionCtx):
    """What `_PackedLinear` keeps between forward and backward."""

    packed: Packed
    dtype: torch.dtype


class _PackedLinear(torch.autograd.Function):
    """y = x W^T + b with W unpacked for the product alone, and again for the backward."""

    @staticmethod
    def forward(ctx: _Saved, x: Tensor, packed: Packed, bias: Tensor | None) -> Tensor:
        weight = packed.unpack()
        ctx.packed, ctx.dtype = packed, x.dtype
        return functional.linear(x.to(weight.dtype), weight, None if bias is None else bias.to(weight.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: _Saved, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (grad @ ctx.packed.unpack()).to(ctx.dtype), None, None


if TYPE_CHECKING:

    def packed_linear(x: Tensor, packed: Packed, bias: Tensor | None) -> Tensor:
        """`_PackedLinear.apply`, whose signature torch does not type."""
else:
    packed_linear = _PackedLinear.apply
