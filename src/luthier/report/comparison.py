"""Compared runs as one page: the verdict first, then every pair, curves, what differs in the recipes, cost and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from math import isfinite
from pathlib import Path

import yaml

from luthier.report.axis import Scale, Tick, bounds, ticks
from luthier.report.compared import Compared, Pair, Side
from luthier.report.curves import Chart
from luthier.report.figures import NOTHING, count, duration, energy, memory, number, places, span
from luthier.report.overlay import STYLES, overlaid
from luthier.report.page import environment, placed, policy, readable, static
from luthier.report.records import Interval as Measured
from luthier.report.view import pairs
from luthier.report.whiskers import LEFT, RIGHT, Whisker
from luthier.stats import Difference, rows_needed
from luthier.words import spelled

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
class PairLine:
    """A pair in words."""

    title: str
    """`b minus a`"""
    metric: str
    value: str
    span: str
    p: str
    verdict: str
    tone: str


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row to which the runs did not answer equally well."""

    id: str
    question: str
    reference: tuple[str, ...]
    answers: tuple[tuple[str, str, str, str], ...]
    """(run, style, score, text)"""


@dataclass(frozen=True, slots=True)
class Line:
    """A name with a text for each run."""

    name: str
    values: tuple[str, ...]


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
    word, tone = _word(found)
    rows = _disagreements(found, styles)
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
        pairs=tuple(_told(pair) for pair in found.pairs),
        others=tuple(_told(pair) for pair in found.others),
        charts=overlaid([(side.name, side.run) for side in found.sides], found.primary),
        recipes=differing_settings(found.sides),
        cost=_cost(found.sides),
        course=_course(found.sides),
        told=tuple(line for side in found.sides for line in _own(side)),
        rows=rows[:SHOWN],
        differing=len(rows),
    )


def sentence(found: Compared) -> str:
    """The outcome for people: the headline and its figures."""
    return f"{headline(found)} {detail(found)}"


def headline(found: Compared) -> str:
    """Which run is better, if any is seen to be."""
    ahead = [pair for pair in found.pairs if pair.ahead is not None]
    if not ahead:
        names = " and ".join(side.name for side in found.sides) if len(found.sides) == 2 else "these runs"
        return f"{'The runs differ' if any(p.seen for p in found.pairs) else 'No difference is seen'} between {names}."
    if len(found.sides) == 2:
        return f"{ahead[0].ahead} is better than {_behind(ahead[0])}."
    if (best := _best(found)) is not None:
        return f"{best} is better than every other run."
    behind = {_behind(pair) for pair in ahead}
    leaders = " and ".join(side.name for side in found.sides if side.name not in behind)
    return f"No run is seen to be better than {leaders}."


def detail(found: Compared) -> str:
    """By how much, on how many rows."""
    name = spelled(found.primary)
    rows = f"{name[:1].upper()}{name[1:]} on {len(found.shared):,} shared test rows"
    if len(found.sides) > 2:
        differ = sum(pair.seen for pair in found.pairs)
        return f"{rows}: {differ} of {len(found.pairs)} pairs differ, all tested together."
    (pair,) = found.pairs
    values = found.metrics[found.primary]
    decimals = places(*(one.value for one in values.values()))
    told = " and ".join(f"{run} {number(one.value, decimals)}" for run, one in values.items())
    apart = f"{pair.second} minus {pair.first} is {_figure(pair.difference)}, 95 % interval {_ends(pair.difference)}"
    known = isfinite(pair.difference.low) and not pair.seen
    needed = rows_needed(pair.difference, len(found.shared)) if known else None
    more = "" if needed is None else f" About {needed:,} rows would show a difference of this size."
    return f"{rows}: {told}; {apart}.{more}"


def _word(found: Compared) -> tuple[str, str]:
    ahead = sum(pair.ahead is not None for pair in found.pairs)
    if _best(found) is not None:
        return f"{_best(found)} is ahead", "better"
    return ("they differ", "better") if ahead else ("no difference seen", "unclear")


def _best(found: Compared) -> str | None:
    """The run that is seen to be better than every other."""
    wins = [pair.ahead for pair in found.pairs if pair.ahead is not None]
    return next((name for name in dict.fromkeys(wins) if wins.count(name) == len(found.sides) - 1), None)


def _behind(pair: Pair) -> str:
    return pair.first if pair.ahead == pair.second else pair.second


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


def _told(pair: Pair) -> PairLine:
    verdict = f"{pair.ahead} is better" if pair.ahead else "they differ" if pair.seen else "no difference seen"
    raised = "< 0.001" if pair.p_family < 0.001 else number(pair.p_family, 3)
    return PairLine(
        f"{pair.second} minus {pair.first}",
        spelled(pair.metric),
        _figure(pair.difference),
        _ends(pair.difference),
        raised,
        verdict,
        "better" if pair.ahead else "unclear",
    )


