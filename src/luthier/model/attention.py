"""Attention over the packed forest: a token attends to itself and its ancestors.

In depth-first order the descendants of a node are one contiguous range, so the forest splits into ordinary parts: a
causal call inside all nodes, and for each inner node one unmasked rectangle, its descendants x its own tokens. The
parts merge by log-sum-exp. Their backward is each part's own, called with the merged output and log-sum-exp, and is
exact (the argument of ring attention: Liu et al. 2023, arXiv:2310.01889).

Backends, all here: `cascade` (flash kernels of the CPU, or of CUDA), and `dense` (a boolean mask), which serves
windows, soft-capping, attention sinks and unequal head widths, and is the oracle of the tests. Not here: which models
may use it (`accept.py`), and what happens before and after a layer's attention.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, softmax
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from luthier.batch import Batch
from luthier.errors import ModelError

NAME = "luthier_forest"
"""The attention implementation's name in transformers."""

HARMLESS = frozenset({"position_ids", "cache_position", "use_cache", "output_attentions", "is_causal", "layer_idx"})
"""Keywords transformers hands to attention functions that change nothing here: positions are applied before."""

BUCKET = 16
"""Node lengths are rounded up to a multiple of this, so that short nodes share one batched call."""


FLOAT32_KEYS = 512
"""Up to this many keys the CPU's flash backward runs in float32: torch's bfloat16 one takes 1.4 to 7 times as long."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """An inner node: its descendants `[stop, end)` see all of its tokens `[start, stop)`."""

    start: int
    stop: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Bucket:
    """Short nodes of nearly one length, computed as one padded batch."""

    index: Tensor
    """(b, l) packed indexes; a shorter node repeats its last one."""
    real: Tensor
    """(b, l) which entries are tokens and not padding."""

    def rows(self, tensor: Tensor) -> Tensor:
        """Takes the nodes as a batch: (1, heads, n, width) -> (b, heads, l, width)."""
        return tensor[0].transpose(0, 1)[self.index].transpose(1, 2)

    def write(self, whole: Tensor, part: Tensor) -> None:
        """Writes (b, heads, l, width) back to (1, heads, n, width), leaving padding out."""
        whole[0].transpose(0, 1)[self.index[self.real]] = part.transpose(1, 2)[self.real].to(whole.dtype)


class Cache:
    """Keys and values of every layer, packed as the forest is, so that a shared beginning is held once."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.length = 0
        self._layers: dict[int, tuple[Tensor, Tensor]] = {}

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Appends (1, kv heads, q, width) behind what the layer holds; returns all of it, with the new at the end."""
        if layer not in self._layers:
            self._layers[layer] = tuple(  # type: ignore[assignment]
                t.new_empty(*t.shape[:2], self.capacity, t.shape[3]) for t in (key, value)
            )
        upto = self.length + key.shape[2]
        for held, new in zip(self._layers[layer], (key, value), strict=True):
            held[:, :, self.length : upto] = new
        keys, values = self._layers[layer]
        return keys[:, :, :upto], values[:, :, :upto]


@dataclass(slots=True, eq=False)
class Step:
    """One decoding step: each query sees a chosen set of cached keys, and itself."""

    seen: Tensor
    """(q, k) whether a query sees a key; the last q keys are the queries' own."""
    query_depth: Tensor
    """(q,) depth of each query."""
    key_depth: Tensor
    """(k,) depth of each key."""
    longest: int
    """Length of the longest path."""
    cache: Cache
    consumed: set[int] = field(default_factory=set)

    def allowed(self, window: int | None) -> Tensor:
        """(q, k) what is seen within `window` tokens of each path."""
        if window is None or window >= self.longest:
            return self.seen
        return self.seen & (self.query_depth[:, None] - self.key_depth[None, :] < window)


