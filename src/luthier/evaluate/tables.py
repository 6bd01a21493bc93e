"""The pieces of `report.json` that evaluation knows: verdict, metrics, classes, confusions, task."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from math import isfinite

from luthier.evaluate.measure import Evaluation
from luthier.evaluate.task import Task
from luthier.evaluate.verdict import Verdict, class_differences, differences
from luthier.metrics import ClassScore, classes, confusions
from luthier.stats import Difference, Interval, family
from luthier.types import Json

MOST_CONFUSIONS = 100


def verdict_json(verdict: Verdict) -> dict[str, Json]:
    """`verdict` of report.json."""
    return {
        "word": verdict.word,
        "metric": verdict.metric,
        "base": interval_json(verdict.base),
        "tuned": interval_json(verdict.tuned),
        "difference": difference_json(verdict.difference),
        "n": verdict.n,
        "rows_needed": verdict.rows_needed,
        "sentence": verdict.sentence,
    }


def task_json(task: Task, evaluation: Evaluation | None = None) -> dict[str, Json]:
    """`task` of report.json, with the signatures of what was measured."""
    return {
        "kind": task.kind,
        "labels": list(task.labels) or None,
        "metrics": list(task.metrics),
        "primary": task.primary,
        "max_new_tokens": task.max_new_tokens,
        "out_of_scope": task.out_of_scope,
        "headed": task.headed,
        "signatures": dict(evaluation.signatures) if evaluation is not None else {},
    }


def metrics_json(base: Evaluation, tuned: Evaluation) -> dict[str, Json]:
    """`metrics` of report.json: base, tuned and their paired difference, by metric, the primary one first.

    The primary one was chosen beforehand and stands by itself; all others are one family.
    """
    found = differences(base, tuned)
    primary = tuned.task.primary
    claims = {primary: difference_json(found[primary])} | _family({n: d for n, d in found.items() if n != primary})
    return {
        name: {
            "base": interval_json(base.metrics[name]),
            "tuned": interval_json(tuned.metrics[name]),
            "difference": claims[name],
        }
        for name in tuned.metrics
    }


def classes_json(base: Evaluation, tuned: Evaluation) -> list[Json] | None:
    """`classes` of report.json: precision, recall and F1 of each label, and the difference in F1, one family together.

    None unless the task is a choice.
    """
    if tuned.task.kind != "choice":
        return None
    claims = _family(class_differences(base, tuned))
    return [
        {
            "label": one.label,
            "support": one.support,
            "base": _class_json(one),
            "tuned": _class_json(other),
            "difference": claims[one.label],
        }
        for one, other in zip(_classes(base), _classes(tuned), strict=True)
    ]


def confusions_json(base: Evaluation, tuned: Evaluation) -> list[Json] | None:
    """`confusions` of report.json: the tuned model's most frequent mistakes, then those only the base made.

    At most MOST_CONFUSIONS; None unless the task is a choice.
    """
    if tuned.task.kind != "choice":
        return None
    before = {(one.gold, one.predicted): one.count for one in confusions(*_columns(base))}
    after = {(one.gold, one.predicted): one.count for one in confusions(*_columns(tuned))}
    pairs = sorted({*before, *after}, key=lambda pair: (-after.get(pair, 0), -before.get(pair, 0), pair))
    return [
        {
            "gold": gold,
            "predicted": said,
            "count": after.get((gold, said), 0),
            "base_count": before.get((gold, said), 0),
        }
        for gold, said in pairs[:MOST_CONFUSIONS]
    ]


def interval_json(interval: Interval) -> dict[str, Json]:
    """value, low, high; a number that is not finite becomes null."""
    return {name: number(value) for name, value in asdict(interval).items()}


def difference_json(difference: Difference, p_family: float | None = None) -> dict[str, Json]:
    """value, low, high, p, what p becomes in the family it was claimed in, and whether a difference was seen.

    p_family: p itself for a difference that stands alone. A number that is not finite becomes null.
    """
    raised = difference.p if p_family is None else p_family
    figures = {name: number(getattr(difference, name)) for name in ("value", "low", "high", "p")}
    return {**figures, "p_family": number(raised), "seen": difference.seen_at(raised)}


def _family(found: Mapping[str, Difference]) -> dict[str, dict[str, Json]]:
    """Differences that are claimed at once (Holm)."""
    raised = family(found)
    return {name: difference_json(one, raised[name]) for name, one in found.items()}


def number(value: float) -> float | None:
    """The value, or None where JSON has no word for it."""
    return value if isfinite(value) else None


def _columns(evaluation: Evaluation) -> tuple[list[str], list[str]]:
    return [row.text for row in evaluation.rows], [row.references[0] for row in evaluation.rows]


def _classes(evaluation: Evaluation) -> tuple[ClassScore, ...]:
    return classes(*_columns(evaluation))


def _class_json(one: ClassScore) -> dict[str, Json]:
    return {"precision": one.precision, "recall": one.recall, "f1": one.f1}
