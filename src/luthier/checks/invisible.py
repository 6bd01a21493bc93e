"""Characters that nobody sees but a tokenizer does, and which of them belong where they stand.

Joiners belong in emoji and in scripts that join; direction marks in text of both directions; zero-width spaces in
scripts that write no spaces; variation selectors after symbols and ideographs; tags in flags. Everywhere else they are
left over from copying, or hide something (bidi overrides: Boucher & Anderson 2021, arXiv:2111.00169; tags: text that a
model reads and people do not).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

_UNSEEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\ufffe\uffff"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_ESCAPE: Final = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_BREAKS: Final = dict.fromkeys(map(ord, "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), "\n")
_RIGHT_TO_LEFT: Final = re.compile(
    "[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc\U00010800-\U00010fff\U0001e800-\U0001efff]"
)
_JOINING: Final = re.compile(
    "[\u0600-\u08ff\u0900-\u109f\u1780-\u18af\u1900-\u1c4f\ua800-\uabff\ufb50-\ufdff\U00011000-\U00011fff]"
)
_SPACELESS: Final = re.compile(
    "[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u1950-\u1aaf\u3040-\u30ff\u4e00-\u9fff\uaa60-\uaadf]"
)
_DIRECTION: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u2066\u2067\u2068\u2069")
_NAMES: Final = {"\x00": "NULL", "\x08": "BACKSPACE", "\x0b": "LINE TABULATION", "\x0c": "FORM FEED", "\x1b": "ESCAPE"}


def unseen(text: str) -> Iterator[int]:
    """Places of invisible characters that do not belong there; an ordinary new line, tab or return is none."""
    if text.isascii() and text.isprintable():
        return
    for found in _UNSEEN.finditer(text):
        if not _belongs(text, found.start()):
            yield found.start()


def without_unseen(text: str) -> str:
    """The text without them: terminal escapes go whole, other line breaks become new lines."""
    if _UNSEEN.search(text) is None:
        return text
    plain = _ESCAPE.sub("", text)
    places = frozenset(unseen(plain))
    kept = "".join(_BREAKS.get(ord(char), "") if at in places else char for at, char in enumerate(plain))
    return kept if kept == text else without_unseen(kept)


def name(char: str) -> str:
    """`U+200B ZERO WIDTH SPACE`."""
    return f"U+{ord(char):04X} {unicodedata.name(char, _NAMES.get(char, 'control character'))}"


def _belongs(text: str, at: int) -> bool:
    char, before, after = text[at], text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if char in _DIRECTION:
        return _RIGHT_TO_LEFT.search(text) is not None
    if char in "\u200c\u200d" and _JOINING.match(before):
        return True
    if char == "\u200d":
        return _is_symbol(_base(text, at)) and _is_symbol(after)
    if char == "\u200b":
        return bool(_SPACELESS.match(before) or _SPACELESS.match(after))
    if "\u180b" <= char <= "\u180f":
        return "\u1800" <= before <= "\u18af"
    if "\ufe00" <= char <= "\ufe0f":
        return _is_symbol(before) or before in set("0123456789#*") or _is_ideograph(before)
    if "\U000e0100" <= char <= "\U000e01ef":
        return _is_ideograph(before)
    return "\U000e0020" <= char <= "\U000e007f" and _in_flag(text, at)


def _base(text: str, at: int) -> str:
    """The character before a place, past skin tones and variation selectors."""
    while at and (text[at - 1] == "\ufe0f" or "\U0001f3fb" <= text[at - 1] <= "\U0001f3ff"):
        at -= 1
    return text[at - 1 : at]


def _in_flag(text: str, at: int) -> bool:
    """Whether a tag stands in a black flag's tags: at most 6 letters or digits, then the end of tags."""
    start = at
    while start and "\U000e0020" <= text[start - 1] <= "\U000e007e":
        start -= 1
    return (
        re.match("[\U000e0030-\U000e007a]{3,6}\U000e007f", text[start:]) is not None and text[start - 1] == "\U0001f3f4"
    )


def _is_symbol(char: str) -> bool:
    return char != "" and (unicodedata.category(char)[0] == "S" or char in "\u203c\u2049\u3030")


def _is_ideograph(char: str) -> bool:
    return char != "" and (
        "\u3400" <= char <= "\u9fff" or "\U00020000" <= char <= "\U000323af" or "\u3000" <= char <= "\u30ff"
    )
