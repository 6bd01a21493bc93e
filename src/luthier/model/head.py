"""From hidden states to log-probabilities of the scored tokens, without ever holding all logits.

A branch predicts several next tokens from one hidden state, so each distinct row meets the vocabulary matrix once,
however many pairs are scored under it. The rows go through in chunks, forward and backward; a chunk's logits live only
as long as its turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

CHUNK_BYTES = 64 * 2**20
"""Memory for one chunk of logits in the accumulating type."""


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """A language model's output layer: `softcap(scale * (hidden @ weight.T + bias))`."""

    linear: nn.Linear
    scale: float = 1.0
    """What the family multiplies its logits by (Cohere, Granite)."""
    softcap: float | None = None
    """Where the family bends its logits with tanh (Gemma)."""

    def logprobs(self, hidden: Tensor, row: Tensor, token: Tensor, *, uniform: bool) -> tuple[Tensor, Tensor | None]:
        """Log-probability of each pair's token under its row.

        hidden (u, d) distinct rows, row (m,) which of them predicts pair i, token (m,) what it should predict. Returns
        (m,) log-probabilities in float32 or better, and with `uniform` also (u,) -> (m,) the mean log-probability over
        the vocabulary, which label smoothing needs.
        """
        weight = self.linear.weight.to(hidden.dtype)
        bias = None if self.linear.bias is None else self.linear.bias.to(hidden.dtype)
        scored, mean = _Scored.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, row, token, self.scale, self.softcap
        )
        return scored, mean[row] if uniform else None

    def logits(self, hidden: Tensor) -> Tensor:
        """All logits of a few rows, for sampling: (u, d) -> (u, v) in float32 or better."""
        return _logits(hidden, self.linear.weight.to(hidden.dtype), self.linear.bias, self.scale, self.softcap)


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float, softcap: float | None) -> Tensor:
    logits = nn.functional.linear(hidden, weight, None if bias is None else bias.to(hidden.dtype))
    logits = logits.to(torch.promote_types(hidden.dtype, torch.float32))
    logits = logits if scale == 1.0 else logits * scale
    return logits if softcap is None else torch.tanh(logits / softcap) * softcap


class _Saved(Protocol):
    """What the forward leaves for its backward."""

    saved_tensors: tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor]
    needs_input_grad: tuple[bool, ...]
    scale: float
    softcap: float | None

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...


class _Scored(torch.autograd.Function):
    """log_softmax of each row at its tokens, and its mean; the backward computes each chunk's logits anew."""

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
    ) -> tuple[Tensor, Tensor]:
        exact = torch.promote_types(hidden.dtype, torch.float32)
        scored = torch.empty(len(row), dtype=exact, device=hidden.device)
        mean = torch.empty(len(hidden), dtype=exact, device=hidden.device)
        normaliser = torch.empty(len(hidden), dtype=exact, device=hidden.device)
        for a, b, mine in _chunks(hidden, weight, row):
            logits = _logits(hidden[a:b], weight, bias, scale, softcap)
            normaliser[a:b] = torch.logsumexp(logits, dim=-1)
            mean[a:b] = logits.mean(dim=-1) - normaliser[a:b]
            scored[mine] = logits[row[mine] - a, token[mine]] - normaliser[row[mine]]
        ctx.save_for_backward(hidden, weight, bias, row, token, normaliser)
        ctx.scale, ctx.softcap = scale, softcap
        return scored, mean

    @staticmethod
    def backward(ctx: _Saved, grad: Tensor, grad_mean: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, row, token, normaliser = ctx.saved_tensors
        scale, softcap, wants = ctx.scale, ctx.softcap, ctx.needs_input_grad
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight, dtype=normaliser.dtype) if wants[1] else None
        d_bias = torch.zeros_like(bias, dtype=normaliser.dtype) if bias is not None and wants[2] else None
        pull = grad_mean.index_add(0, row, grad)  # what each row's softmax is weighted by
        for a, b, mine in _chunks(hidden, weight, row):
            logits = _logits(hidden[a:b], weight, bias, scale, softcap)
            slope = torch.exp(logits - normaliser[a:b, None]).mul_(-pull[a:b, None])
            slope += (grad_mean[a:b] / weight.shape[0])[:, None]
            slope.index_put_((row[mine] - a, token[mine]), grad[mine], accumulate=True)
            if softcap is not None:
                slope *= 1 - (logits / softcap) ** 2
            slope = (slope * scale).to(hidden.dtype)
            d_hidden[a:b] = slope @ weight
            if d_weight is not None:
                d_weight += slope.T @ hidden[a:b]
            if d_bias is not None:
                d_bias += slope.sum(dim=0)
        d_weight = None if d_weight is None else d_weight.to(weight.dtype)
        d_bias = None if d_bias is None else d_bias.to(hidden.dtype)
        return d_hidden, d_weight, d_bias, None, None, None, None


def _chunks(hidden: Tensor, weight: Tensor, row: Tensor) -> list[tuple[int, int, Tensor]]:
    """Ranges of rows whose logits fit in one chunk, each with the pairs that are scored in it."""
    size = max(1, CHUNK_BYTES // (weight.shape[0] * max(4, hidden.element_size())))
    ranges = [(a, min(a + size, len(hidden))) for a in range(0, len(hidden), size)]
    return [(a, b, ((row >= a) & (row < b)).nonzero().flatten()) for a, b in ranges]
