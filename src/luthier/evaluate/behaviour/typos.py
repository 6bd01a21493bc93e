"""Slips of the finger: a neighbouring key, two letters swapped, one left out; in about one word of eight.

Numbers, short words and negations stay whole, so that the text still says the same to a reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Final

EVERY: Final = 8
"""Words to one slip."""
SHORTEST: Final = 5
"""Letters of a word from which a slip leaves it readable."""
NEGATIONS: Final = frozenset(
    {"not", "no", "never", "none", "nothing", "nobody", "neither", "without", "cannot", "cant", "dont"}
)
_LETTERS: Final = re.compile(r"(?<![\w'’])[^\W\d_]+(?![\w'’])")
_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_LAST_ALPHABET: Final = "\u0e00"
"""From here on, scripts in which one sign is a syllable or a word."""


def neighbour_key(text: str, rng: Random) -> str | None:
    """A letter becomes one that lies beside it on an English keyboard."""
    return _slip(text, rng, _neighbour)


def swapped_letters(text: str, rng: Random) -> str | None:
    """Two letters inside a word change places."""
    return _slip(text, rng, _swapped)


def dropped_letter(text: str, rng: Random) -> str | None:
    """A letter inside a word is left out."""
    return _slip(text, rng, _dropped)


def _slip(text: str, rng: Random, mistyped: Callable[[str, Random], str | None]) -> str | None:
    """The text with the slip in some of its words; None where no word can have it."""
    words = [found for found in _LETTERS.finditer(text) if _may_slip(found[0])]
    rng.shuffle(words)
    wanted = max(1, len(text.split()) // EVERY)
    slips = [(found, wrong) for found in words if (wrong := mistyped(found[0], rng)) is not None][:wanted]
    for found, wrong in sorted(slips, key=lambda pair: -pair[0].start()):
        text = text[: found.start()] + wrong + text[found.end() :]
    return text if slips else None


def _may_slip(word: str) -> bool:
    return len(word) >= SHORTEST and word.casefold() not in NEGATIONS and max(word) < _LAST_ALPHABET


def _neighbour(word: str, rng: Random) -> str | None:
    places = [at for at in range(1, len(word)) if word[at].lower() in _BESIDE]
    if not places:
        return None
    at = rng.choice(places)
    key = rng.choice(_BESIDE[word[at].lower()])
    return word[:at] + (key.upper() if word[at].isupper() else key) + word[at + 1 :]


def _swapped(word: str, rng: Random) -> str | None:
    places = [at for at in range(1, len(word) - 1) if word[at] != word[at + 1]]
    if not places:
        return None
    at = rng.choice(places)
    return word[:at] + word[at + 1] + word[at] + word[at + 2 :]


def _dropped(word: str, rng: Random) -> str | None:
    at = rng.randrange(1, len(word) - 1)
    return word[:at] + word[at + 1 :]


def _neighbours() -> dict[str, str]:
    """Each key's neighbours in its row, and the two it touches in the row below and above."""
    beside: dict[str, str] = {}
    for height, row in enumerate(_ROWS):
        for at, key in enumerate(row):
            found = row[max(0, at - 1) : at] + row[at + 1 : at + 2]
            if height:
                found += _ROWS[height - 1][at : at + 2]
            if height + 1 < len(_ROWS):
                found += _ROWS[height + 1][max(0, at - 1) : at + 1]
            beside[key] = found
    return beside


_BESIDE: Final = _neighbours()
