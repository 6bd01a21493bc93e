"""A run as its page shows it: everything computed, nothing drawn, no HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from luthier.report.calibration import CalibrationView, calibration_view
from luthier.report.changed import Changes, changes
from luthier.report.curves import Chart, charts
from luthier.report.figures import NOTHING, count, duration, energy, finite, memory, number, places
from luthier.report.folder import Run
from luthier.report.forgetting import ForgettingView, forgetting_view
from luthier.report.glance import Line, best_bar, glance
from luthier.report.ledger import Ledger, ledger, worst_first
from luthier.report.records import Bar, ClassResult, Comparison, Confusion, Interval, Report, Verdict
from luthier.report.whiskers import IntervalPlot, interval_plot
from luthier.types import Issue
from luthier.words import spelled


@dataclass(frozen=True, slots=True)
class Pair:
    """A name with what it is, as text."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """A metric before and after, with the decimals its row is written in."""

    name: str
    comparison: Comparison
    decimals: int
    whole: Interval | None = None
    """The tuned model on every test row, where the base was asked only some."""


@dataclass(frozen=True, slots=True)
class View:
    """What the templates read."""

    run: Run
    report: Report
    sentence: str
    headline: str
    """The sentence up to its figures in brackets."""
    detail: str
    """What follows."""
    judged: MetricRow
    """The metric the run was judged by."""
    plot: IntervalPlot | None
    bar: Bar | None
    """The best simple method, drawn beside."""
    glance: tuple[Line, ...]
    """What to know before scrolling."""
    key_numbers: tuple[Pair, ...]
    charts: tuple[Chart, ...]
    metrics: tuple[MetricRow, ...]
    """Empty where nothing was measured."""
    whole: int
    """Test rows in all, where the base was asked only some; else 0."""
    classes: tuple[ClassResult, ...]
    """Weakest tuned F1 first."""
    confusions: tuple[Confusion, ...]
    tested_classes: int
    """Classes whose change was tested."""
    looked_at: int
    """Validation rows an evaluation during training had; 0 where none was made."""
    calibration: CalibrationView | None
    changes: Changes | None
    forgetting: ForgettingView | None
    ledger: Ledger
    issues: tuple[Issue, ...] | None
    cost: tuple[tuple[str, str, str], ...]
    """What, estimate, took."""
    setup: tuple[Pair, ...]
    """Model and method."""
    environment: tuple[Pair, ...]


def view(run: Run) -> View:
    """Prepares the page of a run."""
    report = run.report
    judged = _judged(report.verdict)
    bar = best_bar(report)
    headline, detail = divided(sentence(report.verdict))
    return View(
        run=run,
        report=report,
        sentence=sentence(report.verdict),
        headline=headline,
        detail=detail,
        judged=judged,
        plot=interval_plot(judged.comparison, bar=None if bar is None else Interval(bar.value, bar.low, bar.high)),
        bar=bar,
        glance=glance(run),
        key_numbers=_key_numbers(run, judged),
        charts=charts(run.steps, run.evaluations, best=report.best_step, judged_by=report.verdict.metric),
        metrics=metric_rows(report),
        whole=_whole(report),
        classes=tuple(sorted(report.classes or (), key=lambda result: result.tuned.f1 or 0.0)),
        confusions=report.confusions or (),
        tested_classes=sum(one.difference.value is not None for one in report.classes or ()),
        looked_at=max((line.n or 0 for line in run.evaluations), default=0),
        calibration=calibration_view(report.calibration),
        changes=changes(run.predictions or (), judged_by=report.verdict.metric),
        forgetting=forgetting_view(report.forgetting),
        ledger=ledger(run.rows),
        issues=None if run.issues is None else worst_first(run.issues),
        cost=_cost(report),
        setup=_setup(report),
        environment=tuple(pairs(run.environment or {})),
    )


def sentence(verdict: Verdict) -> str:
    """The run's own sentence, or one made from the numbers where it has none."""
    if verdict.sentence:
        return verdict.sentence
    decimals = places(verdict.base.value, verdict.tuned.value)
    before, after = (number(each.value, decimals) for each in (verdict.base, verdict.tuned))
    return f"{verdict.word.capitalize()}: {spelled(verdict.metric)} {before} before tuning, {after} after."


def divided(sentence: str) -> tuple[str, str]:
    """A verdict as a headline and its figures: `A is better (by 3). So.` is `A is better.` and `By 3. So.`"""
    head, opened, rest = sentence.partition(" (")
    inside, closed, after = rest.partition(")")
    if not (opened and closed):
        return sentence, ""
    return f"{head}.", f"{inside[:1].upper()}{inside[1:]}{after}"


def metric_rows(report: Report) -> tuple[MetricRow, ...]:
    """Every metric, the one the run was judged by first; that one alone when the report lists none.

    Nothing where nothing was measured: a run without test rows.
    """
    judged = report.verdict.metric
    names = sorted(report.metrics, key=lambda name: name != judged)
    rows = tuple(_metric_row(name, report.metrics[name]) for name in names) or _alone(report.verdict)
    whole = report.tuned_on_all.metrics if _whole(report) else {}
    return tuple(replace(row, whole=whole.get(row.name)) for row in rows)


