"""`luthier compare`: runs beside each other, from their folders alone, as a page, a table, or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luthier.errors import RunError
from luthier.report import comparison, comparison_words
from luthier.report.compared import Compared, as_json, compare
from luthier.report.comparison_columns import Line
from luthier.report.figures import number, places, span, visible
from luthier.run.files import write_json
from luthier.stats import Interval
from luthier.types import Json
from luthier.words import spelled

FEW = 5
"""Runs whose columns are kept whole on a terminal."""


def compared(runs: Sequence[Path], out: Path) -> tuple[RenderableType, dict[str, Json]]:
    """Compares the runs and writes compare.html and compare.json into `out`; what people see, and what machines get.

    Raises RunError where `out` is a file, and what comparing raises.
    """
    found = compare(runs)
    if out.is_file():
        raise RunError(f"--out {out}: a file; name a folder, which compare.html and compare.json are written to")
    out.mkdir(parents=True, exist_ok=True)
    page = comparison.write(found, out / "compare.html")
    facts: dict[str, Json] = {**as_json(found), "sentence": comparison_words.sentence(found)}
    write_json(out / "compare.json", facts)
    return _shown(found, page), {**facts, "page": str(page)}


def _shown(found: Compared, page: Path) -> RenderableType:
    seen = comparison.view(found)
    colour = "bold green" if seen.tone == "better" else "bold yellow"
    parts: list[RenderableType] = [Text(visible(f"{seen.headline} {seen.detail}"), style=colour)]
    parts += [Text(visible(doubt), style="yellow") for doubt in found.doubts]
    parts += [Text(), _metrics(found), Text(), _pairs(seen)]
    if seen.recipes:
        parts += [Text(), _lines("setting", seen.names, seen.recipes)]
    return Group(*parts, Text(), _lines("cost", seen.names, seen.cost), Text.assemble(("\npage  ", "dim"), str(page)))


def _metrics(found: Compared) -> Table:
    table = _table("metric")
    for side in found.sides:
        table.add_column(Text(visible(side.name)), justify="right", no_wrap=len(found.sides) < FEW)
    for metric, runs in found.metrics.items():
        table.add_row(spelled(metric), *(_cell(one) for one in runs.values()))
    return table


def _cell(one: Interval) -> str:
    decimals = places(one.value, one.low, one.high)
    return f"{number(one.value, decimals)}\n{span(one.low, one.high, decimals)}"


def _pairs(seen: comparison.ComparisonView) -> Table:
    table = _table("pair")
    for name in ("difference", "95 % interval", "p, corrected", ""):
        table.add_column(name, justify="right" if name else "left", no_wrap=bool(name))
    for line in seen.pairs:
        table.add_row(Text(visible(line.title)), line.value, line.span, line.p, Text(visible(line.verdict)))
    return table


def _lines(first: str, names: Sequence[str], lines: Sequence[Line]) -> Table:
    table = _table(first)
    for name in names:
        table.add_column(Text(visible(name)), overflow="fold")
    for line in lines:
        table.add_row(Text(visible(line.name)), *(Text(visible(value)) for value in line.values))
    return table


def _table(first: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column(first)
    return table
