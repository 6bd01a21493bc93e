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
    own, count = listed(seen[:, ~everyone], places[~everyone])
    short = torch.arange(own.shape[1], device=seen.device) >= count[:, None]
    hidden = torch.zeros(own.shape, dtype=dtype, device=seen.device).masked_fill_(short, float("-inf"))
    return Apart(places[everyone], own, hidden[:, None, None] if short.any() else None)


def listed(seen: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """What each row sees (q, k) of the places (k,), side by side: (q, l), filled up with the first place, and (q,) how
    many it sees."""
    count = seen.sum(dim=1)
    own = places.new_zeros(len(seen), int(count.max()) if len(places) else 0)
    row, column = seen.nonzero().unbind(1)
    own[row, (seen.cumsum(dim=1) - 1)[row, column]] = places[column]
    return own, count
