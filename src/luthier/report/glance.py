"""The first screen below the verdict: what got worse, what was forgotten, the bar, the cost, and what to watch out for.

Each line is a name and a sentence that stands by itself, with n and interval in it.
"""

from __future__ import annotations

from dataclasses import dataclass

from luthier.report.figures import count, duration, energy, number, places, span
from luthier.report.folder import Run
from luthier.report.records import Bar, Interval, Report
from luthier.report.worse import better, worse
from luthier.words import spelled

NAMED = 3
"""Classes named; the table below has them all."""


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to know at once."""

    name: str
    value: str
    note: str = ""
    tone: str = ""
    """`worse` for what is bad, else empty."""


def glance(run: Run) -> tuple[Line, ...]:
    """What a reader should know before scrolling; what was not measured is said to be so."""
    report = run.report
    measured = (got_worse(report), *_others(report), *_forgot(report), *_bar(report)) if report.metrics else ()
    warned = (Line("watch out", one.sentence, tone="worse") for one in report.warnings)
    return (*_goes_on(report), *measured, *_cost(run), *warned, *_reads(report))


def _goes_on(report: Report) -> tuple[Line, ...]:
    """The runs before this one, if any, since `base` then means the nearest of them."""
    if not report.lineage:
        return ()
    chain = [f"{one.run} ({', '.join(one.data)})" if one.data else one.run for one in report.lineage]
    return (Line("goes on from", ", which went on from ".join(chain), "'base' on this page is that run's model"),)


def got_worse(report: Report) -> Line:
    """The metrics and classes that fell beyond noise."""
    found = worse(report)
    kinds = ((found.tested_metrics, "other metrics"), (found.tested_classes, "classes"))
    of = " and ".join(f"{number_of:,} {kind}" for number_of, kind in kinds if number_of)
    note = f"of {of}, corrected for their number; {count(report.verdict.n)} rows" if of else "nothing else was tested"
    if not found.found:
        return Line("got worse", "nothing that these rows show", note)
    said = [f"{spelled(name)} {_signed(difference)}" for name, difference in found.metrics]
    said += [f"{one.label} F1 {_signed(one.difference)}" for one in found.classes[:NAMED]]
    more = len(found.classes) - NAMED
    return Line("got worse", "; ".join(said) + (f"; and {more} more classes" if more > 0 else ""), note, "worse")


def _others(report: Report) -> tuple[Line, ...]:
    """The other tasks of a mixture, each with its verdict."""
    if not report.tasks:
        return ()
    tone = "worse" if any(one.word == "worse" for one in report.tasks) else ""
    return (Line("other tasks", "; ".join(f"{one.name} {one.word}" for one in report.tasks), tone=tone),)


def _forgot(report: Report) -> tuple[Line, ...]:
    found = report.forgetting
    if found is None:
        return (Line("forgot", "not measured"),)
    return (Line("forgot", found.sentence, tone="worse" if found.word == "forgot" else ""),)


def best_bar(report: Report) -> Bar | None:
    """The best simple method on the metric that decides."""
    known = [bar for bar in report.baselines if bar.metric == report.verdict.metric and bar.value is not None]
    return max(known, key=lambda bar: _merit(bar.metric, bar), default=None)


def _merit(metric: str, found: Bar | Interval) -> float:
    """The larger the better, whichever end of the metric is the good one."""
    return -(found.value or 0.0) if better(metric) == "lower" else found.value or 0.0


def _bar(report: Report) -> tuple[Line, ...]:
    bar = best_bar(report)
    if bar is None:
        return ()
    rows = f" on {count(bar.n)} {bar.part} rows".replace("  ", " ") if bar.n else ""
    whole = _on_the_same(report, bar)
    tuned, on = (report.verdict.tuned, count(report.verdict.n)) if whole is None else (whole, "the same")
    return (
        Line(
            "no language model",
            f"{bar.name}: {spelled(bar.metric)} {_plain(Interval(bar.value, bar.low, bar.high))}{rows}",
            f"the tuned model has {_plain(tuned)} on {on} rows",
            "worse" if above(report, bar) else "",
        ),
    )


def above(report: Report, bar: Bar) -> bool:
    """Whether a simple method does better than the tuned model; intervals are not asked."""
    tuned = _on_the_same(report, bar) or report.verdict.tuned
    return _merit(bar.metric, bar) > _merit(bar.metric, tuned)


def _on_the_same(report: Report, bar: Bar) -> Interval | None:
    """The tuned model's value on the rows that the simple method was asked, where all of them are known."""
    same = bar.part == "test" and report.tuned_on_all.n == bar.n
    return report.tuned_on_all.metrics.get(bar.metric) if same else None


def _cost(run: Run) -> tuple[Line, ...]:
    took = run.report.cost.took
    if took.seconds is None:
        return ()
    source = {"assumed": " (assumed)", None: ""}.get(took.energy_source, f" ({took.energy_source})")
    distinct = sum(step.distinct for step in run.steps)
    tokens = f"{count(distinct)} tokens computed for {count(sum(step.logical for step in run.steps))} read"
    parts = [duration(took.seconds), f"{energy(took.energy_wh)}{source}" if took.energy_wh is not None else ""]
    return (Line("cost", ", ".join(part for part in parts if part), tokens if distinct else ""),)


def _reads(report: Report) -> tuple[Line, ...]:
    """How often the test rows were read before, if they were."""
    known = report.reads is not None and report.reads.before
    return (Line("test rows", report.reads.sentence),) if known and report.reads is not None else ()


def _plain(interval: Interval) -> str:
    decimals = places(interval.value, interval.low, interval.high)
    return f"{number(interval.value, decimals)} {span(interval.low, interval.high, decimals)}".strip()


def _signed(interval: Interval) -> str:
    decimals = places(interval.value, interval.low, interval.high)
    ends = span(interval.low, interval.high, decimals, signed=True)
    return f"{number(interval.value, decimals, signed=True)} {ends}".strip()
