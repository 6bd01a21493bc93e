"""The before-and-after table a run ends with on the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from luthier.report import figures, texts
from luthier.report.changed import Change
from luthier.report.folder import read_run
from luthier.report.page import NAME
from luthier.report.records import Interval
from luthier.report.view import MetricRow, View, view
from luthier.words import counted, spelled

MENDED = 3
CLIP = 160
"""Characters of a question or an answer shown on the terminal."""


def summary(run: Path) -> RenderableType:
    """What a run achieved, for `rich`: the verdict, the metrics, three mended rows, where the page is.

    Raises RunError naming the file of the run that is missing or damaged.
    """
    seen = view(read_run(run))
    parts: list[RenderableType] = [Text(), *_goes_on(seen), _sentence(seen), *_on_all(seen), *_reads(seen), Text()]
    parts += [_Metrics(seen), *_signed(seen), *_bar(seen), *_mended(seen)] if seen.metrics else []
    parts += _others(seen)
    parts += [*_forgotten(seen), *_warned(seen), *_cost(seen)]
    return Group(*parts, Text.assemble(("report  ", "dim"), str(run / NAME)))


def _sentence(seen: View) -> Text:
    colour = {"better": "bold green", "worse": "bold red"}.get(seen.report.verdict.word, "bold yellow")
    return Text(texts.typeset(seen.sentence), style=colour)


def _goes_on(seen: View) -> list[Text]:
    """The run before this one, if any, since `base` then means its model."""
    before = seen.report.lineage
    return (
        [Text(figures.visible(f"'base' is the model of {before[0].run}, which this run went on from."))]
        if before
        else []
    )


def _warned(seen: View) -> list[Text]:
    """What the curves say against the run, each with what may mend it."""
    return [
        Text.assemble(("warning ", "bold yellow"), figures.visible(one.sentence), " ", (one.remedy, "dim"), "\n")
        for one in seen.report.warnings
    ]


def _others(seen: View) -> list[RenderableType]:
    """The other tasks of a mixture, each by its own metric."""
    if not seen.report.tasks:
        return []
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("other task", overflow="fold")
    for name in ("base", "tuned", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict")
    for one in seen.report.tasks:
        title = f"{one.name}\n{spelled(one.metric)}, {counted(one.n, 'row')}"
        ends = (_interval(one.base, "\n"), _interval(one.tuned, "\n"), _interval(one.difference, "\n", signed=True))
        table.add_row(Text(figures.visible(title)), *ends, Text(one.word))
    return [Text(), table, Text()]


def _forgotten(seen: View) -> list[Text]:
    """What tuning cost of what the model could do before."""
    found = seen.report.forgetting
    if found is None:
        return []
    return [Text(texts.typeset(found.sentence), style="bold red" if found.word == "forgot" else ""), Text()]


def _cost(seen: View) -> list[Text]:
    """What the run took, and on what the figure of energy rests."""
    took = seen.report.cost.took
    if took.seconds is None:
        return []
    spent = [figures.duration(took.seconds), figures.memory(took.peak_bytes), figures.energy(took.energy_wh)]
    source = f" ({took.energy_source}{': ' + took.assumption if took.assumption else ''})" if took.energy_source else ""
    return [Text.assemble(("took    ", "dim"), ", ".join(spent) + source)]


def _on_all(seen: View) -> list[Text]:
    """The deciding metric on every test row, where the base was asked only some."""
    judged = next(iter(seen.metrics), None)
    if judged is None or judged.whole is None:
        return []
    title = f"On all {seen.whole:,} test rows the tuned model has {spelled(judged.name)} "
    return [Text.assemble(title, _interval(judged.whole), ".")]


def _signed(seen: View) -> list[Text]:
    """How sacreBLEU counted what it counts."""
    signatures = seen.report.task.signatures.items()
    return [Text(figures.visible(f"{spelled(name)}: {signature}"), style="dim") for name, signature in signatures]


def _reads(seen: View) -> list[Text]:
    """How often the test rows were read before, if they were."""
    reads = seen.report.reads
    return [Text(figures.visible(reads.sentence), style="yellow")] if reads is not None and reads.before else []


def _bar(seen: View) -> list[Text]:
    """The best simple method on the deciding metric, as what a tuned model must beat."""
    bars = [bar for bar in seen.report.baselines if bar.metric == seen.report.verdict.metric and bar.value is not None]
    if not bars:
        return []
    best = max(bars, key=lambda bar: bar.value or 0.0)
    of = f" on {best.n:,} {best.part} rows".replace("  ", " ") if best.n else ""
    decimals = figures.places(best.value, best.low, best.high)
    span = figures.span(best.low, best.high, decimals)
    value = f"{spelled(best.metric)} {figures.number(best.value, decimals)} {span}"
    return [Text.assemble(("\nThe bar without a language model: ", "dim"), f"{best.name}, {value}{of}")]


@dataclass(frozen=True, slots=True, eq=False)
class _Metrics:
    """The table of metrics: intervals stand beside their values where the terminal has room for all, else below."""

    seen: View

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        rows = [_cells(row, " ") for row in self.seen.metrics]
        width = sum(max(map(len, column)) + 3 for column in zip(*rows, strict=True))
        yield _table(rows if width <= options.max_width else [_cells(row, "\n") for row in self.seen.metrics])


def _table(rows: Sequence[tuple[Text, ...]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    table.add_column("metric", no_wrap=True)
    for name in ("base", "tuned", "difference"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def _cells(row: MetricRow, between: str) -> tuple[Text, ...]:
    compared = row.comparison
    return (
        Text(figures.visible(spelled(row.name))),
        _interval(compared.base, between),
        _interval(compared.tuned, between),
        _interval(compared.difference, between, signed=True),
    )


def _interval(interval: Interval, between: str = " ", *, signed: bool = False) -> Text:
    decimals = figures.places(interval.value, interval.low, interval.high)
    span = figures.span(interval.low, interval.high, decimals, signed=signed)
    return Text.assemble(
        (figures.number(interval.value, decimals, signed=signed), "bold"), (f"{between}{span}" if span else "", "dim")
    )


def _mended(seen: View) -> list[RenderableType]:
    if seen.changes is None or not seen.changes.mended:
        return []
    total, rows = len(seen.changes.mended), seen.changes.mended[:MENDED]
    told = f"{'were ' if seen.changes.right_or_wrong else ''}{seen.changes.names[0]}"
    title = Text(f"\nRows that {told} ({len(rows)} of {total:,})", style="bold")
    return [title, *(_row(change) for change in rows)]


def _row(change: Change) -> Padding:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("question", _clip(change.row.question))
    grid.add_row("base", _clip(change.before.text))
    grid.add_row("tuned", _clip(change.row.tuned.text))
    return Padding(grid, (0, 0, 1, 2), expand=False)


def _clip(text: str) -> Text:
    """One short line; as `Text`, so that brackets in it are not read as markup."""
    line = " ".join(figures.visible(text).split())
    return Text(line if len(line) <= CLIP else f"{line[:CLIP].rstrip()} …") if line else Text("(empty)", "dim")
