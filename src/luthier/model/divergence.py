"""How far a tuned model went from its base: exact KL(base || tuned) at every scored token, over the whole vocabulary.

    with torch.no_grad(), switched_off(model.network):      # an adapter's base is the same weights, the adapter off
        base = reference(model, batch)
    apart = divergence(model, batch, base)                   # (m,) nats, one a scored pair; 0 while nothing was learned

Where the weights themselves move (full, freeze), `reference` is asked of a second model, the base opened again; or a
`Reference` is made of hidden states kept from before and a copy of the head (`held`). The tuned side is differentiable,
so that a training loss may hold the sum down: `divergence` runs the trunk of its own, and `apart` takes the hidden
states that a forward already has. The base's side never learns.

Where bfloat16 computes, two models that are equal but for rounding are some 0.001 nats apart.

Not here: which texts are measured, and what a loss weighs the sum by.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from luthier.batch import Batch
from luthier.errors import ShapeError
from luthier.model.forward import computing, head, scored_rows
from luthier.model.head import CHUNK_BYTES, Head, logits_of
from luthier.model.load import Model


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """What the base computes at the scored places of one batch, before the vocabulary: (u, d), not (u, v)."""

    hidden: Tensor
    """(u, d) hidden states of the distinct rows that predict, in the order of `forward.scored_rows`."""
    head: Head
    """The base's output layer; where training moves it, a copy from before (`held`)."""


def reference(model: Model, batch: Batch) -> Reference:
    """The base's side of a batch, without gradients: a second model's, or this one's with its adapter switched off."""
    with torch.no_grad():
        hidden, _ = scored_rows(model, batch)
    return Reference(hidden, head(model.network))


def held(output: Head) -> Head:
    """A copy of an output layer that training will move: v * d numbers; hidden states kept from before go with it."""
    linear = deepcopy(output.linear).requires_grad_(False)
    return Head(linear, output.scale, output.softcap)


def divergence(model: Model, batch: Batch, base: Reference) -> Tensor:
    """KL(base || model) in nats where each scored token is predicted: (m,) in float32 or better, differentiable.

    Weights are left to the caller: the mean is `(batch.weight * divergence(...)).sum() / batch.count("token")`.
    Raises ShapeError where the reference is of another batch.
    """
    hidden, row = scored_rows(model, batch)
    with computing(model):
        return apart(hidden, head(model.network), base)[row]


def apart(hidden: Tensor, output: Head, base: Reference) -> Tensor:
    """KL of the base's next-token distribution to this one's, row by row: hidden (u, d) -> (u,) nats.

    Gradients reach `hidden` and the parameters of `output`, never the base. No more than one chunk of logits of each
    side is held at a time, forward and backward. For the pairs of a batch, index it by `scored_rows`' second result.
    Raises ShapeError where the base has another number of rows, or another vocabulary.
    """
    theirs = base.head.linear
    sizes = [(len(base.hidden), len(theirs.weight)), (len(hidden), len(output.linear.weight))]
    if sizes[0] != sizes[1]:
        before, after = (f"{rows} rows over {tokens} tokens" for rows, tokens in sizes)
        raise ShapeError(f"the base has {before}, the tuned model {after}; take both from one batch and vocabulary")
    weight = output.linear.weight.to(hidden.dtype)
    bias = None if output.linear.bias is None else output.linear.bias.to(hidden.dtype)
    frozen = _Side(
        base.hidden.detach(), theirs.weight.detach(), _detached(theirs.bias), base.head.scale, base.head.softcap
    )
    found: Tensor = _Apart.apply(hidden, weight, bias, frozen, output.scale, output.softcap)  # type: ignore[no-untyped-call]
    return found


class _Side(NamedTuple):
    """All that one side's logits come from."""

    hidden: Tensor
    weight: Tensor
    bias: Tensor | None
    scale: float
    softcap: float | None

    def logprobs(self, a: int, b: int) -> tuple[Tensor, Tensor]:
        """Logits and log-probabilities of rows [a, b): two times (b - a, v)."""
        logits = logits_of(self.hidden[a:b], self.weight.to(self.hidden.dtype), self.bias, self.scale, self.softcap)
        return logits, torch.log_softmax(logits, dim=-1)


