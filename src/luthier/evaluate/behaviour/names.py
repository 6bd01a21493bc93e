"""Another first name, from many parts of the world; none that is a word too (Mark, Grace, Will)."""

from __future__ import annotations

import re
from random import Random
from typing import Final

_NAMES: Final = (
    "Aaliyah", "Ahmed", "Aisha", "Alejandro", "Amara", "Anna", "Arjun", "Beatriz", "Carlos", "Chiara", "Daniel",
    "David", "Deepika", "Dmitri", "Elena", "Emily", "Emma", "Fatima", "Gabriel", "Giulia", "Hannah", "Hassan",
    "Hiroshi", "Ibrahim", "Ingrid", "Isabella", "Jamal", "James", "Javier", "Jessica", "John", "Julia", "Kenji",
    "Kwame", "Laura", "Lars", "Leila", "Linda", "Liam", "Lucas", "Maria", "Mateo", "Mei", "Michael", "Mohammed",
    "Nadia", "Natasha", "Ngozi", "Noah", "Olga", "Oliver", "Olivia", "Omar", "Peter", "Priya", "Rahul", "Robert",
    "Samuel", "Sarah", "Sofia", "Sophie", "Svetlana", "Thomas", "Wei", "William", "Yuki", "Yusuf", "Zainab",
)  # fmt: skip
_PATTERN: Final = re.compile(rf"(?<![\w'’-])(?:{'|'.join(_NAMES)})(?!\w)")


def other_name(text: str, rng: Random) -> str | None:
    """Every first name of the list becomes another one, the same wherever it stands."""
    found = list(dict.fromkeys(_PATTERN.findall(text)))
    if not found:
        return None
    others = rng.sample([name for name in _NAMES if name not in found], len(found)) if len(found) < 20 else []
    renamed = dict(zip(found, others, strict=False))
    changed = _PATTERN.sub(lambda match: renamed.get(match[0], match[0]), text)
    return changed if changed != text else None
