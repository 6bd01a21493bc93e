"""Nothing left of the text: a model that is as sure without it does not read it."""

from __future__ import annotations

from random import Random


def emptied(text: str, rng: Random) -> str | None:
    """No text at all."""
    return "" if text.strip() else None
