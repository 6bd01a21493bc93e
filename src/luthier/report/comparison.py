"""Compared runs as one page: the verdict first, then every pair, curves, what differs in the recipes, cost and rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from luthier.report.axis import Scale, Tick, bounds, ticks
from luthier.report.compared import Compared
from luthier.report.comparison_columns import Line, cost, course, differing_settings, own_words
from luthier.report.comparison_rows import Disagreement, disagreements
from luthier.report.comparison_words import PairLine, detail, headline, mark, pair_line
from luthier.report.curves import Chart
from luthier.report.figures import number, places, span
from luthier.report.overlay import STYLES, overlaid
from luthier.report.page import environment, placed, policy, readable, static
from luthier.report.whiskers import LEFT, RIGHT, Whisker

SHOWN = 12
"""Rows shown on which the runs differ."""


@dataclass(frozen=True, slots=True)
class Arm:
    """A run's value of the deciding metric, drawn."""

    name: str
    style: str
    whisker: Whisker
    figures: str
    span: str


@dataclass(frozen=True, slots=True)
class ComparisonView:
    """What the template reads."""

    compared: Compared
    word: str
    tone: str
    headline: str
    detail: str
    names: tuple[str, ...]
    styles: tuple[str, ...]
    arms: tuple[Arm, ...]
    values: tuple[Tick, ...]
    pairs: tuple[PairLine, ...]
    others: tuple[PairLine, ...]
    charts: tuple[Chart, ...]
    recipes: tuple[Line, ...]
    """Settings that are not the same in all runs."""
    cost: tuple[Line, ...]
    course: tuple[Line, ...]
    """All validation rows by the checkpoint that was kept, and how often the run looked."""
    told: tuple[tuple[str, str, str], ...]
    """(run, what, sentence): each run's own verdict, warnings, and what it forgot."""
    rows: tuple[Disagreement, ...]
    differing: int
    """Rows to which the runs did not answer equally well."""


def write(found: Compared, target: Path) -> Path:
    """Writes the page; an older one is replaced whole or not at all."""
    style, script = static("report.css") + static("compare.css"), static("report.js")
    seen = view(found)
    return placed(
        environment()
        .get_template("compare.html.j2")
        .render(
            view=seen,
            found=found,
            version=version("luthier"),
            style=style,
            script=script,
            policy=policy(style, script),
            chart_data=[readable(chart) for chart in seen.charts],
        ),
        target,
    )


def view(found: Compared) -> ComparisonView:
    """Prepares the page."""
    styles = tuple(f"run-{at % STYLES}" for at in range(len(found.sides)))
    arms, values = _arms(found, styles)
    word, tone = mark(found)
    rows = disagreements(found, styles)
    return ComparisonView(
        compared=found,
        word=word,
        tone=tone,
        headline=headline(found),
        detail=detail(found),
        names=tuple(side.name for side in found.sides),
        styles=styles,
        arms=arms,
        values=values,
        pairs=tuple(pair_line(pair) for pair in found.pairs),
        others=tuple(pair_line(pair) for pair in found.others),
        charts=overlaid([(side.name, side.run) for side in found.sides], found.primary),
        recipes=differing_settings(found.sides),
        cost=cost(found.sides),
        course=course(found.sides),
        told=tuple(line for side in found.sides for line in own_words(side)),
        rows=rows[:SHOWN],
        differing=len(rows),
    )


def _arms(found: Compared, styles: Sequence[str]) -> tuple[tuple[Arm, ...], tuple[Tick, ...]]:
    values = found.metrics[found.primary]
    scale = Scale(*bounds([end for one in values.values() for end in (one.low, one.value, one.high)]), LEFT, RIGHT)
    decimals = places(*(one.value for one in values.values()))
    arms = tuple(
        Arm(
            name,
            style,
            Whisker(scale(one.value), scale(one.low), scale(one.high)),
            number(one.value, decimals),
            span(one.low, one.high, decimals),
        )
        for (name, one), style in zip(values.items(), styles, strict=True)
    )
    return arms, ticks(scale)
