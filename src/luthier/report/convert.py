"""`luthier convert` told: what was written, and what the format could not hold, by kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luthier.data.convert import Converted
from luthier.data.formats import formats
from luthier.data.read import LeftOut
from luthier.types import Json
from luthier.words import counted

SHOWN = 3
"""Rows of one kind named on the terminal; all are named in the JSON."""


def as_json(done: Converted) -> dict[str, Json]:
    """The outcome for machines, every row by its id."""
    return {
        "path": done.path,
        "format": done.format,
        "rows": done.rows,
        "written": done.written,
        "unreadable": [asdict(one) for one in done.unreadable],
        "unheld": [asdict(one) for one in done.unheld],
        "lost": [{"kind": one.kind, "count": len(one.rows), "rows": list(one.rows)} for one in done.lost],
        "recognised": done.recognised,
    }


def told(done: Converted) -> RenderableType:
    """The outcome for a terminal."""
    whole = done.written == done.rows and not done.lost
    title = (
        f"{done.path}: {done.written:,} of {counted(done.rows, 'row')} as {done.format} ({formats[done.format].title})"
    )
    parts: list[RenderableType] = [Text(title, style="bold green" if whole else "bold"), Text()]
    proof = "Read back and compared row by row: "
    parts += [Text(proof + ("of what was written nothing is lost." if not done.lost else "what was written lacks"))]
    parts += [_table([(one.kind, one.rows) for one in done.lost])] if done.lost else []
    parts += _left_out("Not written, because the row", done.unheld)
    if any(one.reason.startswith("would lose") for one in done.unheld):
        parts += [Text("Write those rows without it: --allow-loss")]
    parts += _left_out("Not read, because the row", done.unreadable)
    if not done.recognised:
        parts += [
            Text(f"Its columns look like another format's: read it with data.format={formats[done.format].shape}")
        ]
    return Group(*parts)


def _left_out(title: str, rows: Sequence[LeftOut]) -> list[RenderableType]:
    by_reason: dict[str, list[str]] = {}
    for one in rows:
        by_reason.setdefault(one.reason, []).append(one.id)
    ranked = sorted(by_reason.items(), key=lambda item: -len(item[1]))
    return [Text(), Text(title), _table(ranked)] if rows else []


def _table(kinds: Sequence[tuple[str, Sequence[str]]]) -> Table:
    """Kinds, how many rows are of each, and the first of them."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for kind, rows in kinds:
        more = f" and {len(rows) - SHOWN:,} more" if len(rows) > SHOWN else ""
        table.add_row(Text(f"  {kind}"), f"{len(rows):,}", Text(", ".join(rows[:SHOWN]) + more, style="dim"))
    return table
