"""From text to the words that metrics compare, in any script.

In plain ASCII the words are exactly those of the ROUGE reference: lower case, runs of `[a-z0-9]`. Beyond ASCII, where
the reference drops every letter, a word is a run of letters, marks and numbers of any script, after composing (NFC).
In scripts written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) each character is a word. No stemming, no stop
words.
"""

from __future__ import annotations

import re
import unicodedata

_ASCII_WORD = re.compile("[a-z0-9]+")
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9d\U00020000-\U0003ffff][\u0300-\u036f\u3099\u309a]*)"
)


def words(text: str) -> list[str]:
    """The words of a text, lower-cased, in order; punctuation and symbols are dropped."""
    lowered = text.lower()
    if lowered.isascii():
        return _ASCII_WORD.findall(lowered)
    composed = unicodedata.normalize("NFC", lowered)
    kept = "".join(char if unicodedata.category(char)[0] in "LMN" else " " for char in composed)
    return spaced(kept).split()


def spaced(text: str) -> str:
    """The text with a space on both sides of each character of a script written without spaces."""
    return text if text.isascii() else _UNSPACED.sub(r" \1 ", text)


def written_without_spaces(text: str) -> bool:
    """Whether most of its characters are of scripts that do not separate words."""
    return 2 * len(_UNSPACED.findall(text)) > len("".join(text.split()))
