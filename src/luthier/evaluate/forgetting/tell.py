"""What was found of a model's forgetting, in plain words and as the `forgetting` of report.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from luthier.evaluate.forgetting.compare import Measure
from luthier.evaluate.tables import difference_json, interval_json
from luthier.metrics import metrics
from luthier.types import Json
from luthier.words import spelled


def told(measure: Measure, max_drop: float | None = None) -> str:
    """One measure in a sentence: what it was, what it is, how sure, and what that means."""
    title = measure.name[:1].upper() + measure.name[1:]
    if measure.difference is None:
        low, high = (f"{end:.3f}" for end in (measure.tuned.low, measure.tuned.high))
        return f"{title}: {measure.tuned.value:.3f} nats a token [{low}, {high}], {measure.n} {measure.of}."
    return f"{title}: {_figures(measure)}: {_meaning(measure, max_drop)}."


def summed(measures: Sequence[Measure], max_drop: float | None = None) -> str:
    """All measures in one sentence, what was lost first."""
    lost = [one for one in measures if one.word == "lost"]
    over = [one.name for one in measures if one.over(max_drop)]
    budget = "" if max_drop is None else f" The budget of {_points(max_drop)} points is kept."
    if over:
        budget = f" The budget of {_points(max_drop or 0)} points is overdrawn by {' and '.join(over)}."
    if lost:
        return "It forgot: " + "; ".join(f"{one.name} {_figures(one)}" for one in lost) + "." + budget
    asked = [one for one in measures if one.kind in ("probe", "file")] or [m for m in measures if m.kind == "text"]
    if not asked:
        return "Nothing was measured of what it forgot: the model's context holds none of the texts."
    return "No loss seen: " + "; ".join(f"{one.name} {_figures(one)}" for one in asked) + "." + budget


def as_json(
    measures: Sequence[Measure], kinds: Mapping[str, tuple[int, int, int]], max_drop: float | None, *, seconds: float
) -> dict[str, Json]:
    """`forgetting` of report.json. `over` names what a recipe's budget did not allow; a run with one fails."""
    return {
        "sentence": summed(measures, max_drop),
        "word": "forgot" if any(one.word == "lost" for one in measures) else "no loss seen",
        "max_drop": max_drop,
        "over": [one.name for one in measures if one.over(max_drop)],
        "seconds": seconds,
        "measures": [_json(one, max_drop) for one in measures],
        "kinds": [{"kind": kind, "n": n, "base": base, "tuned": tuned} for kind, (n, base, tuned) in kinds.items()],
    }


def _json(measure: Measure, max_drop: float | None) -> dict[str, Json]:
    return {
        "name": measure.name,
        "kind": measure.kind,
        "metric": measure.metric,
        "n": measure.n,
        "of": measure.of,
        "base": interval_json(measure.base),
        "tuned": interval_json(measure.tuned),
        "difference": None if measure.difference is None else difference_json(measure.difference, measure.p_family),
        "drop": measure.drop,
        "word": None if measure.difference is None else measure.word,
        "sentence": told(measure, max_drop),
    }


def _figures(measure: Measure) -> str:
    """`41.0 % right before, 38.0 % after (-3.0 points [-6.0, +0.5], 200 questions)`."""
    found = measure.difference
    assert found is not None, f"{measure.name} has no difference"
    before, after = measure.base.value, measure.tuned.value
    rows = f"{measure.n:,} {measure.of}"
    if (found.low > 0 or found.high < 0) and not measure.seen:  # the interval alone would say that it is seen
        rows = f"p = {measure.p:.3f}{'' if measure.p_family is None else ' among all measures'}, {rows}"
    if _is_share(measure):
        ends = f"{100 * found.value:+.1f} points [{100 * found.low:+.1f}, {100 * found.high:+.1f}]"
        unit = "right" if measure.kind == "probe" else spelled(measure.metric)
        return f"{100 * before:.1f} % {unit} before, {100 * after:.1f} % after ({ends}, {rows})"
    ends = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
    return f"{before:.3f} {spelled(measure.metric)} before, {after:.3f} after ({ends}, {rows})"


def _meaning(measure: Measure, max_drop: float | None) -> str:
    if measure.over(max_drop):
        return f"it forgot, more than the {_points(max_drop or 0)} points allowed"
    if measure.word != "no loss seen":
        return {"lost": "it forgot", "gained": "better than before"}[measure.word]
    return "no loss worth a word" if measure.seen else "no loss seen"


def _is_share(measure: Measure) -> bool:
    return measure.metric in metrics and metrics[measure.metric].top == 1


def _points(share: float) -> str:
    return f"{100 * share:g}"
