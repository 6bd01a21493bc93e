"""How often an interval holds the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from stats_rows import World

from luthier.stats import Interval, interval, percentile, reach, resample, wilson

RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Coverage:
    """One kind of rows, simulated."""

    title: str
    n: int
    """Simulations."""
    held: Interval
    """Share of the intervals that held the truth."""
    below: float
    """Share that lay wholly below it."""
    above: float
    percentile: float | None
    """Share of widened percentile intervals that held it, for comparison; None where Wilson's is used."""


def coverage(world: World, n: int, *, seed: int) -> Coverage:
    """Simulates; the percentile interval on every fifth."""
    rng = np.random.default_rng(seed)
    truth, found, other = world.truth, [], []
    for at in range(n):
        sample = world.draw(rng)
        one = interval(sample, resamples=RESAMPLES, rng=rng)
        found.append((one.high < truth, one.low > truth))
        if at % 5 == 0 and not sample.is_proportion:
            sums = sample.sums()
            low, high = percentile(sample.score(resample(sums, RESAMPLES, rng)), reach(len(sums)))
            other.append(low <= truth <= high)
    below, above = np.array(found).mean(axis=0)
    held = wilson(int(n - np.array(found).sum()), n)
    return Coverage(world.title, n, held, float(below), float(above), float(np.mean(other)) if other else None)
