"""RMS norms that keep what they hand on, and not what they were given.

    y = w x r,   r = 1 / sqrt(mean(x^2) + eps)        x (..., d), w (d,), r (..., 1)
    dx = r (w g - y mean(g y) / w)                    g the gradient of y

Autograd keeps x, in float32, where y is kept for the products behind it anyway and says as much. y is rounded to the
compute dtype, as g is. Only modules that a trial shows to compute just that are replaced; what they compute stays the
same to the bit. Where w learns, or holds a zero, which y / w could not undo, autograd does it.
Source of the norm: Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn


class _Saved(Protocol):
    """What the forward leaves for its backward."""

    saved_tensors: tuple[Tensor, Tensor, Tensor]

    def save_for_backward(self, *tensors: Tensor) -> None: ...


def _both(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """y and r, rounded where transformers rounds."""
    whole = x.to(torch.float32)
    length = torch.rsqrt(whole.pow(2).mean(-1, keepdim=True) + eps)
    return (weight * (whole * length).to(x.dtype)).to(dtype), length


class _Normed(torch.autograd.Function):
    """y in `dtype` from x in float32 or better."""

    @staticmethod
    def forward(ctx: _Saved, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        y, length = _both(x, weight, eps, dtype)
        ctx.save_for_backward(y, length, weight)
        return y

    @staticmethod
    def backward(ctx: _Saved, grad: Tensor) -> tuple[Tensor, None, None, None]:
        y, length, weight = ctx.saved_tensors
        exact = torch.promote_types(y.dtype, torch.float32)
        g, out, w = grad.to(exact), y.to(exact), weight.to(exact)
        along = torch.linalg.vecdot(g, out).unsqueeze(-1) / y.shape[-1]  # mean(g y), (..., 1)
        return (g * w).sub_((out / w).mul_(along)).mul_(length), None, None, None


class RMSNorm(nn.Module):
    """Stands in for a norm of transformers, whose weight it takes over; its output is in the compute dtype."""

    def __init__(self, of: nn.Module, eps: float, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = of.get_parameter("weight")
        self.eps, self.dtype = eps, dtype
        self._zeros: tuple[tuple[int, int], bool] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """x (..., d) -> (..., d)."""
        if torch.is_grad_enabled() and x.requires_grad and not self.weight.requires_grad and not self._has_zeros():
            found: Tensor = normed(x, self.weight, self.eps, self.dtype)
            return found
        return _both(x, self.weight, self.eps, self.dtype)[0]

    def _has_zeros(self) -> bool:
        """Whether the weight has a zero; looked up once, as long as it stays what it is."""
        state = self.weight.data_ptr(), self.weight._version
        if self._zeros is None or self._zeros[0] != state:
            self._zeros = state, bool((self.weight == 0).any())
        return self._zeros[1]


def keep_norms_small(network: nn.Module, dtype: torch.dtype) -> int:
    """Replaces the norms that compute just what `RMSNorm` does, and says how many they were.

    dtype: what products compute in. Norms of queries and keys are left: what they hand on is not what is kept.
    """
    found = [
        (parent, name, child)
        for parent in network.modules()
        for name, child in parent.named_children()
        if "rmsnorm" in type(child).__name__.lower() and [part for part, _ in child.named_parameters()] == ["weight"]
    ]
    width = network.config.get_text_config().hidden_size  # type: ignore[union-attr, operator]
    count = 0
    for parent, name, child in found:
        eps = getattr(child, "variance_epsilon", getattr(child, "eps", None))
        if not isinstance(eps, float) or child.get_parameter("weight").shape != (width,):
            continue
        made = RMSNorm(child, eps, dtype)
        if _alike(child, made):
            setattr(parent, name, made.train(child.training))
            count += 1
    return count


@torch.no_grad()
def _alike(child: nn.Module, made: RMSNorm) -> bool:
    """Whether both give the same bits for rows so short that eps counts, and with a weight that is not all ones."""
    weight = made.weight
    before = weight.clone()
    draw = torch.Generator().manual_seed(0)
    rows = torch.randn(2, len(weight), generator=draw) * torch.tensor([[1.0], [1e-3]])
    try:
        weight.copy_(torch.randn(weight.shape, generator=draw))
        return torch.equal(child(rows).to(made.dtype), made(rows))
    finally:
        weight.copy_(before)


if TYPE_CHECKING:

    def normed(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        """`_Normed.apply`, whose signature torch does not type."""
else:
    normed = _Normed.apply
