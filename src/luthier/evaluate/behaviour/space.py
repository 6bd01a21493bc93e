"""White space as copying leaves it: doubled, at both ends, and a line broken in the middle."""

from __future__ import annotations

import re
from random import Random
from typing import Final

_SPACE: Final = re.compile(r"(?<=\S) (?=\S)")


def wide_space(text: str, rng: Random) -> str | None:
    """Some spaces doubled, and space around the whole."""
    if not text.strip():
        return None
    wide = _SPACE.sub(lambda _: "  " if rng.random() < 0.3 else " ", text)
    return f"  {wide} \n"


def broken_line(text: str, rng: Random) -> str | None:
    """One space becomes a line break."""
    places = [found.start() for found in _SPACE.finditer(text)]
    if not places:
        return None
    at = rng.choice(places)
    return f"{text[:at]}\n{text[at + 1 :]}"
