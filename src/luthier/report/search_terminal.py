"""A search on the terminal: sentences, the best trials, what mattered, where the page is."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luthier.report import figures
from luthier.report.search import SearchFound, TrialLine, ranked, setting, shown
from luthier.words import spelled

BEST = 8
"""Trials that are listed."""


def summary(found: SearchFound, *, page: Path) -> RenderableType:
    """What was found, for `rich`."""
    first, *rest = found.sentences
    colour = {"better": "bold green", "worse": "bold red"}.get(found.word, "bold yellow")
    parts: list[RenderableType] = [Text(first, style=colour), *map(Text, rest), Text(), _table(found), *_weights(found)]
    use = [Text(), Text(f"{found.title_of_use.lower()}: {found.use}")] if found.use else []
    return Group(*parts, *use, Text(), Text.assemble(("page    ", "dim"), str(page)))


def _table(found: SearchFound) -> Table:
    keys = list(found.space)
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("trial", no_wrap=True)
    for name in (spelled(found.metric), *(key.partition(".")[2] for key in keys), "tokens", "time"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    lines = ranked(found)
    for one in lines[:BEST]:
        style = "bold" if one.number in found.best else "" if one.state == "complete" else "dim"
        table.add_row(*_cells(one, found, keys), style=style)
    if len(lines) > BEST:
        table.add_row(f"and {len(lines) - BEST} more", style="dim")
    return table


def _cells(one: TrialLine, found: SearchFound, keys: list[str]) -> list[str]:
    settings = [setting(one.settings[key]) if key in one.settings else figures.NOTHING for key in keys]
    note = ["the recipe's own"] if one.own else []
    note += [one.state] if one.state != "complete" else []
    spent = [figures.count(one.distinct), figures.duration(one.seconds)]
    return [str(one.number), shown(one.value, found.metric), *settings, *spent, ", ".join(note)]


def _weights(found: SearchFound) -> list[Text]:
    if not found.importance:
        return []
    told = ", ".join(f"{one.key} {figures.percent(one.share)}" for one in found.importance)
    return [Text(), Text(f"what mattered: {told}. {found.importance_by}", style="dim")]
