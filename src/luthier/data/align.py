"""Text to tokens, with the place in the text each token comes from.

Nothing is ever added by the tokenizer itself: the template has written the beginning of sequence where it belongs.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from transformers import PreTrainedTokenizerBase

_KEPT: Final = 256


@dataclass(frozen=True, slots=True)
class Aligned:
    """A text and its tokens."""

    text: str
    ids: list[int]
    offsets: list[tuple[int, int]] | None
    """Where in the text each token begins and ends; None from a tokenizer that cannot say."""


class Aligner:
    """One tokenizer, with its special tokens and what it made of short texts before."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self.tokenizer = tokenizer
        self.ids = special_tokens(tokenizer)
        self.special = finder(self.ids)
        self._known: dict[str, list[int]] = {}

    def align(self, texts: Sequence[str]) -> list[Aligned]:
        """Each text tokenised whole."""
        if not texts:
            return []
        fast = self.tokenizer.is_fast
        encoded = self.tokenizer(
            list(texts), add_special_tokens=False, return_offsets_mapping=fast, padding=False, verbose=False
        )
        offsets = encoded["offset_mapping"] if fast else [None] * len(texts)
        return [
            Aligned(text, ids, places) for text, ids, places in zip(texts, encoded["input_ids"], offsets, strict=True)
        ]

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text; those of short ones are remembered."""
        if text in self._known:
            return self._known[text]
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        if len(text) <= _KEPT:
            self._known[text] = ids
        return ids

    def prefix(self, aligned: Aligned, end: int) -> int | None:
        """How many tokens the first `end` characters make by themselves; None where the whole does not begin with them.

        A special token keeps apart what stands before and after it, so only what follows the last one is compared.
        """
        begin, first = self._last_special(aligned, end)
        alone = self.tokens(aligned.text[begin:end])
        return first + len(alone) if aligned.ids[first : first + len(alone)] == alone else None

    def _last_special(self, aligned: Aligned, end: int) -> tuple[int, int]:
        """Where the last special token before `end` begins, in characters and in tokens; 0, 0 where there is none."""
        *_, mark = [None, *self.special.finditer(aligned.text, 0, end)]
        if mark is None or aligned.offsets is None:
            return 0, 0
        first = bisect_left(aligned.offsets, mark.start(), key=_begin)
        found = first < len(aligned.offsets) and aligned.offsets[first] == mark.span()
        return (mark.start(), first) if found else (0, 0)

    def start(self, aligned: Aligned, begin: int) -> int | None:
        """Place of the token that begins at a character, where one ends and the next begins there, else None."""
        if aligned.offsets is None or begin == 0:
            return self.prefix(aligned, begin)
        first = bisect_left(aligned.offsets, begin, key=_begin)
        apart = first < len(aligned.ids) and aligned.offsets[first][0] == begin == aligned.offsets[first - 1][1]
        return first if apart else self.prefix(aligned, begin)

    def until(self, aligned: Aligned, end: int) -> int | None:
        """How many tokens lie within the first `end` characters."""
        if aligned.offsets is None:
            return self.prefix(aligned, end)
        return bisect_right(aligned.offsets, end, key=_end)

    def apart(self, aligned: Aligned, end: int) -> Aligned:
        """The text before and after `end` tokenised apart, as when generation starts there."""
        before, after = self.align([aligned.text[:end], aligned.text[end:]])
        if before.offsets is None or after.offsets is None:
            return Aligned(aligned.text, before.ids + after.ids, None)
        moved = [(begin + end, stop + end) for begin, stop in after.offsets]
        return Aligned(aligned.text, before.ids + after.ids, before.offsets + moved)


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """The tokenizer's special tokens and their ids."""
    added = {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True)
    return {str(name): number for name, number in (*added.items(), *named) if name}


def finder(names: Iterable[str]) -> re.Pattern[str]:
    """A pattern that finds any of the names in a text, the longest first; nothing where there is none."""
    return re.compile("|".join(map(re.escape, sorted(names, key=len, reverse=True))) or "(?!)")


def _begin(place: tuple[int, int]) -> int:
    return place[0]


def _end(place: tuple[int, int]) -> int:
    return place[1]
