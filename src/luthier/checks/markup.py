"""Remains of web pages in texts: tags such as `<br>`, entities such as `&nbsp;`.

Not here: tags that are no HTML (`<answer>`), markup of chat templates (`tokens`), and code or pages that a row is
about: what stands in backticks, and rows whose words name HTML, XML and the like.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape
from html.entities import html5
from typing import Final, NamedTuple

from luthier.checks.check import Corpus
from luthier.checks.turns import Said, around, said
from luthier.stats import wilson
from luthier.types import Example, Issue

WIDE: Final = (20, 0.2)
"""Rows, and share of all, from which one Issue names all that have them: then it is how the file is written."""

_TAGS: Final = (
    "abbr|blockquote|br|dd|div|dl|dt|em|font|h[1-6]|hr|html|img|iframe|li|noscript|ol|pre|span|strike|strong|sub|sup|svg|"
    "tbody|td|tfoot|th|thead|tr|tt|ul"
)
_WORDS: Final = (
    "[abipqsu]|address|article|aside|audio|body|button|caption|center|code|figure|footer|form|head|header|input|label|"
    "link|main|mark|meta|nav|option|script|section|select|small|style|table|textarea|title|video"
)
"""Names that also stand for themselves, in `<address>` or `<input>`; of a page only with an attribute."""
_MARK: Final = re.compile(
    rf"[<&](?:(?<=<)(?P<tag>/?(?:{_TAGS})(?:\s[^<>]{{0,300}})?/?>|"
    rf"(?:{_WORDS})\s[a-z-]{{2,20}}=[^<>]{{0,300}}>|/[abipqsu]>|"
    r"!--.{0,2000}?-->|!doctype html[^<>]{0,200}>)|"
    r"(?<=&)(?:[A-Za-z]{2,24}[0-9]{0,2}|\#[0-9]{2,6}|\#[xX][0-9A-Fa-f]{2,5});)",
    re.IGNORECASE | re.DOTALL,
)
"""It begins with a set of two characters, for which texts are scanned quickly."""
_OPENED: Final = re.compile(r"<[abipqsu]>", re.IGNORECASE)
_BREAK: Final = re.compile(r"<(?:br|hr)\b|</?(?:p|div|li|tr|h[1-6]|table|ul|ol|blockquote)\b", re.IGNORECASE)
_POWER: Final = re.compile(r"<sup\b", re.IGNORECASE)
_CODE: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]{1,500}`", re.DOTALL)
_ABOUT: Final = re.compile(
    r"\b(?:x?html\d?|xml|svg|css|php|jsx?|dom|xpath|javascript|jquery|react|vue|angular|bootstrap|beautifulsoup|"
    r"selenium|markup|markdown|tags?|entity|entities|snippet|web ?pages?|source code|regex)\b",
    re.IGNORECASE,
)


class _Hit(NamedTuple):
    """Something of a page in a text."""

    said: Said
    start: int
    end: int

    @property
    def text(self) -> str:
        return self.said.text[self.start : self.end]


def markup(corpus: Corpus) -> Iterator[Issue]:
    """Rows with tags or entities of HTML in a text; one Issue a row, or one for all where they are many (WIDE).

    Not flagged where most of those are answers: then pages are what the model is to write.
    """
    found = [(row, hits) for row in corpus.each(corpus.rows, "remains of HTML") if (hits := _hits(row))]
    least, share = WIDE
    if len(found) >= max(least, share * len(corpus.rows)):
        yield _wide(found, len(corpus.rows))
        return
    for row, hits in found:
        first, more = hits[0], f", and {len(hits) - 1} more" if len(hits) > 1 else ""
        yield Issue(
            check="markup",
            examples=(row.id,),
            severity=0.4,
            flagged=True,
            why=f"{first.said.where} of {row.id} holds {first.text[:40]!r}, left over from a web page, in "
            f"{around(first.said.text, first.start, first.end)!r}{more}",
            remedy="take it out (--fix does)",
        )


def without_markup(issue: Issue, text: str) -> str:
    """The text as a browser shows it: tags gone or broken lines, entities as their characters, code as it stands."""
    if "<" not in text and "&" not in text:
        return text
    places, pieces, end = list(_marks(text)), list[str](), 0
    opened = any(text[start:stop].startswith("</") for start, stop in places)
    for start, stop in places:
        mark = text[start:stop]
        pieces += [text[end:start], _shown(mark)]
        end = stop
    plain = "".join((*pieces, text[end:]))
    plain = _OPENED.sub("", plain) if opened else plain
    return re.sub(r"\n{3,}", "\n\n", plain).strip() if places else text


def _shown(mark: str) -> str:
    """What a browser shows for a tag or an entity; a power keeps its sign, since 10<sup>5</sup> is not 105."""
    if mark[0] == "&":
        return unescape(mark).replace("\xa0", " ")
    return "\n" if _BREAK.match(mark) else "^" if _POWER.match(mark) else ""


def kind(issue: Issue) -> str:
    """Tags and entities are two sorts of remains."""
    return "entities" if " holds '&" in issue.why else "tags"


def _wide(found: Sequence[tuple[Example, Sequence[_Hit]]], total: int) -> Issue:
    hits = [hits[0] for _, hits in found]
    written = sum(row.label is None and "answer" in some[0].said.where for row, some in found) > len(hits) / 2
    share = wilson(len(found), total)
    meant = "which is right only if the model is to write them" if written else "which a reader never saw"
    return Issue(
        check="markup",
        examples=tuple(row.id for row, _ in found),
        severity=0.2 if written else 0.4,
        flagged=not written,
        why=f"{len(found):,} of {total:,} rows ({share.value:.0%}, interval {share.low:.0%} to {share.high:.0%}) hold "
        f"tags or entities of web pages, such as {hits[0].text[:40]!r}, {meant}",
        remedy="take them out unless such pages are what it will read or write"
        + ("" if written else " (--fix does; --silent markup keeps them)"),
    )


def _hits(row: Example) -> list[_Hit]:
    hits = [
        _Hit(one, start, end)
        for one in said(row)
        if "<" in one.text or "&" in one.text
        for start, end in _marks(one.text)
    ]
    return [] if hits and _is_about_pages(row) else hits


def _marks(text: str) -> Iterator[tuple[int, int]]:
    """Where tags and entities stand, but for those in code."""
    code = [found.span() for found in _CODE.finditer(text)] if "`" in text else []
    for found in _MARK.finditer(text):
        start, end = found.span()
        real = found["tag"] is not None or found[0][1:] in html5 or found[0][1] == "#"
        if real and not any(first <= start < last for first, last in code):
            yield start, end


def _is_about_pages(row: Example) -> bool:
    """Whether the words of a row, tags aside, name what such tags are for."""
    return any(_ABOUT.search(_MARK.sub(" ", one.text)) for one in said(row))