@dataclass(slots=True, eq=False)
class Plan:
    """How one batch's attention is cut into parts; travels to every layer as the keyword `forest`."""

    query_depth: Tensor
    """(q,) depth of each query."""
    key_depth: Tensor
    """(k,) depth of each key."""
    end: Tensor
    """(k,) one past the last descendant of each key."""
    index: Tensor
    """(q,) packed index of each query."""
    longest: int
    """Length of the longest path: a window at least this wide hides nothing."""
    rectangles: tuple[Rectangle, ...]
    single: tuple[tuple[int, int], ...]
    """Nodes `[start, stop)` that are long enough for a causal call of their own."""
    buckets: tuple[Bucket, ...]
    """The short nodes, by length."""
    dense: bool = False
    """Use the boolean mask, whatever the layer asks."""
    cache: Cache | None = None
    """Where keys and values are kept, when decoding goes on from this forest."""
    consumed: set[int] = field(default_factory=set)
    """Which attention modules have taken the plan: the engine compares it with the layers it knows."""

    def allowed(self, window: int | None) -> Tensor:
        """(q, k) whether a query sees a key: itself and its ancestors, at most `window` - 1 back on its own path."""
        key = torch.arange(len(self.end), device=self.end.device)
        seen = (key[None, :] <= self.index[:, None]) & (self.index[:, None] < self.end[None, :])
        if window is not None and window < self.longest:
            seen &= self.query_depth[:, None] - self.key_depth[None, :] < window
        return seen


def plan(batch: Batch, *, dense: bool = False) -> Plan:
    """Cuts a batch's forest into the parts of the cascade."""
    rectangles, leaves = _nodes(batch)
    long = tuple((a, b) for a, b in leaves if b - a > 8 * BUCKET)
    return Plan(
        query_depth=batch.depth,
        key_depth=batch.depth,
        end=batch.end,
        index=torch.arange(batch.distinct, device=batch.tokens.device),
        longest=batch.longest,
        rectangles=rectangles,
        single=long,
        buckets=_buckets([(a, b) for a, b in leaves if b - a <= 8 * BUCKET], batch.tokens.device),
        dense=dense,
    )


def _nodes(batch: Batch) -> tuple[tuple[Rectangle, ...], list[tuple[int, int]]]:
    """The inner nodes as rectangles, and all nodes as ranges: maximal unbranched runs of one path."""
    parent, end = batch.parent.cpu(), batch.end.cpu()
    starts = torch.ones(batch.distinct, dtype=torch.bool)
    starts[1:] = (parent[1:] != torch.arange(batch.distinct - 1)) | (end[1:] != end[:-1])
    bounds = [*starts.nonzero().flatten().tolist(), batch.distinct]
    ranges = list(pairwise(bounds))
    ends = end[bounds[:-1]].tolist()
    inner = tuple(Rectangle(a, b, e) for (a, b), e in zip(ranges, ends, strict=True) if e > b)
    return inner, ranges


