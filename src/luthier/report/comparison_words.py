"""Compared runs in words: which is better, by how much, on how many rows, and each pair."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from luthier.report.compared import Compared, Pair
from luthier.report.figures import number, places, span
from luthier.stats import Difference, rows_needed
from luthier.words import spelled


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


def mark(found: Compared) -> tuple[str, str]:
    """The headline as a mark, and its tone."""
    ahead = sum(pair.ahead is not None for pair in found.pairs)
    if _best(found) is not None:
        return f"{_best(found)} is ahead", "better"
    return ("they differ", "better") if ahead else ("no difference seen", "unclear")


def pair_line(pair: Pair) -> PairLine:
    """A pair by one metric, as its line is read."""
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


def _best(found: Compared) -> str | None:
    """The run that is seen to be better than every other."""
    wins = [pair.ahead for pair in found.pairs if pair.ahead is not None]
    return next((name for name in dict.fromkeys(wins) if wins.count(name) == len(found.sides) - 1), None)


def _behind(pair: Pair) -> str:
    return pair.first if pair.ahead == pair.second else pair.second


def _figure(found: Difference) -> str:
    return number(found.value, places(found.value, found.low, found.high), signed=True)


def _ends(found: Difference) -> str:
    return span(found.low, found.high, places(found.value, found.low, found.high), signed=True)
