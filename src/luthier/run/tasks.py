"""The other tasks of a mixture judged: the base before the first step, the tuned model after the last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from luthier.evaluate import Evaluation, compare, evaluation, read_predictions, verdict_json, write_predictions
from luthier.evaluate.verdict import Verdict
from luthier.model.load import Model
from luthier.run.assess import judge
from luthier.run.forget import base_of
from luthier.run.mixed import Mixed
from luthier.run.prepare import Prepared
from luthier.run.show import Show
from luthier.stats import family
from luthier.types import Json

FOLDER = "tasks"
"""In a run folder: `task-N.jsonl`, base beside tuned; until then `base-N.jsonl`."""
NOT_ASKED: dict[str, Json] = {"word": "not asked", "n": 0, "sentence": "It has no test rows, so nothing is claimed."}


def before_mixed(prepared: Prepared, folder: Path, show: Show) -> tuple[Evaluation | None, ...]:
    """The untuned model on each task's test rows, or what a run that goes on had found; None where there are none."""
    found: list[Evaluation | None] = []
    for at, one in enumerate(prepared.mixed, start=1):
        file = folder / FOLDER / f"base-{at}.jsonl"
        if file.exists():
            options = prepared.recipe.evaluate
            rows, _ = read_predictions(file)
            found.append(evaluation(rows, one.task, resamples=options.resamples, seed=options.seed))
            continue
        with base_of(prepared, trained=(folder / "last").exists()) as model:
            came = _judged(prepared, model, one, "before tuning", show)
        if came is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_predictions(file, came.rows)
        found.append(came)
    return tuple(found)


def after_mixed(
    prepared: Prepared, folder: Path, base: Sequence[Evaluation | None], show: Show
) -> list[dict[str, Json]]:
    """The tuned model on each task's test rows: `tasks` of report.json, and the lines it rests on."""
    tuned = [_judged(prepared, prepared.model, one, "after tuning", show) for one in prepared.mixed]
    for at, (before, after) in enumerate(zip(base, tuned, strict=True), start=1):
        if before is not None and after is not None:
            write_predictions(folder / FOLDER / f"task-{at}.jsonl", after.rows, before.rows)
            (folder / FOLDER / f"base-{at}.jsonl").unlink(missing_ok=True)
    return _tasks_json(prepared, base, tuned)


def _judged(prepared: Prepared, model: Model, one: Mixed, when: str, show: Show) -> Evaluation | None:
    if not one.asked:
        return None
    return judge(model, one.asked, one.task, prepared.recipe.evaluate, f"{one.name}, {when}", show)


def _tasks_json(
    prepared: Prepared, base: Sequence[Evaluation | None], tuned: Sequence[Evaluation | None]
) -> list[dict[str, Json]]:
    """For each other task what was learned of it, and its verdict; all claims are one family, and p-values Holm's."""
    pairs = dict(zip((one.name for one in prepared.mixed), zip(base, tuned, strict=True), strict=True))
    verdicts = {
        name: compare(before, after)
        for name, (before, after) in pairs.items()
        if before is not None and after is not None
    }
    raised = family({name: one.difference for name, one in verdicts.items()})
    made = prepared.mixture
    drawn_of = dict(zip(made.names[1:], made.drawn[1:], strict=True)) if made is not None else {}
    found: list[dict[str, Json]] = []
    for one in prepared.mixed:
        facts: dict[str, Json] = {
            "name": one.name,
            "kind": one.task.kind,
            "learned": one.examples,
            "drawn": drawn_of[one.name],
        }
        found.append(facts | (_claimed(verdicts[one.name], raised[one.name]) if one.name in verdicts else NOT_ASKED))
    return found


def _claimed(verdict: Verdict, p: float) -> dict[str, Json]:
    """A verdict with its place in the family: what is seen by itself may not be among many."""
    told = verdict_json(verdict) | {"p_holm": p}
    if verdict.difference.seen and not verdict.difference.seen_at(p):
        why = f"Not enough rows to tell among several tasks (p = {p:.3f} after Holm's correction). Alone: "
        return told | {"word": "not enough rows to tell", "sentence": f"{why}{verdict.sentence}"}
    return told
