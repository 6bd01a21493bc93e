"""How one batch's attention is cut into parts: what travels to every layer as the keyword `forest`.

In depth-first order the descendants of a node are one contiguous range, so the forest splits into ordinary parts: a
causal call inside all nodes, and for each inner node one unmasked rectangle, its descendants x its own tokens. While a
model generates, each query instead sees a chosen set of cached keys. What is learned to stand before every path is the
root of the forest: keys and values that all queries see (`Prefix`), or tokens of their own that all others descend from
(`beneath`). Not here: computing any of it (`cascade.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import torch
from torch import Tensor

from luthier.batch import Batch
from luthier.errors import ModelError
from luthier.model.apart import Apart, apart, by_head
from luthier.model.cache import Cache
from luthier.model.seats import Seats

BUCKET = 16
"""Node lengths are rounded up to a multiple of this, so that short nodes share one batched call."""


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


@dataclass(frozen=True, slots=True, eq=False)
class Prefix:
    """Keys and values that stand before every path, as those of so many earlier tokens would."""

    length: int
    """p: how many they are; the tokens of every path stand p positions further on."""
    layers: Mapping[int, tuple[Tensor, Tensor]]
    """Number of a layer -> its keys and values, (1, kv heads, p, width) each."""

    def of(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """One layer's, in the dtype of its own keys and values (1, kv heads, n, width).

        Raises ModelError for a layer that has none, or where its own have other heads or widths.
        """
        keys, values = self.layers.get(layer, (None, None))
        if keys is None or values is None:
            raise ModelError(
                f"layer {layer} is not one of the {len(self.layers)} that have keys and values of the prefix"
            )
        if any(one.shape[1::2] != own.shape[1::2] for one, own in ((keys, key), (values, value))):
            raise ModelError(
                f"layer {layer} keeps its keys and values in another shape than it attends to, so that a prefix of "
                "them cannot stand in the forest; set model.shared=false"
            )
        return keys.to(value.dtype), values.to(value.dtype)

    def seen(self, depth: Tensor, window: int | None) -> Tensor:
        """(q, p) whether queries at these depths (q,) see each of them: all do, but for a window that ends before."""
        back = depth[:, None] + torch.arange(self.length, 0, -1, device=depth.device)
        return back < window if window is not None else torch.ones_like(back, dtype=torch.bool)


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
    taken: Tensor
    """(k,) which cached keys these are: the queries' own, and those that any of them sees."""
    prefix: Prefix | None = None
    """What every query sees besides."""
    consumed: set[int] = field(default_factory=set)
    divided: Apart | None = None
    """What all queries see and what each sees besides, once a layer has asked for it."""
    seats: Seats | None = None
    """Where the queries sit, who then see what is there; nothing is said of keys in the cache."""

    @classmethod
    def seated(cls, seats: Seats, depth: Tensor) -> Step:
        """The step of the first seats, whose new tokens are at these depths (q,)."""
        nothing = depth.new_empty(0)
        seen = torch.empty(len(depth), 0, dtype=torch.bool, device=depth.device)
        return cls(seen, depth, nothing, int(depth.max()) + 1, seats.cache, nothing, seats=seats)

    def apart(self, dtype: torch.dtype) -> Apart:
        """What `divided` holds, made on the first call."""
        if self.divided is None:
            self.divided = apart(self.seen, self.taken, dtype)
        return self.divided

    def keys(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Caches the queries' own keys and values, and takes what they see: (1, kv heads, k, width) each."""
        keys, values = self.cache.extend(layer, key, value)
        return by_head(keys[self.taken]), by_head(values[self.taken])

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
    prefix: Prefix | None = None
    """What every query sees besides."""
    learned: int = 0
    """How many of the first tokens are no batch's: a cache keeps them apart from the paths."""
    consumed: set[int] = field(default_factory=set)
    """Which attention modules have taken the plan: the engine compares it with the layers it knows."""

    def keys(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """The layer's own keys and values, cached where decoding goes on from here."""
        if self.cache is None:
            return key, value
        if self.learned:
            self.cache.root[layer] = key[:, :, : self.learned].clone(), value[:, :, : self.learned].clone()
        self.cache.extend(layer, key[:, :, self.learned :], value[:, :, self.learned :])
        return key, value

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


def behind(forest: Plan | Step, prefix: Prefix) -> Plan | Step:
    """The same plan or step with keys and values before every path."""
    return replace(forest, prefix=prefix, longest=forest.longest + prefix.length)


def beneath(forest: Plan, count: int) -> Plan:
    """The same forest under one more node: `count` learned tokens that all others descend from."""
    first = torch.arange(count, device=forest.index.device)
    inner = (Rectangle(a.start + count, a.stop + count, a.end + count) for a in forest.rectangles)
    return replace(
        forest,
        query_depth=torch.cat((first, forest.query_depth + count)),
        key_depth=torch.cat((first, forest.key_depth + count)),
        end=torch.cat((torch.full_like(first, len(forest.end) + count), forest.end + count)),
        index=torch.cat((first, forest.index + count)),
        longest=forest.longest + count,
        rectangles=(Rectangle(0, count, len(forest.end) + count), *inner),
        single=((0, count), *((a + count, b + count) for a, b in forest.single)),
        buckets=tuple(Bucket(block.index + count, block.real) for block in forest.buckets),
        learned=count,
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
