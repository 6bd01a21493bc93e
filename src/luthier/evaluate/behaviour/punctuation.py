"""Punctuation left out, or put on thick; what stands inside a number, a word or an address stays."""

from __future__ import annotations

import re
from random import Random
from typing import Final

_MARKS: Final = re.compile(r"[.,;:!?…\"“”]+(?=\s|$|[.,;:!?…\"“”)])|(?<=\s)[\"“”]+|^[\"“”]+")
_END: Final = re.compile(r"[.!?…\s]*$")
_LOUD: Final = ("!!!", "....", " !", "!!")
_ASKING: Final = ("???", "?!", " ?", "??")


def without_punctuation(text: str, rng: Random) -> str | None:
    """No mark at the end of a word, and no quotation marks."""
    changed = _MARKS.sub("", text)
    return changed if changed != text and changed.strip() else None


def more_punctuation(text: str, rng: Random) -> str | None:
    """Marks at the end that nobody needs; a question stays one."""
    bare = _END.sub("", text)
    return bare + rng.choice(_ASKING if "?" in text[len(bare) :] else _LOUD) if bare else None