class _Saved(Protocol):
    """What the forward leaves for its backward."""

    saved_tensors: tuple[Tensor, Tensor, Tensor | None, Tensor | None]
    needs_input_grad: tuple[bool, ...]
    before: _Side
    scale: float
    softcap: float | None

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...


class _Apart(torch.autograd.Function):
    """KL over rows. The gradient of a row's KL to the tuned logits is q - p.

    With a frozen head each row's gradient to its hidden state is known but for a factor, so it is taken in the forward
    and the backward computes no logits; with a learning head the chunks are computed anew.
    """

    @staticmethod
    def forward(
        ctx: _Saved,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        before: _Side,
        scale: float,
        softcap: float | None,
    ) -> Tensor:
        after = _Side(hidden, weight, bias, scale, softcap)
        found = torch.empty(len(hidden), dtype=torch.promote_types(hidden.dtype, torch.float32), device=hidden.device)
        ahead = torch.empty_like(hidden) if ctx.needs_input_grad[0] and not any(ctx.needs_input_grad[1:3]) else None
        for a, b in _chunks(before, after):
            logits, mine = after.logprobs(a, b)
            _, theirs = before.logprobs(a, b)
            p = theirs.exp()
            found[a:b] = theirs.sub(mine).mul_(p).sum(dim=-1)
            if ahead is not None:
                ahead[a:b] = _slope(mine, p, logits, after) @ weight
        ctx.save_for_backward(hidden, weight, bias, ahead)
        ctx.before, ctx.scale, ctx.softcap = before, scale, softcap
        return found.clamp_(min=0)  # rounding may take a sum that is 0 just below it

    @staticmethod
    def backward(ctx: _Saved, grad: Tensor) -> tuple[Tensor | None, ...]:
        hidden, weight, bias, ahead = ctx.saved_tensors
        if ahead is not None:
            return (ahead * grad[:, None]).to(hidden.dtype), None, None, None, None, None
        after, exact = _Side(hidden, weight, bias, ctx.scale, ctx.softcap), grad.dtype
        d_hidden = torch.empty_like(hidden)
        d_weight = torch.zeros_like(weight, dtype=exact)
        d_bias = None if bias is None else torch.zeros_like(bias, dtype=exact)
        for a, b in _chunks(ctx.before, after):
            logits, mine = after.logprobs(a, b)
            slope = _slope(mine, ctx.before.logprobs(a, b)[1].exp(), logits, after, grad[a:b])
            d_hidden[a:b] = slope @ weight
            d_weight += slope.T @ hidden[a:b]
            if d_bias is not None:
                d_bias += slope.sum(dim=0)
        d_bias = None if d_bias is None else d_bias.to(hidden.dtype)
        return d_hidden, d_weight.to(weight.dtype), d_bias, None, None, None


def _slope(mine: Tensor, p: Tensor, logits: Tensor, after: _Side, grad: Tensor | None = None) -> Tensor:
    """The gradient to what the vocabulary matrix gave, before scale and cap, in the compute type: (c, v)."""
    slope = mine.exp() - p
    if grad is not None:
        slope *= grad[:, None]
    if after.softcap is not None:
        slope *= 1 - (logits / after.softcap) ** 2
    return (slope if after.scale == 1.0 else slope * after.scale).to(after.hidden.dtype)


def _chunks(before: _Side, after: _Side) -> list[tuple[int, int]]:
    """Ranges of rows so small that the four or five tables of a chunk take about what one chunk of the head does."""
    size = max(1, CHUNK_BYTES // (4 * len(after.weight) * max(4, before.hidden.element_size())))
    return [(a, min(a + size, len(after.hidden))) for a in range(0, len(after.hidden), size)]


def _detached(bias: Tensor | None) -> Tensor | None:
    return None if bias is None else bias.detach()
