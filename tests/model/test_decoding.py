"""Rows that go on by one token attend to what they see: the same as under a boolean mask over all keys."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from luthier.model.apart import apart, by_head
from luthier.model.attention import _masked
from luthier.model.decoding import decoded

HEADS, GROUPS, WIDTH, HELD = 6, 2, 8, 40


def seen(draw: torch.Generator, rows: int, keys: int, common: int) -> Tensor:
    """(q, k): the first keys are seen by all, each row's own last key by itself, the others by chance."""
    found = torch.rand(rows, keys, generator=draw) < 0.3
    found[:, :common] = True
    found[:, keys - rows :] = torch.eye(rows, dtype=torch.bool)
    return found


@pytest.mark.parametrize("prefixed", [False, True])
@pytest.mark.parametrize(("rows", "common"), [(1, 5), (5, 0), (5, 7), (9, 20)])
def test_rows_attend_as_under_a_mask(rows: int, common: int, prefixed: bool) -> None:
    draw = torch.Generator().manual_seed(rows + common)
    key, value = (torch.randn(HELD, GROUPS, WIDTH, generator=draw, dtype=torch.float64) for _ in range(2))
    query = torch.randn(1, HEADS, rows, WIDTH, generator=draw, dtype=torch.float64)
    places = torch.randperm(HELD, generator=draw)[:32].sort().values
    allowed = seen(draw, rows, len(places), common)
    pair = [torch.randn(1, GROUPS, 3, WIDTH, generator=draw, dtype=torch.float64) for _ in range(2)]
    before = (pair[0], pair[1]) if prefixed else None
    found = apart(allowed, places, torch.float64)
    keys, values = by_head(key[places]), by_head(value[places])
    if before is not None:
        keys, values = torch.cat((before[0], keys), 2), torch.cat((before[1], values), 2)
        allowed = torch.cat((torch.ones(rows, 3, dtype=torch.bool), allowed), 1)
    wanted = _masked(query, keys, values, allowed, 0.3, None, None)
    torch.testing.assert_close(decoded(query, key, value, found, before, 0.3), wanted, rtol=0, atol=1e-12)
    if found.hidden is not None:
        control = decoded(query, key, value, replace(found, hidden=None), before, 0.3)
        assert (control - wanted).abs().max() > 1e-3, "what fills a row up must not be seen"


def test_what_all_see_is_held_once() -> None:
    draw = torch.Generator().manual_seed(0)
    found = apart(seen(draw, 4, 30, 12), torch.arange(30) + 5, torch.float32)
    assert found.common.tolist()[:12] == list(range(5, 17))
    assert not set(found.common.tolist()) & set(found.own[0].tolist()) - {0}
