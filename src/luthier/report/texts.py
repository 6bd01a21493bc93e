"""Texts that people and models wrote, made fit for a page: long ones fold, control characters show."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from luthier.report.figures import MINUS, visible

HEAD = 700
"""Characters of an answer shown at once; the rest opens on demand."""
EDGE, EDGE_LINES = 320, 5
"""Characters and lines shown at once of either end of a text that was only read."""
LONGEST = 20_000
"""Characters of one text kept on the page at all."""
_QUOTED: Final = re.compile(r"""(?<!\w)(?P<mark>['"])(?P<said>[^'"]{16,})(?P=mark)(?!\w)""")
_QUOTATIONS: Final = (60, 40, 24, 16)
"""Characters of a quotation, tried in this order until a sentence is short enough."""


@dataclass(frozen=True, slots=True)
class Excerpt:
    """A text that may be long: what shows at once, what opens between, and how much is not on the page."""

    head: str
    rest: str = ""
    dropped: int = 0
    tail: str = ""


def excerpt(text: str) -> Excerpt:
    """Folds a long text after about HEAD characters, at a space where one is near."""
    text = visible(text)
    if len(text) <= HEAD * 1.2:
        return Excerpt(text)
    space = text.rfind(" ", HEAD - 80, HEAD)
    cut = space if space > 0 else HEAD
    return Excerpt(text[:cut], text[cut:LONGEST], dropped=max(0, len(text) - LONGEST))


def fold(text: str) -> Excerpt:
    """Folds the middle of a long text: of a rendered row, its beginning and what leads to the answer stay."""
    text = visible(text)
    head = _beginning(text)
    tail = _beginning(text[::-1])[::-1]
    middle = text[len(head) : len(text) - len(tail)]
    if len(middle) < EDGE and middle.count("\n") < EDGE_LINES:
        return Excerpt(text)
    return Excerpt(head, middle[:LONGEST].strip("\n"), max(0, len(middle) - LONGEST), tail)


def _beginning(text: str) -> str:
    """The first EDGE_LINES lines, or EDGE characters of them."""
    return "\n".join(text.split("\n", EDGE_LINES)[:EDGE_LINES])[:EDGE]


def learned_text(text: str) -> str:
    """Learned text with its line feeds drawn, since they too are learned; a very long one loses its middle."""
    text = visible(text)
    if len(text) > LONGEST:
        half = LONGEST // 2
        text = f"{text[:half]} [… {len(text) - LONGEST:,} characters …] {text[-half:]}"
    return text.replace("\n", "↵\n")


def typeset(text: str) -> str:
    """A sentence of ours as it is printed: a minus is one, and no line ends between a number and its per cent."""
    return _UNIT.sub("\\1\N{NO-BREAK SPACE}%", _NEGATIVE.sub(MINUS, visible(text)))


_NEGATIVE = re.compile(r"(?<![\w.)\]/-])-(?=\d)")
_UNIT = re.compile(r"(\d) %")


def prose(text: str) -> Markup:
    """A sentence with what stands between backticks set as code; everything in it is escaped."""
    parts = visible(text).split("`")
    if len(parts) % 2 == 0:
        return Markup("{}").format(visible(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else Markup("{}").format(part)
        for index, part in enumerate(parts)
    )


def sentence(text: str, most: int) -> str:
    """A finding on one line of `most` characters or little more: its quotations give way before its own words do."""
    line = " ".join(visible(text).split())
    for width in _QUOTATIONS:
        if len(line) <= most:
            return line
        line = _QUOTED.sub(_quoted(width), line)
    return line if len(line) <= most else f"{whole_words(line, most)} …"


def whole_words(text: str, most: int) -> str:
    """The beginning of a text, up to the end of a word where there is one."""
    if len(text) <= most:
        return text
    space = text.rfind(" ", most // 2, most + 1)
    return text[: space if space > 0 else most].rstrip(" ,;:")


def _quoted(width: int) -> Callable[[re.Match[str]], str]:
    def shorter(found: re.Match[str]) -> str:
        said = found["said"]
        return found[0] if len(said) <= width else f"{found['mark']}{whole_words(said, width)} …{found['mark']}"

    return shorter
