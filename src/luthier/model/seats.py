"""Rows that go on token by token, each with keys and values of its own side by side: nothing is gathered at a step.

What all rows see is one rectangle; what is a row's own stands in its seat, and grows there. The two are merged by
log-sum-exp. A row that has ended gives its seat to one that waits, or else to the last. The slow twins gather at every
step (`decoding.py`) or mask (`attention.py`), which also serve rows that branch, windows, soft-capping and CUDA.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from luthier.model.apart import by_head
from luthier.model.cache import Cache
from luthier.model.flash import flash

GROWTH = 16
"""Tokens by which all seats grow when one is full: a seat's keys are read whole, so they should not stand empty."""


class Seats:
    """Where a few of many prompts go on; a prompt sits down with what the cache of its prefill holds of it."""

    def __init__(self, cache: Cache, shared: Tensor, count: int, room: int) -> None:
        """count: how many seats; shared (c,): places in a cache of what every prompt begins with.

        room: tokens that each may hold. Memory for all is taken now: seats that grow leave holes in the heap, which
        held as much again.
        """
        self.cache = Cache(0)
        self.cache.root = cache.root
        device = shared.device
        self.length = torch.zeros(count, dtype=torch.int64, device=device)
        """(count,) tokens in each seat."""
        self._hidden = torch.empty(0)
        self._shared = {n: tuple(by_head(held[shared]) for held in cache.layer(n)) for n in cache.layers}
        tokens = count * -(-room // GROWTH) * GROWTH
        self._room = {n: _room(*cache.layer(n), tokens) for n in cache.layers}
        self._own = {n: [_seats(one, count, 0) for one in some] for n, some in self._room.items()}

    def sit(self, seats: Sequence[int], cache: Cache, own: Tensor, lengths: Tensor) -> None:
        """Prompts take these seats, whoever sat there: own (q, l) their places in a cache, of which (q,) are real."""
        at = torch.tensor(seats, dtype=torch.int64, device=self.length.device)
        own = own[:, : int(lengths.max())]
        self._grow(own.shape[1])
        for layer, held in self._own.items():
            for seat, cached in zip(held, cache.layer(layer), strict=True):
                seat[at, :, : own.shape[1]] = cached[own].transpose(1, 2).to(seat.dtype)
        self.length[at] = lengths

    def move(self, seats: Sequence[int], to: Sequence[int]) -> None:
        """Rows change their seats."""
        old, new = (torch.tensor(some, dtype=torch.int64, device=self.length.device) for some in (seats, to))
        for held in self._own.values():
            for own in held:
                own[new] = own[old]
        self.length[new] = self.length[old]

    def open(self, rows: int) -> None:
        """The first seats are about to take one token more."""
        self._grow(int(self.length[:rows].max()) + 1)
        width = next(iter(self._own.values()))[0].shape[2]
        beyond = torch.arange(width, device=self.length.device) > self.length[:rows, None]
        self._hidden = torch.zeros(rows, 1, 1, width, device=self.length.device)
        self._hidden.masked_fill_(beyond[:, None, None], float("-inf"))

    def close(self, rows: int) -> None:
        """They have taken it."""
        self.length[:rows] += 1

    def attend(
        self, layer: int, query: Tensor, key: Tensor, value: Tensor, before: tuple[Tensor, Tensor] | None, scale: float
    ) -> Tensor:
        """Attention of the first seats' new tokens: query (1, heads, rows, width), key and value a head a group.

        before: what every row sees besides, (1, groups, p, width) each.
        """
        rows, groups = query.shape[2], key.shape[1]
        every = torch.arange(rows, device=query.device)
        for own, new in zip(self._own[layer], (key, value), strict=True):
            own[every, :, self.length[:rows]] = new[0].transpose(0, 1).to(own.dtype)
        keys, values = (own[:rows] for own in self._own[layer])
        with torch.autocast(query.device.type, enabled=False):  # which would round what is kept exact
            out, lse = self._inside(query[0].transpose(0, 1).unflatten(1, (groups, -1)), keys, values, scale)
        shared = self._shared[layer]
        if before is not None:
            shared = tuple(torch.cat(pair, dim=2) for pair in zip(before, shared, strict=True))
        if not shared[0].shape[2]:
            return out.to(query.dtype)
        folded = query.reshape(1, groups, -1, query.shape[3])
        more, more_lse = flash(folded, shared[0], shared[1], scale, causal=False)
        weight = torch.sigmoid(more_lse.reshape(lse.shape) - lse)[..., None]
        return torch.lerp(out.to(weight.dtype), more.reshape(out.shape).to(weight.dtype), weight).to(query.dtype)

    def _inside(self, query: Tensor, keys: Tensor, values: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Of each row's own: query (rows, groups, folds, width) -> (1, heads, rows, width), (1, heads, rows)."""
        scaled = query.flatten(0, 1).to(keys.dtype) * scale
        scores = torch.bmm(scaled, keys.flatten(0, 1).transpose(1, 2)).view(*query.shape[:3], -1).add_(self._hidden)
        most = scores.amax(dim=-1, keepdim=True)
        weights = scores.sub_(most).exp_()
        total = weights.sum(dim=-1, keepdim=True)
        out = torch.bmm(weights.to(values.dtype).flatten(0, 1), values.flatten(0, 1)).view(*query.shape[:3], -1)
        out = (out / total).flatten(1, 2)
        return out.transpose(0, 1)[None], most.add_(total.log_()).flatten(1).T[None]

    def _grow(self, needed: int) -> None:
        """Seats become wider where they stand, a layer at a time."""
        count, _, held, _ = next(iter(self._own.values()))[0].shape
        width = -(-needed // GROWTH) * GROWTH
        if needed <= held:
            return
        for layer, room in self._room.items():
            for at, one in enumerate(room):
                before = self._own[layer][at].clone()
                wider = self._own[layer][at] = _seats(one, count, width)
                wider[:, :, :held] = before
                wider[:, :, held:] = 0


def _room(keys: Tensor, values: Tensor, tokens: int) -> list[Tensor]:
    """Memory of one layer: scores are sums that must not be rounded, so keys are held in float32 or better."""
    exact = torch.promote_types(keys.dtype, torch.float32)
    return [keys.new_empty(tokens, *keys.shape[1:], dtype=exact), values.new_empty(tokens, *values.shape[1:])]


def _seats(room: Tensor, count: int, width: int) -> Tensor:
    """The first of the memory as seats side by side: (count, groups, width, head width)."""
    return room[: count * width].view(count, room.shape[1], width, room.shape[2])
