"""The figures as a page: what stands between the two marks in docs/statistics.md; the words around them are written."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stats_agreement import Agreement
from stats_coverage import Coverage
from stats_size import Choice, Size

from luthier.stats import Interval

BEGIN, END = "<!-- measured: begin (written by bench/stats.py) -->", "<!-- measured: end -->"


@dataclass(frozen=True, slots=True)
class Measured:
    """All that was measured."""

    sizes: list[Size]
    ladder: list[Size]
    control: Size
    choices: list[Choice]
    coverages: list[Coverage]
    agreements: list[Agreement]
    command: str
    seconds: float


def write(page: Path, measured: Measured) -> None:
    """Puts the figures between the marks. Raises SystemExit where the page has none."""
    text = page.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: the lines {BEGIN} and {END} are not there, so the figures have no place")
    page.write_text(f"{before}{BEGIN}\n\n" + "\n".join(lines(measured)) + f"\n\n{END}{after}", encoding="utf-8")


def lines(measured: Measured) -> Iterator[str]:
    """The generated part, line by line."""
    yield f"`{measured.command}`: {measured.seconds / 60:.0f} minutes of one core's time. In brackets: 95 % intervals."
    yield "\n### Claims where there is no difference\n"
    yield from _sizes(measured.sizes)
    control = measured.control
    yield f"\nControl: {control.title}, with the rows of {control.groups} groups taken for independent: "
    yield f"{_share(control.claimed)} of {control.n:,} simulations."
    yield "\n### The same with few groups\n"
    yield from _sizes(measured.ladder)
    yield "\n### Which interval: how often each excludes 0 where there is no difference\n"
    yield from _choices(measured.choices)
    yield "\n### Intervals that hold the truth\n"
    yield from _coverages(measured.coverages)
    yield "\n### The same procedures elsewhere\n"
    yield from _agreements(measured.agreements)


def _sizes(sizes: Iterable[Size]) -> Iterator[str]:
    yield "| rows | groups | simulations | verdict claims a difference | interval alone | test alone |"
    yield "|---|---|---|---|---|---|"
    for one in sizes:
        groups = "none" if "without groups" in one.title else str(one.groups)
        alone = f"{100 * one.by_interval:.1f} % | {100 * one.by_test:.1f} %"
        yield f"| {one.title} | {groups} | {one.n:,} | {_share(one.claimed)} | {alone} |"


def _choices(choices: list[Choice]) -> Iterator[str]:
    names = list(choices[0].shares)
    yield f"| rows | groups | simulations | {' | '.join(names)} |"
    yield "|---|---|---|" + "---|" * len(names)
    for one in choices:
        shares = " | ".join(_share(one.shares[name]) for name in names)
        yield f"| {one.title} | {one.groups} | {one.n:,} | {shares} |"


def _coverages(coverages: Iterable[Coverage]) -> Iterator[str]:
    yield "| score | simulations | held the truth | too low | too high | percentile, widened (every fifth) |"
    yield "|---|---|---|---|---|---|"
    for one in coverages:
        other = "" if one.percentile is None else f"{100 * one.percentile:.1f} %"
        sides = f"{100 * one.below:.1f} % | {100 * one.above:.1f} %"
        yield f"| {one.title} | {one.n:,} | {_share(one.held)} | {sides} | {other} |"


def _agreements(agreements: Iterable[Agreement]) -> Iterator[str]:
    yield "| ours | theirs | cases | largest difference |"
    yield "|---|---|---|---|"
    for one in agreements:
        apart = "none but rounding" if one.apart <= 1e-9 else f"{one.apart:.4f}"
        yield f"| {one.ours} | {one.theirs} | {one.cases:,} | {apart} |"


def _share(one: Interval) -> str:
    return f"{100 * one.value:.1f} % [{100 * one.low:.1f}, {100 * one.high:.1f}]"
