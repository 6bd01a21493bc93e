"""How models stand beside each other on the same rows: a table, sentences, and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from luthier.evaluate import Evaluation, Interval, calibration_json, lower_is_better, verdict_json
from luthier.evaluate.reads import told as earlier
from luthier.evaluate.tables import difference_json, interval_json
from luthier.report import figures
from luthier.run.judged import Asked, Cell, Compared, compared
from luthier.run.looks import reads_json
from luthier.run.show import Show
from luthier.types import Json
from luthier.words import counted, spelled


def judged(targets: Sequence[str], asked: Asked, *, machine: bool) -> int:
    """Judges each target and prints the figures with their 95 % intervals and their differences from the first."""
    found = compared(targets, asked, Show(silent=machine))
    if machine:
        print(json.dumps(as_json(found), ensure_ascii=False, indent=1))
        return 0
    console = Console(emoji=False, highlight=False)
    console.print(_Table(found))
    for line in _told(found):
        console.print("\n" + line, markup=False, soft_wrap=True)
    return 0


@dataclass(frozen=True, slots=True, eq=False)
class _Table:
    """Models in columns; intervals stand beside their values where the terminal has room for all, else below."""

    found: Compared

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        wide = _table(self.found, " ")
        fits = Measurement.get(console, options.update(max_width=10_000), wide).maximum <= options.max_width
        yield wide if fits else _table(self.found, "\n")


def _table(found: Compared, between: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("metric", overflow="fold")
    for name, one in found.columns.items():
        table.add_column(Text(f"{name}\n{counted(len(one.rows), 'row')}"), justify="right", no_wrap=True)
    for metric, cells in found.cells.items():
        table.add_row(Text(spelled(metric)), *(_cell(cell, between) for cell in cells.values()))
    by = None
    for part in found.parts:
        if part.slice.by != by:
            by = part.slice.by
            table.add_row()
            table.add_row(Text(f"{spelled(found.primary)} by {by}", style="dim"))
        title = f"{part.slice.value} ({counted(len(part.slice.ids), 'row')})"
        table.add_row(Text(figures.visible(title)), *(_cell(cell, between) for cell in part.cells.values()))
    return table


def _cell(cell: Cell, between: str) -> Text:
    """The value with its interval, and below it the difference from the first, bold where it is beyond chance."""
    told = Text(_span(cell.interval, between))
    if cell.difference is not None:
        apart = cell.difference
        told.append(
            "\n" + _span(Interval(apart.value, apart.low, apart.high), between, signed=True),
            "bold" if cell.seen else "dim",
        )
    return told


def _span(found: Interval, between: str = " ", *, signed: bool = False) -> str:
    decimals = figures.places(found.value, found.low, found.high)
    value = figures.number(found.value, decimals, signed=signed)
    return f"{value}{between}{figures.span(found.low, found.high, decimals, signed=signed)}"


def _told(found: Compared) -> list[str]:
    """What was found, in sentences: a run against its base, and the others against the first."""
    told = [verdict.sentence for verdict in found.verdicts.values()]
    first, *others = found.columns
    told += [_sentence(found, first, name) for name in others if first != f"{name} (base)"]
    before = next(iter(found.looks.values()))
    told += [earlier(before)] if before else []
    signed = {
        f"{spelled(name)}: {signature}" for one in found.columns.values() for name, signature in one.signatures.items()
    }
    return [*told, "\n".join(sorted(signed))] if signed else told


def _sentence(found: Compared, first: str, name: str) -> str:
    metric = found.primary
    cell, before = found.cells[metric][name], found.cells[metric][first].interval
    apart, n = cell.difference, len(found.columns[name].rows)
    assert apart is not None, f"{name} is compared with {first}"
    word = "no different, as far as these rows can tell"
    if cell.seen:
        word = "better" if (apart.value > 0) != lower_is_better(metric) else "worse"
    size = _span(Interval(apart.value, apart.low, apart.high), signed=True)
    p = "p < 0.001" if cell.p_family < 0.001 else f"p = {cell.p_family:.3f}"
    many = len(found.columns) - 1
    p += f" among {many} models (Holm)" if many > 1 else ""
    decimals = figures.places(cell.interval.value, before.value)
    values = [figures.number(one.value, decimals) for one in (cell.interval, before)]
    facts = f"{spelled(metric)} {values[0]} against {values[1]} on {counted(n, 'row')}"
    return f"{name} against {first}: {word}. {facts} (difference {size}, 95 % interval, {p})."


def as_json(found: Compared) -> dict[str, Json]:
    """What a machine is given."""
    first, *_ = found.columns
    models: dict[str, Json] = {
        name: {
            "n": len(one.rows),
            "metrics": {metric: interval_json(i) for metric, i in one.metrics.items()},
            "signatures": dict(one.signatures),
            "calibration": _calibration(one),
        }
        for name, one in found.columns.items()
    }
    return {
        "first": first,
        "primary": found.primary,
        "models": models,
        "differences": {metric: _apart(cells) for metric, cells in found.cells.items()},
        "slices": [
            {
                "by": part.slice.by,
                "value": part.slice.value,
                "n": len(part.slice.ids),
                "models": {name: interval_json(cell.interval) for name, cell in part.cells.items()},
                "differences": _apart(part.cells),
            }
            for part in found.parts
        ],
        "verdicts": {name: verdict_json(verdict) for name, verdict in found.verdicts.items()},
        "reads": {name: reads_json(before) for name, before in found.looks.items()},
    }


def _apart(cells: Mapping[str, Cell]) -> dict[str, Json]:
    return {
        name: difference_json(cell.difference, cell.p_family)
        for name, cell in cells.items()
        if cell.difference is not None
    }


def _calibration(one: Evaluation) -> Json:
    made = calibration_json(one, one)
    return None if made is None else made["tuned"]
