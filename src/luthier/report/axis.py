"""A linear scale from data to pixels, with round ticks."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [low, high] in data to [start, stop] in pixels."""

    low: float
    high: float
    start: float
    stop: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.stop - self.start), 2)


@dataclass(frozen=True, slots=True)
class Frame:
    """A chart's outer size and the box of its axes, in pixels from the upper left."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int

    def x(self, low: float, high: float) -> Scale:
        """What lies between the two, from the left to the right."""
        return Scale(low, high, self.left, self.right)

    def y(self, low: float, high: float) -> Scale:
        """What lies between the two, from the bottom to the top."""
        return Scale(low, high, self.bottom, self.top)


def framed(width: int, height: int, *, left: int, right: int, top: int, bottom: int) -> Frame:
    """The box that is left by margins on each side."""
    return Frame(width, height, left, width - right, top, height - bottom)


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    """Pixels."""
    text: str


def bounds(values: Iterable[float], *, margin: float = 0.06) -> tuple[float, float]:
    """Lowest and highest of the values, widened by a share of their range; never an empty range."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    room = (high - low) * margin or max(abs(high) * margin, 0.05)
    return low - room, high + room


def ticks(scale: Scale, *, wanted: int = 5, origin: float = 0.0, signed: bool = False) -> tuple[Tick, ...]:
    """Round values inside the scale, about `wanted` of them, labelled relative to `origin`."""
    step = _round_step((scale.high - scale.low) / max(wanted, 1))
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    first = math.ceil((scale.low - origin) / step - 1e-9)
    last = math.floor((scale.high - origin) / step + 1e-9)
    return tuple(
        Tick(scale(origin + index * step), _label(index * step, decimals, signed=signed))
        for index in range(first, last + 1)
    )


def _round_step(raw: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(raw))
    return next((factor * power for factor in (1, 2, 5) if factor * power >= raw * 0.999), 10 * power)


def _label(value: float, decimals: int, *, signed: bool) -> str:
    sign = "+" if signed and round(value, decimals) > 0 else ""
    text = f"{sign}{abs(value) if round(value, decimals) == 0 else value:,.{decimals}f}"
    return text.replace("-", "−")
