"""Models by tasks: what each does on the test rows of every other, as a page, for the terminal and for machines.

The cells of a task are comparable with each other, since all models answered the same of its rows; those of a model
are not, since every task has a metric of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luthier.report import figures
from luthier.report.page import environment, placed, policy, static
from luthier.report.worse import better
from luthier.stats import Difference, Interval
from luthier.types import Json
from luthier.words import counted, spelled


@dataclass(frozen=True, slots=True)
class Column:
    """A task: some test rows, and how they are judged."""

    name: str
    """The run whose test rows these are."""
    own: tuple[str, ...]
    """Every run that was tuned for it."""
    metric: str
    n: int
    of: int
    """Test rows there are, of which n were asked."""
    base: Interval


@dataclass(frozen=True, slots=True)
class Cell:
    """A model on a task."""

    value: Interval
    difference: Difference
    """From the base, on the same rows."""
    p_family: float
    """Its p among all cells (Holm)."""
    own: bool
    """Whether the model was tuned for the task."""
    metric: str

    @property
    def word(self) -> Literal["better", "worse", "unclear"]:
        """Than the base, beyond chance among all cells."""
        wanted = better(self.metric)
        if not self.difference.seen_at(self.p_family) or wanted == "neither":
            return "unclear"
        return "better" if (self.difference.value > 0) == (wanted == "higher") else "worse"


@dataclass(frozen=True, slots=True)
class Matrix:
    """What every model does on every task."""

    models: Mapping[str, str]
    """Name -> run folder."""
    columns: tuple[Column, ...]
    cells: Mapping[str, Mapping[str, Cell]]
    """By model, then by task."""
    left_out: Mapping[str, str]
    """Runs that are not in it -> why."""

    @property
    def all(self) -> Iterator[Cell]:
        """Every cell."""
        return (cell for row in self.cells.values() for cell in row.values())


def sentences(found: Matrix) -> tuple[str, str]:
    """What was found: each model on its own task, and on those of others."""
    own = [cell for cell in found.all if cell.own]
    others = [cell for cell in found.all if not cell.own]
    told = f"Better than the base on its own task: {_share(own, 'better')} of {counted(len(own), 'model')}."
    if not others:
        return told, "There is no other task to try them on."
    worse, gained = _share(others, "worse"), _share(others, "better")
    rest = len(others) - worse - gained
    return told, (
        f"On the tasks of others, of {counted(len(others), 'pair')}: {worse} worse than the base, {gained} better, "
        f"and in {rest} no difference was seen."
    )


def _share(cells: Sequence[Cell], word: str) -> int:
    return sum(cell.word == word for cell in cells)


def write(found: Matrix, target: Path) -> Path:
    """Writes the page; an older one is replaced whole or not at all."""
    style = static("report.css") + static("matrix.css")
    page = (
        environment()
        .get_template("matrix.html.j2")
        .render(
            found=found,
            sentences=sentences(found),
            version=version("luthier"),
            style=style,
            policy=policy(style, ""),
        )
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    return placed(page, target)


def as_json(found: Matrix) -> dict[str, Json]:
    """For machines."""
    return {
        "models": dict(found.models),
        "tasks": [
            {
                "name": one.name,
                "own": list(one.own),
                "metric": one.metric,
                "n": one.n,
                "of": one.of,
                "base": _interval(one.base),
            }
            for one in found.columns
        ],
        "cells": [
            {"model": model, "task": task, **_cell_json(cell)}
            for model, row in found.cells.items()
            for task, cell in row.items()
        ],
        "left_out": dict(found.left_out),
        "sentence": " ".join(sentences(found)),
    }


def _cell_json(cell: Cell) -> dict[str, Json]:
    apart = cell.difference
    return {
        "own": cell.own,
        "value": _interval(cell.value),
        "difference": {"value": apart.value, "low": apart.low, "high": apart.high, "p": apart.p},
        "p_family": cell.p_family,
        "word": cell.word,
    }


def _interval(one: Interval) -> dict[str, Json]:
    return {"value": one.value, "low": one.low, "high": one.high}


def table(found: Matrix) -> RenderableType:
    """For a terminal."""
    made = Table(box=None, pad_edge=False, padding=(0, 3, 1, 0), header_style="dim")
    made.add_column("model", overflow="fold")
    for one in found.columns:
        title = f"{one.name}\n{spelled(one.metric)}, {one.n:,} rows"
        made.add_column(Text(figures.visible(title)), overflow="fold")
    made.add_row("base", *(_value(one.base) for one in found.columns))
    for name, row in found.cells.items():
        made.add_row(Text(figures.visible(name), style="bold"), *(_shown(row[one.name]) for one in found.columns))
    note = "bold: on its own task; +/− against the base, 95 % intervals, p corrected for all cells (Holm)"
    told = [Text(line) for line in sentences(found)]
    left = [Text(f"left out: {name}: {why}", style="yellow") for name, why in found.left_out.items()]
    return Group(*told, Text(), made, Text(note, style="dim"), *left)


def _value(one: Interval) -> Text:
    decimals = figures.places(one.value, one.low, one.high)
    return Text(f"{figures.number(one.value, decimals)} {figures.span(one.low, one.high, decimals)}")


def _shown(cell: Cell) -> Text:
    colour = {"better": "green", "worse": "red"}.get(cell.word, "dim")
    apart = figures.number(cell.difference.value, 3, signed=True)
    said = {"unclear": "no difference seen"}.get(cell.word, cell.word)
    return Text.assemble((_value(cell.value).plain, "bold" if cell.own else ""), "\n", (f"{apart} {said}", colour))
