"""English numbers in words: "forty-two", "a hundred and five", "minus three point one"; no ordinals, no fractions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

_TEENS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: at for at, word in enumerate(_TEENS)} | {word: 10 * at for at, word in enumerate(_TENS, start=2)}
_SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_WORD = re.compile(r"[a-z]+|[^\sa-z-]")
_SIGNS = ("minus", "negative")
_PARTS = {*_SMALL, *_SCALES, "hundred"}


def spelled(text: str) -> list[Decimal]:
    """Every number that is written in words, in order."""
    tokens = _WORD.findall(text.lower())
    found: list[Decimal] = []
    at = 0
    while at < len(tokens):
        end = _end(tokens, at)
        if end > at:
            found.append((-1 if at and tokens[at - 1] in _SIGNS else 1) * _value(tokens[at:end]))
        at = max(end, at + 1)
    return found


def _end(tokens: Sequence[str], at: int) -> int:
    """One past the number that begins here; the same place where none does."""
    if tokens[at] == "a" and tokens[at + 1 : at + 2] and (tokens[at + 1] == "hundred" or tokens[at + 1] in _SCALES):
        at += 1
    end = at
    while end < len(tokens) and tokens[end] in _PARTS and not _begins_anew(tokens[:end], tokens[end], first=end == at):
        end += 1
        after = tokens[end : end + 2]
        joined = after[:1] == ["and"] and len(after) == 2 and after[1] in _SMALL and tokens[end - 1] not in _SMALL
        point = after[:1] == ["point"] and len(after) == 2 and _SMALL.get(after[1], 10) < 10
        if point:
            return _digits(tokens, end + 1)
        end += joined
    return end if tokens[at] in _PARTS else at


def _begins_anew(before: Sequence[str], word: str, *, first: bool) -> bool:
    """Whether a word cannot go on with the number before it: `two three` are two numbers, `twenty three` is one."""
    if first or word not in _SMALL or before[-1] not in _SMALL:
        return False
    return not (before[-1] in _TENS and 0 < _SMALL[word] < 10)


def _digits(tokens: Sequence[str], at: int) -> int:
    while at < len(tokens) and _SMALL.get(tokens[at], 10) < 10:
        at += 1
    return at


def _value(tokens: Sequence[str]) -> Decimal:
    whole, point, part = (
        (tokens[: tokens.index("point")], True, tokens[tokens.index("point") + 1 :])
        if "point" in tokens
        else (tokens, False, [])
    )
    total = group = 0
    for word in whole:
        if word in _SMALL:
            group += _SMALL[word]
        elif word == "hundred":
            group = 100 * max(group, 1)
        elif word in _SCALES:
            total, group = total + max(group, 1) * _SCALES[word], 0
    digits = "".join(str(_SMALL[word]) for word in part)
    return Decimal(f"{total + group}.{digits}" if point else total + group)
