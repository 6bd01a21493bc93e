"""One English word for another that means the same wherever it stands.

A small list of our own. Words whose sense turns with their place (`purchase` is a deed and a thing) are not in it.
"""

from __future__ import annotations

import re
from random import Random
from typing import Final

_BOTH: Final = (
    ("bought", "purchased"), ("buying", "purchasing"), ("maybe", "perhaps"), ("almost", "nearly"),
    ("big", "large"), ("huge", "enormous"), ("often", "frequently"), ("someone", "somebody"),
    ("anyone", "anybody"), ("everyone", "everybody"), ("quickly", "rapidly"), ("kids", "children"),
    ("right now", "at the moment"), ("i want to", "i would like to"), ("tried to", "attempted to"),
    ("trying to", "attempting to"), ("wrongly", "incorrectly"),
)  # fmt: skip
_ONE_WAY: Final = {
    "incorrect": "wrong", "assistance": "help", "require": "need", "requires": "needs", "obtain": "get",
    "whilst": "while", "regarding": "about", "telephone": "phone", "parcel": "package", "currently": "at the moment",
    "immediately": "right away", "although": "though", "until": "till", "sufficient": "enough", "i'd like to":
    "i want to", "how do i": "how can i", "how can i": "how do i", "is it possible to": "can i", "okay": "ok",
}  # fmt: skip
_MEANS: Final = {**dict(_BOTH), **{other: one for one, other in _BOTH}, **_ONE_WAY}
_PATTERN: Final = re.compile(
    r"(?<![\w'’-])(?:" + "|".join(sorted(map(re.escape, _MEANS), key=len, reverse=True)) + r")(?![\w'’-])",
    re.IGNORECASE,
)


def synonym(text: str, rng: Random) -> str | None:
    """Every word of the list becomes its fellow."""
    changed = _PATTERN.sub(lambda found: _as(found[0], _MEANS[found[0].lower()]), text)
    return changed if changed != text else None


def _as(found: str, word: str) -> str:
    if found.isupper() and len(found) > 1:
        return word.upper()
    word = re.sub(r"\bi\b", "I", word)
    return word[0].upper() + word[1:] if found[0].isupper() else word
