"""The part of a page that a command writes, between two marks; the words around it are a person's, and stay."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

END = "<!-- measured: end -->"


def begun(script: str) -> str:
    """The mark at which a script's part begins."""
    return f"<!-- measured: begin (written by {script}) -->"


def write(page: Path, lines: Iterable[str], *, script: str) -> None:
    """Puts lines between the script's marks. Raises SystemExit where the page has none."""
    begin = begun(script)
    before, found, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise SystemExit(f"{page}: the lines {begin} and {END} are not there, so the figures have no place")
    figures = "\n".join(lines).strip("\n")
    page.write_text(f"{before}{begin}\n\n{figures}\n\n{END}{after}", encoding="utf-8")


def row(*cells: str) -> str:
    """A line of a table."""
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
