"""What a probe found, in sentences and figures for people."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.evaluate.behaviour.answers import Said, judged_by
from luthier.evaluate.behaviour.probe import Probe
from luthier.evaluate.behaviour.rates import Line, Rate
from luthier.evaluate.behaviour.slices import FEWEST
from luthier.report import figures
from luthier.stats import Difference, Interval
from luthier.words import counted, spelled

WEAKEST = 3
"""Perturbations that are named in a sentence."""


def sentences(found: Probe) -> list[str]:
    """The outcome: how often answers change, by what most, what was obeyed, and where tuning made a difference."""
    return [*_overall(found), *_weakest(found), *_directions(found), *_compared(found), *_few(found)]


def failure(found: Probe) -> str:
    """What a failed invariance test did, as a verb with its object."""
    if found.plan.task.kind == "choice":
        return "changed its answer"
    return f"lost more than {figures.percent(found.plan.options.drop)} of the best {_metric(found)}"


def rate(one: Rate | None, decimals: int = 0) -> str:
    """`12 %`, or a dash."""
    return figures.NOTHING if one is None or one.interval is None else figures.percent(one.interval.value, decimals)


def span(one: Interval | None, decimals: int = 0) -> str:
    """`[4, 24]`, in percent."""
    return figures.span(100 * one.low, 100 * one.high, decimals) if one is not None else ""


def points(one: Difference | None, decimals: int = 0) -> tuple[str, str]:
    """`−12` and `[−20, −4]`, in percentage points; both empty where there is none.

    Where the two never differ, no resample does, so that an interval would say too much.
    """
    if one is None:
        return "", ""
    if not one.differing:
        return "0", "none differs"
    return (
        figures.number(100 * one.value, decimals, signed=True),
        figures.span(100 * one.low, 100 * one.high, decimals, signed=True),
    )


def sure(one: Said, *, choice: bool) -> str:
    """How sure a model is: the probability of its label, or of a token of the reference on average."""
    shown = figures.percent(figures.probability(one.logprob))
    return f"{shown} sure" if choice else f"reference {shown} a token"


def _overall(found: Probe) -> list[str]:
    if found.tuned.interval is None:
        return [f"No invariance test could be judged on {counted(len(found.plan.rows), 'row')}."]
    rows = counted(len(found.plan.rows), "row")
    of = f"{found.tuned.n:,} perturbed questions about {rows}"
    said = f"The tuned model {failure(found)} in {_share(found.tuned)} of {of}"
    if found.base is None or found.base.interval is None:
        return [f"{said}."]
    compared = counted(len(found.plan.compared.rows), "row")
    base = f"the base model in {_share(found.base)} of {found.base.n:,} about {compared}"
    return [f"{said}; {base}.", *_whole_difference(found)]


def _whole_difference(found: Probe) -> list[str]:
    one = found.difference
    if one is None:
        return []
    value, around = points(one, 1)
    same = f" on the same {counted(len(found.plan.compared.rows), 'row')}"
    if not one.seen:
        return [f"Whether tuning made it steadier cannot be told (difference {value} points {around}{same})."]
    word = "steadier" if one.value < 0 else "less steady"
    return [f"Tuning made it {word} (difference {value} points {around}{same}, {figures.p_value(one.p)})."]


def _weakest(found: Probe) -> list[str]:
    invariant = [line for line in found.lines if line.perturbation.expects == "same" and line.tuned.count]
    ranked = sorted(invariant, key=lambda line: -_value(line))[:WEAKEST]
    named = "; ".join(f"{line.perturbation.title} ({line.tuned.count} of {line.tuned.n})" for line in ranked)
    return [f"What shakes it most: {named}."] if named else []


def _directions(found: Probe) -> list[str]:
    told: list[str] = []
    for line in found.lines:
        count = f"in {line.tuned.count} of {line.tuned.n} ({rate(line.tuned)} {span(line.tuned.interval)})"
        if line.tuned.n and line.perturbation.expects == "disobedience":
            told.append(f"It obeyed {line.perturbation.title} {count}.")
        if line.tuned.n and line.perturbation.expects == "doubt":
            told.append(f"With {line.perturbation.title} it was no less sure {count}.")
    return told


def _compared(found: Probe) -> list[str]:
    """Where base and tuned surely differ, perturbation by perturbation."""
    found_more = [line.name for line in found.lines if line.seen and _change(line) > 0]
    found_less = [line.name for line in found.lines if line.seen and _change(line) < 0]
    if found.base is None:
        return []
    if not found_more and not found_less:
        return ["No single perturbation shows a sure difference between base and tuned (Holm)."]
    told = [(found_less, "fewer"), (found_more, "more")]
    return [
        f"Surely {word} failures than the base (Holm): {', '.join(map(spelled, names))}."
        for names, word in told
        if names
    ]


def _few(found: Probe) -> list[str]:
    """A warning where intervals over all tests together rest on few rows."""
    asked = {"tuned": found.plan.rows} | ({"base": found.plan.compared.rows} if found.base is not None else {})
    few = [f"{counted(len(rows), 'row')} ({name})" for name, rows in asked.items() if len(rows) < FEWEST]
    if not few:
        return []
    return [f"Intervals over all tests together are too narrow with {' and '.join(few)}; {FEWEST} or more hold."]


def _share(one: Rate) -> str:
    assert one.interval is not None, "only told where there is something to tell"
    return f"{rate(one, 1)} {span(one.interval, 1)}"


def _metric(found: Probe) -> str:
    return spelled(judged_by(found.plan.task))


def _value(line: Line) -> float:
    return line.tuned.interval.value if line.tuned.interval is not None else -1.0


def _change(line: Line) -> float:
    return line.difference.value if line.difference is not None else 0.0


def ranked(lines: Sequence[Line]) -> list[Line]:
    """The most failures first; what could not be judged last."""
    return sorted(lines, key=lambda line: -_value(line))
