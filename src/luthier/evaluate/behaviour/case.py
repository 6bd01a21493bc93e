"""Letters all small, or all capital."""

from __future__ import annotations

from random import Random


def lower_case(text: str, rng: Random) -> str | None:
    """All small, as typed in a hurry."""
    return _other(text, text.lower())


def upper_case(text: str, rng: Random) -> str | None:
    """All capital, as typed in anger."""
    return _other(text, text.upper())


def _other(text: str, changed: str) -> str | None:
    return changed if changed != text else None
