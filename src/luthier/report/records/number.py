"""Numbers with their intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import AfterValidator


def finite_or_none(value: float | None) -> float | None:
    """A number that is not finite is no number."""
    return value if value is not None and math.isfinite(value) else None


Known = Annotated[float | None, AfterValidator(finite_or_none)]
"""A measured number, None where there is none; JSON's NaN and Infinity become None as the file is read."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value with its 95 % interval; None where it could not be measured."""

    value: Known = None
    low: Known = None
    high: Known = None
    p: Known = None
    """Two-sided p-value, of differences only."""
    p_family: Known = None
    """The same, raised for all that was claimed with it (Holm)."""
    seen: bool | None = None
    """Whether a difference was seen: its interval excludes 0 and p_family agrees. None where nobody said."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of the base model and of the tuned one, on the same rows."""

    base: Interval = field(default_factory=Interval)
    tuned: Interval = field(default_factory=Interval)
    difference: Interval = field(default_factory=Interval)
    """Tuned minus base, paired by row."""
