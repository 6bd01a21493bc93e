"""Texts that people and models wrote, made fit for a page: long ones fold, control characters show."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from luthier.report.figures import visible

HEAD = 700
"""Characters of an answer shown at once; the rest opens on demand."""
EDGE, EDGE_LINES = 320, 5
"""Characters and lines shown at once of either end of a text that was only read."""
LONGEST = 20_000
"""Characters of one text kept on the page at all."""


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


def prose(text: str) -> Markup:
    """A sentence with what stands between backticks set as code; everything in it is escaped."""
    parts = visible(text).split("`")
    if len(parts) % 2 == 0:
        return Markup("{}").format(visible(text))
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else Markup("{}").format(part)
        for index, part in enumerate(parts)
    )
