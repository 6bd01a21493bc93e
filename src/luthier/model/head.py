"""From hidden states to log-probabilities of the scored tokens, without ever holding all logits.

A branch predicts several next tokens from one hidden state, so each distinct row meets the vocabulary matrix once,
however many pairs are scored under it. The rows go through in chunks, forward and backward; a chunk's logits live only
as long as its turn, or its probabilities do till the backward where they are few.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from luthier.model.settled import settled

CHUNK_BYTES = 64 * 2**20
"""Memory for one chunk of logits in the accumulating type."""

KEPT_BYTES = 256 * 2**20
"""Memory up to which the probabilities of a micro-batch are kept for the backward."""


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
        shape = self.scale, self.softcap
        if self.learns or (uniform and self.softcap is not None):
            scored, mean = _Scored.apply(hidden, weight, bias, row, token, *shape)  # type: ignore[no-untyped-call]
        else:
            learns = hidden.requires_grad and torch.is_grad_enabled()
            scored, mean = settled(hidden, weight, bias, row, token, *shape, uniform, learns)
        return scored, mean[row] if uniform else None

    @property
    def learns(self) -> bool:
        """Whether its own weights want a gradient now."""
        parts = [self.linear.weight] if self.linear.bias is None else [self.linear.weight, self.linear.bias]
        return torch.is_grad_enabled() and any(part.requires_grad for part in parts)

    def logits(self, hidden: Tensor) -> Tensor:
        """All logits of a few rows, for sampling: (u, d) -> (u, v) in float32 or better."""
        return logits_of(hidden, self.linear.weight.to(hidden.dtype), self.linear.bias, self.scale, self.softcap)


def logits_of(hidden: Tensor, weight: Tensor, bias: Tensor | None, scale: float, softcap: float | None) -> Tensor:
    """`softcap(scale * (hidden @ weight.T + bias))`: (u, d) -> (u, v) in float32 or better."""
    logits = nn.functional.linear(hidden, weight, None if bias is None else bias.to(hidden.dtype))
    logits = logits.to(torch.promote_types(hidden.dtype, torch.float32))
    logits = logits if scale == 1.0 else logits * scale
    return logits if softcap is None else torch.tanh(logits / softcap) * softcap


class _Saved(Protocol):
    """What the forward leaves for its backward."""

    saved_tensors: tuple[Tensor, Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor | None]
    needs_input_grad: tuple[bool, ...]
    scale: float
    softcap: float | None

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...


class _Scored(torch.autograd.Function):
    """log_softmax of each row at its tokens, and its mean.

    The probabilities are kept for the backward in the compute type while they are few; else each chunk's are computed
    anew. What rounding does to a learned token's own probability is put right, since p - 1 would lose it.
    """

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
        kept = None
        if softcap is None and len(hidden) * len(weight) * hidden.element_size() <= KEPT_BYTES:
            kept = hidden.new_empty(len(hidden), len(weight))
        for a, b, mine in _chunks(hidden, weight, row):
            logprobs = logits_of(hidden[a:b], weight, bias, scale, softcap).log_softmax(dim=-1)
            mean[a:b] = logprobs.mean(dim=-1)
            scored[mine] = logprobs[row[mine] - a, token[mine]]
            if kept is not None:
                kept[a:b] = logprobs.exp_()
        ctx.save_for_backward(hidden, weight, bias, row, token, scored, kept)
        ctx.scale, ctx.softcap = scale, softcap
        return scored, mean

    @staticmethod
    def backward(ctx: _Saved, grad: Tensor, grad_mean: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, row, token, scored, kept = ctx.saved_tensors
        scale, softcap, wants = ctx.scale, ctx.softcap, ctx.needs_input_grad
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight, dtype=scored.dtype) if wants[1] else None
        d_bias = torch.zeros_like(bias, dtype=scored.dtype) if bias is not None and wants[2] else None
        pull = grad_mean.index_add(0, row, grad)  # what each row's softmax is weighted by
        copies = _copies(row * len(weight) + token)
        for a, b, mine in _chunks(hidden, weight, row):
            place = (row[mine] - a, token[mine])
            bent = None
            if kept is not None:
                slope = kept[a:b].to(scored.dtype)
            else:
                bent = logits_of(hidden[a:b], weight, bias, scale, softcap)
                slope = bent.softmax(dim=-1)
            mend = (slope[place] - scored[mine].exp()) * pull[row[mine]] / copies[mine]
            slope.mul_(-pull[a:b, None]).add_((grad_mean[a:b] / weight.shape[0])[:, None])
            slope.index_put_(place, grad[mine] + mend, accumulate=True)
            if softcap is not None and bent is not None:
                slope *= 1 - (bent / softcap) ** 2
            slope = (slope if scale == 1.0 else slope * scale).to(hidden.dtype)
            d_hidden[a:b] = slope @ weight
            if d_weight is not None:
                d_weight += slope.T @ hidden[a:b]
            if d_bias is not None:
                d_bias += slope.sum(dim=0)
        d_weight = None if d_weight is None else d_weight.to(weight.dtype)
        d_bias = None if d_bias is None else d_bias.to(hidden.dtype)
        return d_hidden, d_weight, d_bias, None, None, None, None


def _copies(pair: Tensor) -> Tensor:
    """How often each (row, token) pair stands in the list: (m,)."""
    _, inverse, counts = pair.unique(return_inverse=True, return_counts=True)
    copies: Tensor = counts[inverse]
    return copies


def _chunks(hidden: Tensor, weight: Tensor, row: Tensor) -> list[tuple[int, int, Tensor]]:
    """Ranges of rows whose logits fit in one chunk, each with the pairs that are scored in it."""
    size = max(1, CHUNK_BYTES // (weight.shape[0] * max(4, hidden.element_size())))
    ranges = [(a, min(a + size, len(hidden))) for a in range(0, len(hidden), size)]
    return [(a, b, ((row >= a) & (row < b)).nonzero().flatten()) for a, b in ranges]
