"""Texts that are empty, hold what nobody sees, or were decoded wrongly. What answers say is in `answers`."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from luthier.checks.check import Corpus
from luthier.checks.invisible import name, unseen, without_unseen
from luthier.checks.turns import around, said
from luthier.types import Example, Issue, Message

_LOST: Final = "\ufffd"
_SHORT: Final = 40
"""Characters up to which a text may be nothing but invisible ones."""
_CODECS: Final = (
    "cp1250",
    "cp1251",
    "cp1252",
    "cp1253",
    "cp1254",
    "cp1257",
    "iso8859-2",
    "latin-1",
    "mac-roman",
    "cp437",
)
"""Encodings for which UTF-8 is mistaken, of those that ftfy knows."""


def empty(corpus: Corpus) -> Iterator[Issue]:
    """Rows whose prompt or whose answer holds nothing to read; one Issue a row."""
    for row in corpus.each(corpus.rows, "empty texts"):
        if what := _missing(row):
            yield Issue(
                check="empty",
                examples=(row.id,),
                severity=0.8,
                flagged=True,
                why=f"{what} of {row.id} is empty but for white space or invisible characters",
                remedy="fill it in, or leave the row out",
            )


def invisible(corpus: Corpus) -> Iterator[Issue]:
    """Rows with control, direction, zero-width and other characters that nobody sees; one Issue a row.

    New lines and tabs, joiners in emoji and in scripts that join, and direction marks beside right-to-left letters
    are not meant (see `luthier.checks.invisible`).
    """
    for row in corpus.each(corpus.rows, "invisible characters"):
        found = [(one, at) for one in said(row) for at in unseen(one.text)]
        if found:
            (first, at), more = found[0], len(found) - 1
            count = f", and {more} more" if more else ""
            yield Issue(
                check="invisible",
                examples=(row.id,),
                severity=max(_danger(one.text[place]) for one, place in found),
                flagged=True,
                why=f"{first.where} of {row.id} holds {name(first.text[at])} at character {at + 1}{count}, which a "
                "tokenizer reads and nobody sees",
                remedy="remove them (--fix does)",
            )


def mojibake(corpus: Corpus) -> Iterator[Issue]:
    """Rows with text that was decoded in the wrong encoding (by ftfy), or has lost characters to U+FFFD."""
    for row in corpus.each(corpus.rows, "wrongly decoded texts"):
        for one in said(row):
            repaired = one.text if one.text.isascii() else repair(one.text)
            lost = one.text.isascii() is False and _LOST in one.text
            if repaired != one.text or lost:
                yield _garbled(row.id, one.where, one.text, repaired)
                break


def broken(row: Example) -> bool:
    """Whether a row's prompt is empty, or was decoded wrongly: what its label ought to be cannot be told from it."""
    texts = [message.content for message in row.prompt]
    garbled = any(_LOST in text or repair(text) != text for text in texts if not text.isascii())
    return garbled or _missing(row) is not None


def repair(text: str) -> str:
    """The text as it was before it was decoded wrongly; itself where nothing shows that it was. Source: ftfy."""
    if text.isascii() or _suspicious().search(text) is None or importlib.util.find_spec("ftfy") is None:
        return text
    import ftfy
    from ftfy.badness import is_bad

    return str(ftfy.fix_encoding(text)) if is_bad(text) else text


def show_nothing_unseen(issue: Issue, text: str) -> str:
    """The text without invisible characters."""
    return without_unseen(text)


def rewrite_garbled(issue: Issue, text: str) -> str:
    """The text decoded rightly."""
    return repair(text)


def _missing(row: Example) -> str | None:
    if not any(_says(message) for message in row.prompt):
        return "the prompt"
    if any(_blank(message.content) for message in row.prompt if message.role == "user"):
        return "a turn of the user"
    return None if all(_says(one.messages[-1]) for one in row.completions) else "an answer"


def _says(message: Message) -> bool:
    return not _blank(message.content) or bool(message.fields.get("tool_calls"))


def _blank(text: str) -> bool:
    return not text or text.isspace() or (len(text) <= _SHORT and not without_unseen(text).strip())


def _danger(char: str) -> float:
    """Overrides and tags make people read other text than the model; the rest only costs tokens."""
    hides = char in "\u202d\u202e" or "\U000e0000" <= char <= "\U000e0fff" or "\ufe00" <= char <= "\ufe0f"
    return 0.8 if hides else 0.4


def _garbled(row: str, where: str, text: str, repaired: str) -> Issue:
    if repaired == text:
        at = text.index(_LOST)
        why = f"{where} of {row} has lost characters where {around(text, at, at + 1)!r} holds U+FFFD"
        remedy = "read the source again in its own encoding; what stood there cannot be won back from this file"
        return Issue("mojibake", (row,), 0.5, True, why, remedy)
    at = next((n for n, (a, b) in enumerate(zip(text, repaired, strict=False)) if a != b), len(repaired))
    before, after = around(text, at, at + 3), around(repaired, at, at + 1)
    why = f"{where} of {row} was decoded in the wrong encoding: {before!r} was {after!r}"
    return Issue("mojibake", (row,), 0.6, True, why, "decode it again (--fix does), best where the file was written")


@cache
def _suspicious() -> re.Pattern[str]:
    """Two characters in a row as UTF-8 looks in another encoding, or one that text does not hold.

    Single accents, most of real text, pass by without ftfy's slower measure.
    """
    upper = bytes(range(128, 256))
    chars = {char for codec in _CODECS for char in upper.decode(codec, errors="ignore") if not char.isascii()}
    one = "[" + "".join(re.escape(char) for char in sorted(chars)) + "]"
    return re.compile(f"{one}{{2}}|[\x80-\x9f]|[ÃÂâ] |\ufffd")
