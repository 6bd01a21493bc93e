"""The page of a search: what it found and whether that held, every trial, which setting mattered, and what it cost.

One HTML file like a run's report, and by the same rules. Not here: searching.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from luthier.report import figures
from luthier.report.axis import Frame, Scale, Tick, bounds, framed, ticks
from luthier.report.page import environment, placed, policy, static

NAME = "search.html"
FRAME = framed(640, 300, left=56, right=16, top=20, bottom=36)
RATE = "train.lr"


@dataclass(frozen=True, slots=True)
class TrialLine:
    """One trial."""

    number: int
    state: Literal["complete", "stopped early", "failed", "running"]
    settings: dict[str, str | int | float | bool | None]
    value: float | None
    """The metric at its best evaluation; of one that was stopped early, at its last."""
    looks: tuple[tuple[int, float], ...]
    """The metric at each evaluation, by its place in the run."""
    seconds: float
    """In steps and evaluations."""
    distinct: int
    """Tokens computed in steps."""
    logical: int
    """Tokens learned from."""
    size: int | None
    """Parameters that learn."""
    reason: str | None
    """Why it did not go to its end, or was not run."""
    own: bool
    """Whether these are the recipe's own settings."""


@dataclass(frozen=True, slots=True)
class Weight:
    """How much of the spread between trials a setting explains."""

    key: str
    share: float


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Winner and recipe on the test rows."""

    rows: int
    seeds: tuple[int, ...]
    recipe: tuple[float, ...]
    """By seed."""
    winner: tuple[float, ...]
    value: float
    """Winner minus recipe."""
    low: float
    high: float
    p: float
    seconds: float
    distinct: int
    read_before: int
    """How often the test rows were read before."""


@dataclass(frozen=True, slots=True)
class SearchFound:
    """All that is told of a search, for pages and for machines."""

    title: str
    word: Literal["better", "nothing better", "worse", "not confirmed", "a choice"]
    """What came of it: `a choice` where several objectives leave a list."""
    sentences: tuple[str, ...]
    metric: str
    higher_is_better: bool
    objectives: tuple[str, ...]
    validation_rows: int
    space: dict[str, str]
    """What was tried, as a recipe says it."""
    trials: tuple[TrialLine, ...]
    winner: int | None
    """Number of the trial that did best."""
    best: tuple[int, ...]
    """Trials that no other beats in every objective; with one objective the winner."""
    importance: tuple[Weight, ...]
    """The largest first; empty where too few trials went to their end."""
    importance_by: str
    """How it was measured."""
    confirmation: Confirmation | None
    seconds: float
    """Of all trials."""
    distinct: int
    logical: int
    full_trials: float
    """How many trials of the recipe's own length the tokens would have paid for."""
    use: str
    """The command that trains as the search found best: with the winner's settings, unless `keep`."""
    keep: bool = False
    """Whether the recipe is better kept as it stands: nothing surely better was found."""

    @property
    def title_of_use(self) -> str:
        """What is to be done with the command."""
        return "Keep the recipe" if self.keep else "Train with it"


@dataclass(frozen=True, slots=True)
class Mark:
    """A trial on the chart of rates, in pixels."""

    x: float
    y: float
    style: Literal["complete", "stopped", "winner", "own"]
    title: str


@dataclass(frozen=True, slots=True)
class RateChart:
    """The metric over the learning rate, which is drawn by orders of magnitude."""

    marks: tuple[Mark, ...]
    rates: tuple[Tick, ...]
    values: tuple[Tick, ...]
    edge: str
    """Outline over the best trial at each rate, as an SVG path."""
    frame: Frame = FRAME


def write(folder: Path, found: SearchFound) -> Path:
    """Writes `search.html` into a folder and returns its path; an older one is replaced whole or not at all."""
    return placed(render(found), folder / NAME)


def render(found: SearchFound) -> str:
    """The HTML of a search."""
    style, script = static("report.css") + static("search.css"), ""
    return (
        environment()
        .get_template("search.html.j2")
        .render(
            found=found,
            headline=found.sentences[0].replace(" %", "\N{NO-BREAK SPACE}%"),
            details=found.sentences[1:],
            tone={"better": "better", "worse": "worse"}.get(found.word, "unclear"),
            facts=facts(found),
            ranked=ranked(found),
            keys=sorted({key for one in found.trials for key in one.settings}, key=_key_order),
            chart=rate_chart(found),
            shown=shown,
            setting=setting,
            duration=figures.duration,
            percent=figures.percent,
            version=version("luthier"),
            style=style,
            script=script,
            policy=policy(style, script),
        )
    )


