"""A probe on the terminal: sentences, a table a kind of test, where the page is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luthier.evaluate.behaviour.probe import Probe
from luthier.evaluate.behaviour.rates import Line, Rate
from luthier.evaluate.behaviour.slices import Cut
from luthier.report import figures
from luthier.report.probe_words import points, ranked, rate, sentences, span
from luthier.words import spelled

FEW = 6
"""Values of a slice that are named."""


def summary(found: Probe, *, page: Path, failed: Sequence[str]) -> RenderableType:
    """What was found, for `rich`."""
    first, *rest = sentences(found)
    parts: list[RenderableType] = [Text(first, style="bold"), *map(Text, rest), Text(), _table(found), *_nowhere(found)]
    for cut in found.cuts:
        parts += _cut(cut)
    parts += [Text(), *(Text(f"gate failed: {why}", style="bold red") for why in failed)]
    return Group(*parts, Text.assemble(("page    ", "dim"), str(page)))


def _table(found: Probe) -> Table:
    table = _plain("failures, in %", "tuned", *(["base", "difference"] if found.base is not None else []))
    for line in ranked([line for line in found.lines if line.asked]):
        table.add_row(Text(spelled(line.name)), *_figures(line))
    return table


def _figures(line: Line) -> list[Text]:
    cells = [_rate(line.tuned)]
    if line.base is not None:
        value, around = points(line.difference)
        style = "bold" if line.seen else ""
        cells += [_rate(line.base), Text.assemble((value, style), (f" {around}" if around else "", "dim"))]
    return cells


def _rate(one: Rate) -> Text:
    if one.interval is None:
        return Text("none to tell", "dim")
    value = rate(one).removesuffix(" %")
    return Text.assemble((value, "bold"), (f" {span(one.interval)} of {one.n:,}", "dim"))


def _nowhere(found: Probe) -> list[Text]:
    """Perturbations that no row gives occasion for."""
    names = [spelled(line.name) for line in found.lines if not line.asked]
    return [Text(f"apply to none of these rows: {', '.join(names)}", "dim")] if names else []


def _cut(cut: Cut) -> list[RenderableType]:
    told: list[RenderableType] = []
    if cut.lines:
        table = _plain(f"by {cut.column}", "rows", "tuned", *(["base"] if cut.lines[0].base is not None else []))
        for line in cut.lines:
            base = [_rate(line.base)] if line.base is not None else []
            table.add_row(Text(figures.visible(line.value)), f"{line.rows:,}", _rate(line.tuned), *base)
        told = [Text(), table]
    if cut.few:
        named = ", ".join(f"{figures.visible(value)} ({rows})" for value, rows in cut.few[:FEW])
        more = f" and {len(cut.few) - FEW} more" if len(cut.few) > FEW else ""
        told.append(Text(f"by {cut.column}, too few rows to tell: {named}{more}", "dim"))
    return told


def _plain(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column(columns[0])
    for name in columns[1:]:
        table.add_column(name, justify="right", no_wrap=True)
    return table
