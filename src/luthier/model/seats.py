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

class Seats:
    """Where a few of many prompts go on; a prompt sits down with what the cache of its prefill holds of it."""

    def __init__(self, cache: Cache, shared: Tensor, count: int, room: int) -> None:
        """count: how many seats, of `room` tokens each; shared (c,): places in a cache of what every prompt begins with.

        All of the room is taken now: seats that grow leave holes in the heap, which held as much again.
        """
        self.cache = Cache(0)
        self.cache.root = cache.root
        device = shared.device
        self.length = torch.zeros(count, dtype=torch.int64, device=device)
        """(count,) tokens in each seat."""
        self._hidden = torch.empty(0)
        self._longest = 0
        self._shared = {n: tuple(by_head(held[shared]) for held in cache.layer(n)) for n in cache.layers}
        self._own = {n: _empty(*cache.layer(n), count, room) for n in cache.layers}

    def sit(self, seats: Sequence[int], cache: Cache, own: Tensor, lengths: Tensor) -> None:
        """Prompts take these seats, whoever sat there: own (q, l) their places in a cache, of which (q,) are real."""
        at = torch.tensor(seats, dtype=torch.int64, device=self.length.device)
        own = own[:, : int(lengths.max())]
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
        self._longest = int(self.length[:rows].max()) + 1
        beyond = torch.arange(self._longest, device=self.length.device) > self.length[:rows, None]
        self._hidden = torch.zeros(rows, 1, 1, self._longest, device=self.length.device)
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
        keys, values = (own[:rows, :, : self._longest] for own in self._own[layer])
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
        lse = scores.logsumexp(dim=-1, keepdim=True)
        weights = scores.sub_(lse).exp_().to(values.dtype)
        out = torch.bmm(weights.flatten(0, 1), values.flatten(0, 1)).view(len(query), -1, values.shape[-1])
        return out.transpose(0, 1)[None], lse.flatten(1).T[None]


def _empty(keys: Tensor, values: Tensor, count: int, room: int) -> list[Tensor]:
    """Seats of one layer: scores are sums that must not be rounded, so keys are held in float32 or better."""
    exact = torch.promote_types(keys.dtype, torch.float32)
    return [
        keys.new_zeros(count, keys.shape[1], room, keys.shape[2], dtype=exact),
        values.new_zeros(count, values.shape[1], room, values.shape[2]),
    ]
