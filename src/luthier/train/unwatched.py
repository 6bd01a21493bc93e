"""Curves of a run that had no validation rows: all there is are the losses of its steps, each of other rows.

The steps are cut into stretches, whose means are compared by Welch's test: noisier than looks at the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.stats import LEVEL, Floats

STRETCHES = 10
"""Parts that the steps are cut into."""
FEWEST = 5
"""Steps of a stretch, at least; a run of fewer than twice as many is too short to judge."""


@dataclass(frozen=True, slots=True)
class _Change:
    """From one stretch to a later one."""

    before: float
    after: float
    low: float
    high: float
    steps: int
    unit: str

    def told(self) -> str:
        return (
            f"{self.before:.3g} to {self.after:.3g} {self.unit} ({self.after - self.before:+.2g}, 95 % interval "
            f"{self.low:+.2g} to {self.high:+.2g}, {self.steps:,} steps each)"
        )


def risen(steps: Sequence[float], *, share: float, nats: float, unit: str) -> str | None:
    """The numbers, where the last stretch stands above the lowest by this share and this many nats, beyond noise."""
    parts = _stretches(steps)
    if len(parts) < 2:
        return None
    *earlier, last = parts
    lowest = min(earlier, key=lambda one: float(one.mean()))
    found = _change(lowest, last, chosen_from=len(earlier), unit=unit)
    rise = found.after - found.before
    return found.told() if found.low > 0 and rise > max(share * found.before, nats) else None


def unchanged(steps: Sequence[float], *, share: float, unit: str) -> str | None:
    """The numbers, where the last stretch is not below the first by this share, beyond noise."""
    parts = _stretches(steps)
    if len(parts) < 2:
        return None
    found = _change(parts[0], parts[-1], chosen_from=1, unit=unit)
    fell = found.high < 0 and found.before - found.after >= share * found.before
    return None if fell else found.told()


def _stretches(steps: Sequence[float]) -> list[Floats]:
    count = min(STRETCHES, len(steps) // FEWEST)
    return np.array_split(np.array(steps, dtype=np.float64), count) if count else []


def _change(before: Floats, after: Floats, *, chosen_from: int, unit: str) -> _Change:
    """chosen_from: the stretches that `before` was chosen from, for which the interval is widened."""
    from scipy.stats import ttest_ind

    found = ttest_ind(after, before, equal_var=False).confidence_interval(1 - (1 - LEVEL) / chosen_from)
    low, high = (float(end) if np.isfinite(end) else 0.0 for end in (found.low, found.high))
    return _Change(float(before.mean()), float(after.mean()), low, high, len(after), unit)
