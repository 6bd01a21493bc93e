"""Scoring under a head that learns nothing: the vocabulary is met twice, both times in the forward.

    d loss / d hidden = sum over its pairs of g W[token]  -  (sum of g) * sum over the vocabulary of p W

The last sum is the same whatever the objective makes of the scores, so it is taken while a chunk's probabilities are at
hand, and nothing of the vocabulary's size is kept for the backward. What rounding does to a learned token's own
probability would drown p - 1, so those tokens are left out of the product and added in float32. All chunks use the same
memory: the heap would fetch and give back tens of megabytes for each. Slow twin: `_Scored` in `head.py`, which also
serves heads that learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

ROWS = 128
"""Rows that meet the vocabulary at once: what they make of it stays near the processor."""


class _Saved(Protocol):
    """What the forward leaves for its backward."""

    saved_tensors: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None]
    scale: float
    uniform: bool

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...


class _Settled(torch.autograd.Function):
    """log_softmax of each row at its tokens, and its mean over the vocabulary where `uniform` asks for it."""

    @staticmethod
    def forward(
        ctx: _Saved,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        row: Tensor,
        token: Tensor,
        scale: float,
        softcap: float | None,
        uniform: bool,
        learns: bool,
    ) -> tuple[Tensor, Tensor]:
        exact = torch.promote_types(hidden.dtype, torch.float32)
        scored = torch.empty(len(row), dtype=exact, device=hidden.device)
        mean = torch.zeros(len(hidden), dtype=exact, device=hidden.device)
        expected = torch.empty(hidden.shape if learns else (0,), dtype=exact, device=hidden.device)
        slope = None if softcap is None else torch.empty_like(scored)
        table = hidden.new_empty(min(ROWS, len(hidden)), len(weight))
        wide = torch.empty_like(table, dtype=exact)
        for a in range(0, len(hidden), ROWS):
            mine = ((row >= a) & (row < a + ROWS)).nonzero().flatten()
            place = (row[mine] - a, token[mine])
            some = hidden[a : a + ROWS]
            logprobs = wide[: len(some)].copy_(_products(some, weight, bias, out=table[: len(some)]))
            if scale != 1.0:
                logprobs.mul_(scale)
            bends = None
            if softcap is not None:
                logprobs.div_(softcap).tanh_()
                bends = 1 - logprobs.square()
                logprobs.mul_(softcap)
            torch.log_softmax(logprobs, dim=-1, out=logprobs)
            scored[mine] = logprobs[place]
            if slope is not None and bends is not None:
                slope[mine] = bends[place]
            if uniform:
                mean[a : a + ROWS] = logprobs.mean(dim=-1)
            if learns:
                expected[a : a + ROWS] = _others(logprobs, bends, place, weight, table[: len(some)])
        ctx.save_for_backward(weight, row, token, scored, expected, slope)
        ctx.scale, ctx.uniform = scale, uniform
        return scored, mean

    @staticmethod
    def backward(ctx: _Saved, grad: Tensor, grad_mean: Tensor) -> tuple[Tensor | None, ...]:
        weight, row, token, scored, expected, slope = ctx.saved_tensors
        pull = grad_mean.index_add(0, row, grad)  # what each row's softmax is weighted by
        pair, at = (row * len(weight) + token).unique(return_inverse=True)
        own, first = torch.zeros(len(pair), dtype=grad.dtype, device=grad.device), torch.empty_like(pair)
        first[at] = torch.arange(len(row), device=row.device)
        rows, tokens = row[first], token[first]
        own.index_add_(0, at, grad).sub_(pull[rows] * scored[first].exp())
        own = own if slope is None else own * slope[first]
        d_hidden = expected * -pull[:, None]
        d_hidden.index_add_(0, rows, weight[tokens].to(grad.dtype) * own[:, None])
        if ctx.uniform:
            d_hidden += grad_mean[:, None] * weight.mean(dim=0, dtype=grad.dtype)
        return (d_hidden.mul_(ctx.scale).to(weight.dtype), *[None] * 8)


def _products(rows: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """Logits of some rows, written into `out`: (rows, d) -> (rows, v)."""
    if bias is None:
        return torch.mm(rows, weight.T, out=out)
    return torch.addmm(bias, rows, weight.T, out=out)


def _others(
    logprobs: Tensor, bends: Tensor | None, scored: tuple[Tensor, Tensor], weight: Tensor, shares: Tensor
) -> Tensor:
    """The rows of the vocabulary's matrix by their probabilities, scored tokens left out: (rows, v) -> (rows, d).

    shares: memory for the probabilities in the compute dtype, (rows, v). logprobs becomes them itself.
    """
    shares.copy_(logprobs.exp_())
    if bends is not None:
        shares.mul_(bends)
    shares[scored] = 0
    return shares @ weight


if TYPE_CHECKING:

    def settled(
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        row: Tensor,
        token: Tensor,
        scale: float,
        softcap: float | None,
        uniform: bool,
        learns: bool,
    ) -> tuple[Tensor, Tensor]:
        """hidden (u, d), weight (v, d), row and token (m,) -> scored (m,) and mean (u,), in float32 or better.

        learns: whether a backward follows. uniform: whether the mean is wanted, which goes with no softcap.
        """
else:
    settled = _Settled.apply
