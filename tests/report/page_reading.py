"""A page taken apart as a browser would: tags with attributes in order, and text by element."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

Attributes = dict[str, str]


@dataclass(slots=True)
class Page:
    """What a parser found."""

    tags: list[tuple[str, Attributes]] = field(default_factory=list)
    texts: list[tuple[str, str]] = field(default_factory=list)
    """(innermost open tag, text), in order."""

    def of(self, tag: str) -> list[str]:
        """The texts directly inside a tag."""
        return [text for inside, text in self.texts if inside == tag]

    @property
    def text(self) -> str:
        """Everything a reader can read, in order."""
        return "".join(text for inside, text in self.texts if inside not in ("script", "style"))

    @property
    def headings(self) -> list[str]:
        """Section headings in order."""
        return self.of("h2")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.page = Page()
        self.open: list[str] = ["document"]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        self.page.texts.append((self.open[-1], data))


def read_page(path: Path) -> Page:
    """Parses a page; fails on tags that do not close in order."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    reader.close()
    assert reader.open == ["document"]
    return reader.page
