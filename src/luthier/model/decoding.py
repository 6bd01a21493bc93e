"""One decoding step's attention without a mask of all rows over all keys.

What every row sees is one unmasked rectangle; what is a row's own (the rest of its prompt, and what it has said) is
gathered beside the other rows' as a padded batch. The two are merged by log-sum-exp. The slow twin is the boolean mask
in `attention.py`, which also serves windows, soft-capping, sinks and CUDA: there every row meets every key of every
other row, and that soon costs more than the network's own products.
"""

from __future__ import annotations

import torch
from torch import Tensor

from luthier.model.apart import Apart, by_head
from luthier.model.flash import flash, merge, repeated


def decoded(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    found: Apart,
    before: tuple[Tensor, Tensor] | None,
    scale: float,
) -> Tensor:
    """Attention of rows that go on by one token: query (1, heads, q, width) -> (1, heads, q, width).

    key, value (k, groups, width): all that the cache holds, the rows' own tokens included. before: what every row sees
    besides, (1, groups, p, width) each.
    """
    heads, groups = query.shape[1], key.shape[1]
    shared = by_head(key[found.common]), by_head(value[found.common])
    if before is not None:
        shared = torch.cat((before[0], shared[0]), dim=2), torch.cat((before[1], shared[1]), dim=2)
    parts = []
    if shared[0].shape[2]:
        keys, values = (repeated(one, heads) for one in shared)
        parts.append(flash(query, keys, values, scale, causal=False))
    if found.own.shape[1]:
        rows = query[0].transpose(0, 1).unflatten(1, (groups, -1))  # (q, groups, heads a group, width)
        keys, values = (_gathered(one, found.own) for one in (key, value))
        out, lse = flash(rows, keys, values, scale, causal=False, hidden=found.hidden)
        parts.append((out.flatten(1, 2).transpose(0, 1)[None], lse.flatten(1, 2).transpose(0, 1)[None]))
    (out, lse), *more = ((out.to(torch.promote_types(out.dtype, torch.float32)), lse) for out, lse in parts)
    for other in more:
        merge(out, lse, *other)
    return out.to(query.dtype)


def _gathered(held: Tensor, own: Tensor) -> Tensor:
    """Each row's lines of what a cache holds: (k, groups, width) by own (q, l) -> (q, groups, l, width)."""
    return held.index_select(0, own.flatten()).view(*own.shape, *held.shape[1:]).transpose(1, 2)
