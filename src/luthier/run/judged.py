"""`luthier evaluate`: any number of runs and models on the same rows, as a table or JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from luthier.data.read import ReadOptions
from luthier.evaluate import Evaluation, Interval, verdict_json
from luthier.evaluate.reads import Read, told
from luthier.evaluate.tables import interval_json
from luthier.evaluate.verdict import Verdict
from luthier.recipe import Recipe
from luthier.report import figures
from luthier.run.assess import assess
from luthier.run.assistant import recipe_of
from luthier.run.looks import reads_json
from luthier.run.show import Show
from luthier.types import Json
from luthier.words import counted


def judged(
    targets: Sequence[str], *, data: str | None, input: str | None, output: str | None, base: bool, as_json: bool
) -> int:
    """Judges each target and prints the figures with their 95 % intervals."""
    show = Show(silent=as_json)
    columns: dict[str, Evaluation] = {}
    verdicts: dict[str, Verdict] = {}
    looks: dict[str, tuple[Read, ...]] = {}
    for target in targets:
        found = assess(target, data=data, reading=_reading(target, input, output), against_base=base, show=show)
        if found.base is not None and found.verdict is not None:
            columns[f"{target} (base)"], verdicts[target] = found.base, found.verdict
        columns[target], looks[target] = found.tuned, found.before
    if as_json:
        reads: dict[str, Json] = {name: reads_json(before) for name, before in looks.items()}
        print(json.dumps({**_json(columns, verdicts), "reads": reads}, ensure_ascii=False, indent=1))
        return 0
    console = Console(highlight=False, soft_wrap=True)
    console.print(_table(columns))
    for verdict in verdicts.values():
        console.print("\n" + verdict.sentence, markup=False)
    if before := next(iter(looks.values())):
        console.print("\n" + told(before), markup=False)
    return 0


def _reading(target: str, input: str | None, output: str | None) -> ReadOptions | None:
    """A run's own way of reading, with other columns where they are named."""
    own: Recipe | None = recipe_of(Path(target)) if (Path(target) / "recipe.yaml").is_file() else None
    if own is None:
        return ReadOptions(input=input, output=output)
    if input is None and output is None:
        return None
    return replace(own.data, limit=None, input=input or own.data.input, output=output or own.data.output)


def _table(columns: dict[str, Evaluation]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("metric")
    for name, one in columns.items():
        table.add_column(Text(f"{name}\n{counted(len(one.rows), 'row')}"), justify="right")
    metrics = list(dict.fromkeys(name for one in columns.values() for name in one.metrics))
    for metric in metrics:
        table.add_row(figures.words(metric), *(_cell(one.metrics.get(metric)) for one in columns.values()))
    return table


def _cell(interval: Interval | None) -> str:
    if interval is None:
        return ""
    decimals = figures.places(interval.value, interval.low, interval.high)
    return f"{figures.number(interval.value, decimals)} {figures.span(interval.low, interval.high, decimals)}"


def _json(columns: dict[str, Evaluation], verdicts: dict[str, Verdict]) -> dict[str, Json]:
    return {
        "models": {
            name: {"n": len(one.rows), "metrics": {metric: interval_json(i) for metric, i in one.metrics.items()}}
            for name, one in columns.items()
        },
        "verdicts": {name: verdict_json(verdict) for name, verdict in verdicts.items()},
    }