def _figure(found: Difference) -> str:
    return number(found.value, places(found.value, found.low, found.high), signed=True)


def _ends(found: Difference) -> str:
    return span(found.low, found.high, places(found.value, found.low, found.high), signed=True)


def differing_settings(sides: Sequence[Side]) -> tuple[Line, ...]:
    """Settings, files and packages that are not the same in all runs; where a run lacks one it has a dash."""
    columns = [_settings(side) for side in sides]
    known = dict.fromkeys(name for column in columns for name in column)
    lines = [Line(name, tuple(column.get(name, "–") for column in columns)) for name in known]
    return tuple(line for line in lines if len(set(line.values)) > 1)


def _settings(side: Side) -> dict[str, str]:
    recipe = yaml.safe_load(side.run.recipe)
    told = {pair.name: pair.value for pair in pairs(recipe if isinstance(recipe, dict) else {})}
    told.pop("run", None)
    files = {f"{file.role} file, SHA-256": file.sha256[:12] for file in side.run.data.files}
    around = {pair.name: pair.value for pair in pairs(side.run.environment or {})}
    return {**told, **files, **around}


def _cost(sides: Sequence[Side]) -> tuple[Line, ...]:
    reports = [side.run.report for side in sides]
    took = [report.cost.took for report in reports]
    return (
        Line("time", tuple(duration(one.seconds) for one in took)),
        Line("energy", tuple(energy(one.energy_wh) for one in took)),
        Line("peak memory", tuple(memory(one.peak_bytes) for one in took)),
        Line("tokens computed", tuple(count(sum(step.distinct for step in side.run.steps)) for side in sides)),
        Line("steps", tuple(count(report.steps) for report in reports)),
        Line("kept checkpoint's step", tuple(count(report.best_step) for report in reports)),
        Line("weights trained", tuple(count(report.model.trainable) for report in reports)),
    )


def _course(sides: Sequence[Side]) -> tuple[Line, ...]:
    """Nothing of runs that kept no such figures."""
    reports = [side.run.report for side in sides]
    known = [report.validation for report in reports]
    lines = (
        Line("validation rows", tuple(count(one.n if one else None) for one in known)),
        Line("validation loss", tuple(_measured(one.metrics.get("loss") if one else None) for one in known)),
        Line("loss on training rows", tuple(number(one.train.loss if one and one.train else None) for one in known)),
        Line("gap", tuple(_measured(one.gap if one else None) for one in known)),
        Line("evaluations", tuple(count(report.looks.made if report.looks else None) for report in reports)),
    )
    return lines if any(known) else ()


def _measured(one: Measured | None) -> str:
    if one is None:
        return NOTHING
    decimals = places(one.value, one.low, one.high)
    return f"{number(one.value, decimals)} {span(one.low, one.high, decimals)}".strip()


def _own(side: Side) -> list[tuple[str, str, str]]:
    report = side.run.report
    told = [(side.name, "verdict", report.verdict.sentence)]
    if report.forgetting is not None:
        word = "forgot" if report.forgetting.word == "forgot" else "lost nothing seen"
        told.append((side.name, word, report.forgetting.sentence))
    return [*told, *((side.name, one.name, f"{one.sentence} {one.remedy}") for one in report.warnings)]


def _disagreements(found: Compared, styles: Sequence[str]) -> tuple[Disagreement, ...]:
    """The rows whose scores differ, the widest apart first."""
    first = next(iter(found.sides))
    score = _score(first, found.primary, found.shared)
    if score is None:
        return ()
    apart = {name: [side.rows[name].scores.get(score, 0.0) for side in found.sides] for name in found.shared}
    wide = sorted(
        (name for name, each in apart.items() if max(each) > min(each)), key=lambda name: -_range(apart[name])
    )
    return tuple(_disagreement(found.sides, styles, name, apart[name]) for name in wide)


def _range(scores: Sequence[float]) -> float:
    return max(scores) - min(scores)


def _score(side: Side, primary: str, shared: Sequence[str]) -> str | None:
    """The metric that decides, where single rows have it; else the first they have."""
    scores: Mapping[str, float] = side.rows[shared[0]].scores
    return primary if primary in scores else next(iter(scores), None)


def _disagreement(sides: Sequence[Side], styles: Sequence[str], name: str, scores: Sequence[float]) -> Disagreement:
    row = sides[0].rows[name]
    answers = tuple(
        (side.name, style, number(score, 2), side.rows[name].text)
        for side, style, score in zip(sides, styles, scores, strict=True)
    )
    return Disagreement(name, row.question, row.references, answers)
