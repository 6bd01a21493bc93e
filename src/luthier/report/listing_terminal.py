"""Runs in a line each, for a terminal: every column where there is room, else what tells one run from another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonpath
from pathlib import Path
from textwrap import fill

from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from luthier.report import figures
from luthier.report.listing import Listed
from luthier.report.page import NAME
from luthier.report.records import Interval
from luthier.words import counted, spelled

WIDE = 120
"""Characters of a terminal that shows every column."""
VERDICT = 13
"""Characters that a verdict is broken at, and the name of a metric."""
COLOURS = {"better": "green", "worse": "red", "unfinished": "yellow", "damaged": "red"}


@dataclass(frozen=True, slots=True)
class Lines:
    """Runs as a table, then what is wrong with damaged ones, and where searches lie."""

    found: Sequence[Listed]
    searched: Sequence[Path] = ()
    pages: bool = False
    """Whether the page of each run is named, too."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        folder = _above([Path(one.run) for one in self.found])
        if folder is not None:
            yield Text.assemble(("runs in ", "dim"), figures.visible(str(folder)))
        wide = options.max_width >= WIDE
        yield _table(self.found, folder or Path(), wide=wide)
        if not wide:
            yield Text(f"task, base, size and date: in {WIDE} columns, or --json", style="dim")
        for one in self.found:
            if one.state == "damaged":
                yield Text.assemble(("damaged ", "red"), figures.visible(one.why))
            elif self.pages and one.state == "finished":
                yield Text.assemble(("report  ", "dim"), figures.visible(str(Path(one.run) / NAME)))
        for folder in self.searched:
            yield Text.assemble(("search  ", "dim"), figures.visible(str(folder)))


def _above(runs: Sequence[Path]) -> Path | None:
    """The folder that all of them lie in; None where some are named from the root and others from here."""
    if len({run.is_absolute() for run in runs}) > 1:
        return None
    return Path(commonpath([run.parent for run in runs]))


def _table(found: Sequence[Listed], folder: Path, *, wide: bool) -> Table:
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    made.add_column("run", overflow="fold")
    if wide:
        made.add_column("task, base", overflow="fold")
    for name in ("method", "metric", "before", "tuned", "verdict", *(("size, date",) if wide else ())):
        made.add_column(name, no_wrap=True, justify="right" if name in ("before", "tuned", "size, date") else "left")
    for one in found:
        made.add_row(_run(one, folder), *(_wide(one) if wide else _narrow(one)))
    return made


def _narrow(one: Listed) -> list[Text]:
    before = "" if one.untuned.value is None else figures.number(one.untuned.value, _decimals(one.untuned))
    return _judged(one, Text(before))


def _wide(one: Listed) -> list[Text]:
    about = "\n".join(filter(None, (one.task, one.base)))
    size = "\n".join(filter(None, (figures.memory(one.bytes), figures.when(one.created)[:10])))
    return [Text(figures.visible(about)), *_judged(one, _value(one.untuned)), Text(size)]


def _run(one: Listed, folder: Path) -> Text:
    parent = f"\nfrom {figures.visible(one.parent)}" if one.parent else ""
    return Text.assemble((figures.visible(str(Path(one.run).relative_to(folder))), "bold"), (parent, "dim"))


def _judged(one: Listed, before: Text) -> list[Text]:
    word = one.verdict if one.state == "finished" else one.state
    metric = f"{fill(spelled(one.metric), VERDICT)}\n{counted(one.n, 'row')}" if one.metric else ""
    method = f"{one.method}\n{', '.join(one.variant)}" if one.variant else one.method
    return [
        Text(figures.visible(method)),
        Text(metric),
        before,
        _value(one.tuned),
        Text(fill(word, VERDICT), style=COLOURS.get(word, "")),
    ]


def _value(one: Interval) -> Text:
    if one.value is None:
        return Text("")
    decimals = _decimals(one)
    return Text.assemble(
        (figures.number(one.value, decimals), "bold"), (f"\n{figures.span(one.low, one.high, decimals)}", "dim")
    )


def _decimals(one: Interval) -> int:
    return figures.places(one.value, one.low, one.high)