def _buckets(ranges: list[tuple[int, int]], device: torch.device) -> tuple[Bucket, ...]:
    """Groups short nodes by rounded length into padded index blocks."""
    groups: dict[int, list[tuple[int, int]]] = {}
    for a, b in ranges:
        groups.setdefault(-(-(b - a) // BUCKET) * BUCKET, []).append((a, b))
    blocks = []
    for members in groups.values():
        width = max(b - a for a, b in members)
        first = torch.tensor([a for a, _ in members])[:, None]
        last = torch.tensor([b - 1 for _, b in members])[:, None]
        index = first + torch.arange(width)
        blocks.append(Bucket(torch.minimum(index, last).to(device), (index <= last).to(device)))
    return tuple(blocks)


def forest_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    softcap: float | None = None,
    s_aux: Tensor | None = None,
    forest: Plan | Step | None = None,
    **others: object,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer: query (1, heads, n, width) -> ((1, n, heads, width), None).

    Raises ModelError for a missing plan, a mask, a dropout, or a keyword it does not know how to honour.
    """
    if forest is None:
        raise ModelError(f"{type(module).__name__} got no plan: its layers do not hand keyword arguments on")
    unknown = sorted(name for name, given in others.items() if given is not None and name not in HARMLESS)
    if attention_mask is not None or dropout or unknown:
        raise ModelError(
            f"{type(module).__name__} asks what forest attention cannot give: "
            f"mask {attention_mask is not None}, dropout {dropout}, keywords {unknown}"
        )
    forest.consumed.add(id(module))
    query, key = query.to(value.dtype), key.to(value.dtype)  # autocast leaves what rotary tables touched in float32
    if forest.cache is not None:
        key, value = forest.cache.extend(id(module), key, value)
    scale = scaling if scaling is not None else query.shape[-1] ** -0.5
    window = sliding_window if sliding_window is not None and sliding_window < forest.longest else None
    plain = softcap is None and s_aux is None and window is None and query.shape[-1] == value.shape[-1]
    if plain and isinstance(forest, Plan) and not forest.dense:
        out: Tensor = _Cascade.apply(query, key, value, forest, scale)  # type: ignore[no-untyped-call]
        return out.transpose(1, 2), None
    return _masked(query, key, value, forest.allowed(window), scale, softcap, s_aux).transpose(1, 2), None


def _repeated(tensor: Tensor, heads: int) -> Tensor:
    """Keys or values once per query head: (1, kv heads, n, width) -> (1, heads, n, width)."""
    return tensor if tensor.shape[1] == heads else tensor.repeat_interleave(heads // tensor.shape[1], dim=1)


def _summed(grad: Tensor, groups: int) -> Tensor:
    """What the query heads of a key head ask of it, added up: (1, heads, n, width) -> (1, groups, n, width)."""
    return grad if grad.shape[1] == groups else grad.unflatten(1, (groups, -1)).sum(dim=2)


def _masked(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    allowed: Tensor,
    scale: float,
    softcap: float | None,
    sinks: Tensor | None,
) -> Tensor:
    """Attention under a boolean mask (q, k); query heads that share a key head are folded into its rows."""
    heads, folds = key.shape[1], query.shape[1] // key.shape[1]
    rows = query.reshape(1, heads, folds * query.shape[2], query.shape[3])
    mask = allowed.repeat(folds, 1)
    if softcap is None and sinks is None:
        out = scaled_dot_product_attention(rows, key, value, mask, scale=scale)
    else:
        sink = None if sinks is None else sinks.view(1, heads, folds, 1).repeat_interleave(query.shape[2], dim=2)
        out = _eager(rows, key, value, mask, scale, softcap, None if sink is None else sink.view(1, heads, -1, 1))
    return out.reshape(1, query.shape[1], query.shape[2], value.shape[3])


def _eager(
    rows: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    scale: float,
    softcap: float | None,
    sink: Tensor | None,
) -> Tensor:
    """Masked attention written out, with soft-capped scores (Gemma 2) and a sink logit a row (GPT-OSS)."""
    exact = torch.promote_types(rows.dtype, torch.float32)
    scores = (rows @ key.transpose(-1, -2)).to(exact) * scale
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    scores = scores.masked_fill(~mask, float("-inf"))
    if sink is not None:
        scores = torch.cat((scores, sink.to(exact)), dim=-1)
    weights = softmax(scores, dim=-1)[..., : key.shape[-2]]
    return weights.to(value.dtype) @ value


class _Saved(Protocol):
    """What the cascade's forward leaves for its backward."""

    saved_tensors: tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
    forest: Plan
    scale: float

    def save_for_backward(self, *tensors: Tensor) -> None: ...


class _Cascade(torch.autograd.Function):
    """The parts of a plan through a flash kernel, merged: query (1, heads, n, width), key and value a head a group."""

    @staticmethod
    def forward(ctx: _Saved, query: Tensor, key: Tensor, value: Tensor, forest: Plan, scale: float) -> Tensor:
        heads, saved = query.shape[1], (key, value)
        key, value = _repeated(key, heads), _repeated(value, heads)
        out, lse = _inside(query, key, value, forest, scale)
        for part in forest.rectangles:
            mine, keys = slice(part.stop, part.end), slice(part.start, part.stop)
            more, more_lse = _flash(query[:, :, mine], key[:, :, keys], value[:, :, keys], scale, causal=False)
            _merge(out[:, :, mine], lse[:, :, mine], more, more_lse)
        out = out.to(query.dtype)
        ctx.save_for_backward(query, *saved, out, lse)
        ctx.forest, ctx.scale = forest, scale
        return out

    @staticmethod
    def backward(ctx: _Saved, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, out, lse = ctx.saved_tensors
        forest, scale, groups = ctx.forest, ctx.scale, key.shape[1]
        key, value = _repeated(key, query.shape[1]), _repeated(value, query.shape[1])
        dq, dk, dv = _inside_backward(grad, query, key, value, out, lse, forest, scale)
        for part in forest.rectangles:
            mine, keys = slice(part.stop, part.end), slice(part.start, part.stop)
            a, b, c = _flash_backward(
                grad[:, :, mine],
                query[:, :, mine],
                key[:, :, keys],
                value[:, :, keys],
                out[:, :, mine],
                lse[:, :, mine],
                scale,
                causal=False,
            )
            dq[:, :, mine] += a
            dk[:, :, keys] += b
            dv[:, :, keys] += c
        dk, dv = _summed(dk, groups), _summed(dv, groups)
        return dq.to(query.dtype), dk.to(query.dtype), dv.to(query.dtype), None, None


def _merge(out: Tensor, lse: Tensor, more: Tensor, more_lse: Tensor) -> None:
    """Folds another part's output into `out` and `lse`, in place, weighted by each part's share of the softmax."""
    total = torch.logaddexp(lse, more_lse)
    out.mul_((lse - total).exp_().unsqueeze(-1)).add_(more * (more_lse - total).exp_().unsqueeze(-1))
    lse.copy_(total)


def _inside(query: Tensor, key: Tensor, value: Tensor, forest: Plan, scale: float) -> tuple[Tensor, Tensor]:
    """Causal attention inside every node: the output and its log-sum-exp (1, heads, n)."""
    exact = torch.promote_types(query.dtype, torch.float32)
    out = torch.empty(query.shape, dtype=exact, device=query.device)
    lse = torch.empty(query.shape[:-1], dtype=exact, device=query.device)
    for a, b in forest.single:
        node = slice(a, b)
        out[:, :, node], lse[:, :, node] = _flash(
            query[:, :, node], key[:, :, node], value[:, :, node], scale, causal=True
        )
    for block in forest.buckets:
        one, one_lse = _flash(block.rows(query), block.rows(key), block.rows(value), scale, causal=True)
        block.write(out, one)
        block.write(lse.unsqueeze(-1), one_lse.unsqueeze(-1))
    return out, lse


def _inside_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, forest: Plan, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The nodes' own share of the gradients; every token is inside exactly one node, so nothing stays unwritten."""
    exact = torch.promote_types(query.dtype, torch.float32)
    dq, dk, dv = (torch.empty_like(tensor, dtype=exact) for tensor in (query, key, value))
    for a, b in forest.single:
        at = (slice(None), slice(None), slice(a, b))
        dq[at], dk[at], dv[at] = _flash_backward(
            grad[at], query[at], key[at], value[at], out[at], lse[at], scale, causal=True
        )
    for block in forest.buckets:
        grads = _flash_backward(
            block.rows(grad).masked_fill(~block.real[:, None, :, None], 0),
            block.rows(query),
            block.rows(key),
            block.rows(value),
            block.rows(out),
            block.rows(lse.unsqueeze(-1)).squeeze(-1),
            scale,
            causal=True,
        )
        for whole, part in zip((dq, dk, dv), grads, strict=True):
            block.write(whole, part)
    return dq, dk, dv


def _flash(query: Tensor, key: Tensor, value: Tensor, scale: float, *, causal: bool) -> tuple[Tensor, Tensor]:
    """One part's output and log-sum-exp: (b, heads, q, width), (b, heads, q)."""
    if query.is_cuda:
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, scale=scale)
    else:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, lse = kernel(query, key, value, 0.0, causal, scale=scale)
    return out, lse


def _flash_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
    *,
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """One part's gradients, given the *merged* output and log-sum-exp of its queries."""
    if query.is_cuda:
        seed = torch.zeros(2, dtype=torch.uint64, device=query.device)
        dq, dk, dv = torch.ops.aten._scaled_dot_product_flash_attention_backward(
            *(grad, query, key, value, out, lse.contiguous(), None, None, query.shape[2], key.shape[2]),
            *(0.0, causal, seed, seed[0]),
            scale=scale,
        )
    else:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        tensors = [grad, query, key, value, out]
        if query.dtype == torch.bfloat16 and key.shape[2] <= FLOAT32_KEYS:
            tensors = [tensor.float() for tensor in tensors]
        dq, dk, dv = kernel(*tensors, lse.contiguous(), 0.0, causal, scale=scale)
    return dq, dk, dv


def flash_can(network_dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the cascade has a kernel: always on the CPU; on CUDA in half precision."""
    return device.type == "cpu" or network_dtype in (torch.bfloat16, torch.float16)


def register() -> None:
    """Makes forest attention known to transformers; no mask is built for it, since the plan carries one."""
    AttentionInterface.register(NAME, forest_attention)
    AttentionMaskInterface.register(NAME, _no_mask)


def _no_mask(*_: object, **__: object) -> None:
    return None
