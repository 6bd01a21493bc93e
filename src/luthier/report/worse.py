"""What tuning made worse: metrics and classes whose difference was seen although many were looked at."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.metrics import metrics
from luthier.metrics.metric import Better
from luthier.report.records import ClassResult, Interval, Report

LOSSES = ("loss", "perplexity", "bits_per_byte")
"""Measured beside every task's metrics; smaller is better."""
ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Worse:
    """What is seen to be worse, the largest loss first, of how much that was tested."""

    metrics: tuple[tuple[str, Interval], ...]
    """(name, difference)"""
    classes: tuple[ClassResult, ...]
    tested_metrics: int
    """Metrics besides the one that decides."""
    tested_classes: int

    @property
    def found(self) -> bool:
        """Whether there is anything."""
        return bool(self.metrics or self.classes)


def worse(report: Report) -> Worse:
    """The metrics and classes of a run that fell beyond noise, by Holm's correction within each kind."""
    others = {name: one for name, one in report.metrics.items() if name != report.verdict.metric}
    known = {name: one.difference for name, one in others.items() if one.difference.p is not None}
    classes = [one for one in report.classes or () if one.difference.value is not None]
    fell = [name for name in known if seen(known[name], len(known)) and is_loss(name, known[name])]
    lost = [one for one in classes if seen(one.difference, len(classes)) and (one.difference.value or 0.0) < 0]
    return Worse(
        metrics=tuple((name, known[name]) for name in fell),
        classes=tuple(sorted(lost, key=lambda one: one.difference.value or 0.0)),
        tested_metrics=len(known),
        tested_classes=len(classes),
    )


def seen(difference: Interval, claimed: int) -> bool:
    """Whether a difference was seen; a run that did not say so is judged by Bonferroni over what it claimed."""
    if difference.seen is not None:
        return difference.seen
    if difference.low is None or difference.high is None or difference.p is None:
        return False
    return (difference.low > 0 or difference.high < 0) and difference.p * claimed < ALPHA


def is_loss(metric: str, difference: Interval) -> bool:
    """Whether a difference is for the worse; never of a metric of which neither end is good."""
    value, wanted = difference.value or 0.0, better(metric)
    return value < 0 if wanted == "higher" else value > 0 if wanted == "lower" else False


def better(metric: str) -> Better:
    """Which values of a metric are the good ones."""
    if metric in LOSSES:
        return "lower"
    return metrics[metric].better if metric in metrics else "higher"