def _whole(report: Report) -> int:
    return report.tuned_on_all.n if report.tuned_on_all.n > report.verdict.n else 0


def pairs(mapping: Mapping[str, object], prefix: str = "") -> list[Pair]:
    """A nested mapping as flat names and texts: `{"a": {"b": 1}}` is `a.b` with `1`."""
    found: list[Pair] = []
    for name, value in mapping.items():
        if isinstance(value, dict):
            found += pairs(value, f"{prefix}{name}.")
        else:
            found.append(Pair(f"{prefix}{name}", _text(value)))
    return found


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    known = {None: "none", True: "yes", False: "no"}
    return known[value] if value is None or isinstance(value, bool) else str(value)


def _judged(verdict: Verdict) -> MetricRow:
    return _metric_row(verdict.metric, Comparison(verdict.base, verdict.tuned, verdict.difference))


def _alone(verdict: Verdict) -> tuple[MetricRow, ...]:
    return (_judged(verdict),) if finite(verdict.base.value) or finite(verdict.tuned.value) else ()


def _metric_row(name: str, comparison: Comparison) -> MetricRow:
    return MetricRow(name, comparison, places(comparison.base.value, comparison.tuned.value))


def _key_numbers(run: Run, judged: MetricRow) -> tuple[Pair, ...]:
    report, took = run.report, run.report.cost.took
    best = "" if report.best_step is None else f"best at step {count(report.best_step)}"
    if report.averaged:
        best = f"best is the mean of steps {', '.join(map(count, report.averaged))}"
    found = (
        Pair(spelled(judged.name), number(judged.comparison.tuned.value, judged.decimals), _from_base(judged)),
        Pair("test rows", count(report.verdict.n), "the same for both models" if report.verdict.n else ""),
        _learned(run),
        Pair("steps", count(report.steps), f"{best}, stopped early" if report.stopped_early else best),
        Pair("time", duration(took.seconds), report.model.device),
        Pair("energy", energy(took.energy_wh), took.energy_source or ""),
        Pair("sharing D", number(report.speed.sharing, 2), "logical tokens per computed token"),
        Pair("weights trained", count(report.model.trainable), _of_all(report)),
    )
    return tuple(pair for pair in found if pair.value != NOTHING)


def _from_base(judged: MetricRow) -> str:
    return f"base {number(judged.comparison.base.value, judged.decimals)}"


def _learned(run: Run) -> Pair:
    """How many rows were learned from; of a mixture how many examples a pass has, since it draws."""
    made, trained = run.report.mixture, run.data.splits.get("train")
    if not made:
        return Pair("rows trained on", count(trained.rows if trained else None), _passes(run))
    own, *others = made
    drawn, rows = sum(one.drawn for one in others), sum(one.rows for one in others)
    main = f"{own.drawn:,} {'drawn from' if own.drawn > own.rows else 'of'} {own.rows:,} main rows"
    beside = f"{drawn:,} {'drawn from' if drawn > rows else 'of'} {rows:,} others"
    note = f"{main}, {beside}"
    return Pair("examples a pass", count(own.drawn + drawn), f"{note}; {passes}" if (passes := _passes(run)) else note)


def _passes(run: Run) -> str:
    epochs = max((step.epoch for step in run.steps if step.epoch is not None), default=None)
    return "" if epochs is None else _counted_passes(epochs)


def _counted_passes(epochs: float) -> str:
    """`1 pass`, `2.5 passes`."""
    shown = f"{round(epochs, 1):g}"
    return f"{shown} {'pass' if shown == '1' else 'passes'}"


def _of_all(report: Report) -> str:
    trainable, parameters = report.model.trainable, report.model.parameters
    if not trainable or not parameters:
        return ""
    return f"{100 * trainable / parameters:.3g} % of {count(parameters)}"


def _cost(report: Report) -> tuple[tuple[str, str, str], ...]:
    from_estimate, took = report.cost.estimate, report.cost.took
    return (
        ("time", duration(from_estimate.seconds), duration(took.seconds)),
        ("peak memory", memory(from_estimate.peak_bytes), memory(took.peak_bytes)),
        ("energy", energy(from_estimate.energy_wh), energy(took.energy_wh)),
    )


def _setup(report: Report) -> tuple[Pair, ...]:
    model = report.model
    facts = {"model": model.name, "compute": " on ".join(part for part in (model.dtype, model.device) if part)}
    found = [Pair(name, value) for name, value in facts.items() if value]
    if model.shared is not None:
        reason = f" ({model.reason})" if model.reason else ""
        found.append(Pair("prefix sharing", f"{'on' if model.shared else 'off'}{reason}"))
    return (*found, *(replace(pair, name=_METHOD.get(pair.name, pair.name)) for pair in pairs(report.method)))


_METHOD = {"name": "method"}
