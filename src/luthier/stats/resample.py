"""Groups drawn with replacement, and base swapped with tuned, a block at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from luthier.stats.sample import Floats

_CELLS = 2**21
"""Resampling weights held at a time: 16 MiB in float64."""


def resample(sums: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Totals (draws, k) of as many lines of `sums` (c, k) as there are, drawn with replacement."""
    return np.concatenate([weights @ sums for weights in weighings(len(sums), draws, rng)])


def weighings(count: int, draws: int, rng: np.random.Generator) -> Iterator[Floats]:
    """(b, count) at a time: how often each of `count` lines stands in each of `draws` resamples."""
    step = max(1, _CELLS // count)
    for start in range(0, draws, step):
        size = min(step, draws - start)
        drawn = rng.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def swaps(count: int, draws: int, rng: np.random.Generator) -> Iterator[NDArray[np.bool_]]:
    """(b, count) at a time: every way to swap `count` lines, or `draws` random ones where there are more."""
    if 2**count <= draws:
        yield (np.arange(2**count)[:, None] >> np.arange(count) & 1).astype(np.bool_)
        return
    step = max(1, _CELLS // count)
    for start in range(0, draws, step):
        yield rng.random((min(step, draws - start), count)) < 0.5