def facts(found: SearchFound) -> tuple[tuple[str, str, str], ...]:
    """Name, value and note of what stands at the top."""
    states = [one.state for one in found.trials]
    stopped = states.count("stopped early")
    other = [f"{states.count(one)} {one}" for one in ("failed", "running") if one in states]
    won = next((one for one in found.trials if one.number == found.winner), None)
    saved = f"as {found.full_trials:.1f} whole runs of the recipe" if found.full_trials else ""
    return (
        ("trials", f"{len(states):,}", ", ".join([f"{stopped} stopped early", *other])),
        (
            "best on validation",
            shown(won.value if won is not None else None, found.metric),
            f"{found.validation_rows:,} rows; the best of all trials, so it flatters",
        ),
        ("tokens computed", figures.count(found.distinct), saved),
        ("time", figures.duration(found.seconds), "steps and evaluations of the trials"),
    )


def ranked(found: SearchFound) -> tuple[TrialLine, ...]:
    """Every trial: those that went to their end first, each kind by its value."""
    order = {"complete": 0, "stopped early": 1, "running": 2, "failed": 3}
    sign = -1 if found.higher_is_better else 1

    def key(one: TrialLine) -> tuple[int, float, int]:
        return order[one.state], math.inf if one.value is None else sign * one.value, one.number

    return tuple(sorted(found.trials, key=key))


def shown(value: float | None, metric: str) -> str:
    """A metric's value: of one that ends at 1 in percent."""
    if value is None or not math.isfinite(value):
        return figures.NOTHING
    return figures.number(value, 3)


def setting(value: object) -> str:
    """A setting's value for people: `0.00032`, `16`, `none`."""
    return "none" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def rate_chart(found: SearchFound) -> RateChart | None:
    """The chart, or None where the rate was not searched or fewer than two trials have a value."""
    drawn = [one for one in found.trials if _rate(one) is not None and one.value is not None]
    drawn = [one for one in drawn if one.value is not None and math.isfinite(one.value)]
    if len(drawn) < 2:
        return None
    rates = [math.log10(_rate(one) or 1.0) for one in drawn]
    values = [one.value or 0.0 for one in drawn]
    x, y = FRAME.x(*bounds(rates)), FRAME.y(*bounds(values))
    whole = [(rate, value) for rate, value, one in zip(rates, values, drawn, strict=True) if one.state == "complete"]
    return RateChart(
        marks=tuple(_mark(one, x(rate), y(one.value or 0.0), found) for one, rate in zip(drawn, rates, strict=True)),
        rates=_decades(x),
        values=ticks(y),
        edge=_edge(whole, x, y, higher=found.higher_is_better),
    )


def _rate(one: TrialLine) -> float | None:
    rate = one.settings.get(RATE)
    return float(rate) if isinstance(rate, int | float) and rate > 0 else None


def _mark(one: TrialLine, across: float, down: float, found: SearchFound) -> Mark:
    style: Literal["complete", "stopped", "winner", "own"] = "complete" if one.state == "complete" else "stopped"
    if one.own:
        style = "own"
    if one.number == found.winner:
        style = "winner"
    settings = ", ".join(f"{key.partition('.')[2]} {setting(value)}" for key, value in one.settings.items())
    return Mark(across, down, style, f"trial {one.number}: {shown(one.value, found.metric)}; {settings}")


def _decades(x: Scale) -> tuple[Tick, ...]:
    """1, 2 and 5 of each order of magnitude, fewer where there are many."""
    first, last = math.floor(x.low), math.ceil(x.high)
    wanted = (1, 2, 5) if last - first <= 3 else (1,)
    places = [(power, digit) for power in range(first, last + 1) for digit in wanted]
    inside = [(power, digit) for power, digit in places if x.low <= power + math.log10(digit) <= x.high]
    return tuple(Tick(x(power + math.log10(digit)), f"{digit}e{power}") for power, digit in inside)


def _edge(points: Sequence[tuple[float, float]], x: Scale, y: Scale, *, higher: bool) -> str:
    """Through those trials that none with a nearby rate beats: what the rate alone can bring."""
    near = (x.high - x.low) / 24
    best = [
        (rate, value)
        for rate, value in points
        if all(
            value == other or (value > other) == higher
            for there, other in points
            if abs(there - rate) <= near and there != rate
        )
    ]
    line = sorted(dict(best).items())
    return "M" + "L".join(f"{x(rate):g},{y(value):g}" for rate, value in line) if len(line) > 1 else ""


def _key_order(key: str) -> tuple[bool, str]:
    """The learning rate first."""
    return key != RATE, key
