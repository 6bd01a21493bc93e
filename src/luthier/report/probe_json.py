"""probe.json and probe.jsonl: what machines read of a probe, every case with both answers of each model."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.evaluate.behaviour.answers import Said, judged_by
from luthier.evaluate.behaviour.cases import wish
from luthier.evaluate.behaviour.judge import Outcome
from luthier.evaluate.behaviour.probe import Probe
from luthier.evaluate.behaviour.rates import Judged, Line, Rate
from luthier.evaluate.behaviour.slices import Cut
from luthier.evaluate.tables import difference_json, interval_json, number
from luthier.stats import Difference
from luthier.types import Json


def as_json(found: Probe, *, name: str, data: str, sentences: Sequence[str], failed: Sequence[str]) -> dict[str, Json]:
    """probe.json: the figures, each with its n and interval."""
    planned = found.plan
    return {
        "run": name,
        "data": data,
        "sentences": list(sentences),
        "failed_gates": list(failed),
        "task": planned.task.kind,
        "judged_by": judged_by(planned.task),
        "rows": len(planned.rows),
        "rows_in_all": planned.of,
        "base_rows": len(planned.compared.rows) if found.base is not None else 0,
        "cases": len(planned.cases),
        "seed": planned.options.seed,
        "drop": planned.options.drop,
        "invariance": {
            "tuned": _rate(found.tuned),
            "base": _rate(found.base),
            "difference": _difference(found.difference),
        },
        "perturbations": {line.name: _line(line) for line in found.lines},
        "slices": [_cut(cut) for cut in found.cuts],
        "unasked": [{"id": row, "perturbation": name or None, "why": why} for row, name, why in planned.unasked],
    }


def case_json(one: Judged, found: Probe) -> dict[str, Json]:
    """A line of probe.jsonl."""
    case, perturbation = one.case, found.plan.perturbations[one.case.name]
    return {
        "id": case.row.id,
        "perturbation": case.name,
        "family": perturbation.family,
        "expects": perturbation.expects,
        "original": wish(case.row),
        "perturbed": wish(case.example),
        "reference": list(case.row.references or (case.row.answer,)),
        "group": case.row.group,
        "bait": case.bait,
        "tuned": _outcome(one.tuned),
        "base": None if one.base is None else _outcome(one.base),
    }


def _line(line: Line) -> dict[str, Json]:
    return {
        "title": line.perturbation.title,
        "family": line.perturbation.family,
        "expects": line.perturbation.expects,
        "rows": line.asked,
        "tuned": _rate(line.tuned),
        "base": _rate(line.base),
        "right_became_wrong": _rate(line.broken),
        "difference": _difference(line.difference),
        "paired": line.paired,
        "p_holm": line.p,
        "seen": line.seen,
    }


def _cut(cut: Cut) -> Json:
    values: list[Json] = [
        {"value": line.value, "rows": line.rows, "tuned": _rate(line.tuned), "base": _rate(line.base)}
        for line in cut.lines
    ]
    few: list[Json] = [{"value": value, "rows": rows} for value, rows in cut.few]
    return {"column": cut.column, "values": values, "too_few_rows": few}


def _rate(rate: Rate | None) -> Json:
    if rate is None:
        return None
    return {"n": rate.n, "failed": rate.count, **(interval_json(rate.interval) if rate.interval else {"value": None})}


def _difference(difference: Difference | None) -> Json:
    return None if difference is None else difference_json(difference)


def _outcome(one: Outcome) -> dict[str, Json]:
    return {"before": _said(one.before), "after": _said(one.after), "failed": one.failed, "broken": one.broken}


def _said(one: Said) -> dict[str, Json]:
    return {"text": one.text, "logprob": number(one.logprob), "score": number(one.score)}
