"""What rows that go on see in a cache, divided: what all of them see, and what is each one's own."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Apart:
    """Where the keys of some rows stand in a cache."""

    common: Tensor
    """(c,) what all rows see."""
    own: Tensor
    """(q, l) what each row sees besides; a row with fewer repeats the first place of the cache."""
    hidden: Tensor | None
    """(q, 1, 1, l) minus infinity at what only fills a row up; None where nothing does."""


def by_head(tokens: Tensor) -> Tensor:
    """Keys or values as attention takes them: (k, groups, width) -> (1, groups, k, width)."""
    return tokens.transpose(0, 1)[None]


def apart(seen: Tensor, places: Tensor, dtype: torch.dtype) -> Apart:
    """Divides what rows see: seen (q, k) of the keys that stand at these places (k,) of the cache."""
    everyone = seen.all(dim=0)
    rest, at = seen[:, ~everyone], places[~everyone]
    count = rest.sum(dim=1)
    own = places.new_zeros(len(seen), int(count.max()) if len(at) else 0)
    row, column = rest.nonzero().unbind(1)
    own[row, (rest.cumsum(dim=1) - 1)[row, column]] = at[column]
    short = torch.arange(own.shape[1], device=seen.device) >= count[:, None]
    hidden = torch.zeros(own.shape, dtype=dtype, device=seen.device).masked_fill_(short, float("-inf"))
    return Apart(places[everyone], own, hidden[:, None, None] if short.any() else None)
