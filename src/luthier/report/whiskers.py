"""The verdict as a picture: base and tuned on one scale, and below them the paired difference.

The difference shares the scale, its zero standing under the base value, so that the three points read as one sum:

    base         ──●──
    no model                 ─▲─
    tuned                       ─●─
    difference    0 ┆          ──●──
"""

from __future__ import annotations

from dataclasses import dataclass

from luthier.report.axis import Scale, Tick, bounds, ticks
from luthier.report.records import Comparison, Interval, finite_or_none

WIDTH = 480
LEFT, RIGHT = 14, WIDTH - 14


@dataclass(frozen=True, slots=True)
class Whisker:
    """A point with its interval, in pixels along the plot."""

    point: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class IntervalPlot:
    """Geometry of the plot, in pixels of a box `width` wide."""

    width: int
    base: Whisker
    tuned: Whisker
    difference: Whisker
    bar: Whisker | None
    """The best method without a language model."""
    values: tuple[Tick, ...]
    """Ticks of the metric itself."""
    changes: tuple[Tick, ...]
    """Ticks of the difference."""
    zero: float
    """Where no difference stands: under the base value."""


def interval_plot(comparison: Comparison, *, bar: Interval | None = None) -> IntervalPlot | None:
    """The plot of one metric, with a simple method's value beside, or None where a value is unknown."""
    base, tuned, difference = (
        _known(interval) for interval in (comparison.base, comparison.tuned, comparison.difference)
    )
    if base is None or tuned is None or difference is None:
        return None
    shifted = tuple(value + base[0] for value in difference)
    simple = None if bar is None else _known(bar)
    scale = Scale(*bounds((*base, *tuned, *shifted, *(simple or ()))), LEFT, RIGHT)
    return IntervalPlot(
        width=WIDTH,
        base=_whisker(scale, *base),
        tuned=_whisker(scale, *tuned),
        difference=_whisker(scale, *shifted),
        bar=None if simple is None else _whisker(scale, *simple),
        values=ticks(scale),
        changes=ticks(scale, origin=base[0], signed=True),
        zero=scale(base[0]),
    )


def _known(interval: Interval) -> tuple[float, float, float] | None:
    """Value, low and high; an interval without ends is drawn as a point."""
    value = finite_or_none(interval.value)
    if value is None:
        return None
    low, high = finite_or_none(interval.low), finite_or_none(interval.high)
    return value, value if low is None else low, value if high is None else high


def _whisker(scale: Scale, value: float, low: float, high: float) -> Whisker:
    return Whisker(scale(value), scale(low), scale(high))
