"""The least time a step could take: its useful multiplications over the rate this machine multiplies matrices at.

    T_min = [ 2 N U (1 + dX + dW) + 4 h d_h L A (1 + 2 bwd) + 2 d V S (1 + dX + dW) + 6 r sum(d_in + d_out) U ] / P

U distinct tokens, A sum of path lengths over them, S distinct rows that meet the vocabulary, N weights of the linear
layers, P the rate. For LoRA dW = 0: no gradient of a frozen weight; and nothing flows below the lowest adapters, so
the layers that read the embeddings have no dX. In full tuning dW = 1, there are no adapters, and every layer has its
dX, since the embeddings learn. Recomputed work is never useful work. Runs in both environments: it imports nothing but
torch.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass

import torch
from torch.nn.functional import linear


@dataclass(frozen=True, slots=True)
class Shape:
    """What of a network decides the work of one token."""

    layers: int
    heads: int
    head_width: int
    width: int
    vocabulary: int
    linears: tuple[tuple[int, int], ...]
    """(in, out) of every linear layer but the head."""
    lowest: tuple[tuple[int, int], ...]
    """Those among them that read the embeddings, which are frozen: no gradient of their input is needed."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What one optimizer step holds, every shared token once."""

    distinct: int
    """U: tokens when each shared beginning is there once."""
    logical: int
    """Tokens as the data says them."""
    seen: int
    """A: keys seen, summed over distinct tokens: each token's place on its path, counted from 1."""
    scored: int
    """S: distinct hidden states that predict a learned token."""
    supervised: int
    """Learned tokens."""


def flops(shape: Shape, counts: Counts, *, rank: int | None) -> float:
    """Floating-point operations of one step, forward and backward, that no implementation can leave out.

    rank: of the LoRA adapters; None where every weight learns.
    """
    linear, attention, head = forward(shape, counts)
    if rank is None:
        return 3 * (linear + attention + head)
    without_input_gradient = 2 * counts.distinct * sum(inputs * outputs for inputs, outputs in shape.lowest)
    adapters = 6 * rank * sum(inputs + outputs for inputs, outputs in shape.linears) * counts.distinct
    return 2 * linear - without_input_gradient + 3 * attention + 2 * head + adapters


def forward(shape: Shape, counts: Counts) -> tuple[float, float, float]:
    """Operations of the forward alone: of the linear layers, of attention, and of the vocabulary."""
    weights = sum(inputs * outputs for inputs, outputs in shape.linears)
    return (
        2.0 * weights * counts.distinct,
        4.0 * shape.heads * shape.head_width * shape.layers * counts.seen,
        2.0 * shape.width * shape.vocabulary * counts.scored,
    )


def rate(shape: Shape, *, rows: int, dtype: torch.dtype, repeats: int = 5) -> float:
    """FLOP/s of the network's own matrix products at `rows` tokens: forward and input gradient, the best of `repeats`.

    Each shape counts as often as the network has it.
    """
    work = seconds = 0.0
    for (inputs, outputs), times in Counter(shape.linears).items():
        work += times * 4.0 * rows * inputs * outputs
        seconds += times * min(_product_s(rows, inputs, outputs, dtype) for _ in range(repeats + 1))
    return work / seconds


def _product_s(rows: int, inputs: int, outputs: int, dtype: torch.dtype) -> float:
    x, grad = torch.ones(rows, inputs, dtype=dtype), torch.ones(rows, outputs, dtype=dtype)
    weight = torch.ones(outputs, inputs, dtype=dtype)
    began = time.perf_counter()
    linear(x, weight)
    grad @ weight
    return time.perf_counter() - began
