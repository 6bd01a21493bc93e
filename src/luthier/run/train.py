"""Carries a recipe out: base before, training, tuned after, and the run folder that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from luthier.data.ledger import write_ledger
from luthier.errors import RunError
from luthier.evaluate import Evaluation, evaluate, evaluation, lower_is_better, read_predictions, write_predictions
from luthier.methods import restore, save, switched_off
from luthier.recipe import Recipe, to_yaml
from luthier.report import write as write_report
from luthier.run.assistant import recipe_of
from luthier.run.environment import environment
from luthier.run.estimate import Expected, expect
from luthier.run.outcome import report
from luthier.run.prepare import PARTS, Prepared, prepare
from luthier.run.show import Show
from luthier.train.log import Progress, StepRecord
from luthier.train.loop import TrainResult, fit
from luthier.train.meter import Meter
from luthier.train.options import Hooks
from luthier.types import Example, Json

LOOK_RESAMPLES = 20
"""Resamples of an evaluation during training, which reads the values and not their intervals."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    folder: Path
    result: TrainResult
    report: Mapping[str, Json] | None
    """What report.json holds; None for a run that was interrupted."""


def train(recipe: Recipe, *, show: Show | None = None) -> Outcome:
    """A new run. Raises RunError if its folder already holds one."""
    folder = Path(recipe.run)
    if (folder / "recipe.yaml").exists():
        raise RunError(
            f"{folder}: already holds a run; go on with `luthier train --resume {folder}`, or name another with --run"
        )
    return _carry_out(recipe, folder, show or Show(), resumed=False)


def resume(folder: Path, *, show: Show | None = None) -> Outcome:
    """Goes on with an interrupted run as if nobody had stopped it. Raises RunError if there is none."""
    return _carry_out(recipe_of(folder), folder, show or Show(), resumed=True)


def _carry_out(recipe: Recipe, folder: Path, show: Show, *, resumed: bool) -> Outcome:
    prepared = prepare(recipe, show)
    _write_beginning(prepared, folder)
    recipe.method.attach(prepared.model.network, dtype=prepared.model.dtype, seed=recipe.train.seed)
    expected = expect(prepared)
    show.say(expected.told())
    meter = Meter(prepared.model.device).start()
    base = _base(prepared, folder, show)
    with show.training() as progress:
        result = fit(
            prepared.model,
            prepared.sequences,
            recipe.objective,
            recipe.train,
            folder=folder,
            hooks=_hooks(prepared, progress, meter),
            resume=resumed,
            default_lr=recipe.method.usual_lr(prepared.model.network),
        )
    if result.interrupted:
        show.say(
            f"stopped and saved after step {result.steps} of {result.planned}; go on: luthier train --resume {folder}"
        )
        return Outcome(folder, result, None)
    return Outcome(folder, result, _finish(prepared, folder, base, result, expected, meter, show))


def _base(prepared: Prepared, folder: Path, show: Show) -> Evaluation | None:
    """The model before tuning on the test rows: measured once, and kept for a resumed run."""
    kept, options = folder / "base.jsonl", prepared.recipe.evaluate
    if not prepared.asked:
        return None
    if kept.exists():
        rows, _ = read_predictions(kept)
        return evaluation(rows, prepared.task, resamples=options.resamples, seed=options.seed)
    if not prepared.recipe.method.removable and (folder / "last").exists():
        return None
    removed = switched_off(prepared.model.network) if prepared.recipe.method.removable else nullcontext()
    with removed:
        found = _evaluated(prepared, prepared.compared, "before tuning", show)
    write_predictions(kept, found.rows)
    return found


def _evaluated(prepared: Prepared, rows: Sequence[Example], title: str, show: Show) -> Evaluation:
    options = prepared.recipe.evaluate
    found = evaluate(
        prepared.model,
        rows,
        prepared.task,
        budget=options.token_budget,
        resamples=options.resamples,
        seed=options.seed,
        progress=lambda stage, done, total: show.stage(f"{title}: {stage}", done, total),
    )
    show.rest()
    return found


def _hooks(prepared: Prepared, progress: Progress, meter: Meter) -> Hooks:
    recipe, model = prepared.recipe, prepared.model
    watched = prepared.watched

    def judged(step: int) -> dict[str, float]:
        found = evaluate(model, watched, prepared.task, budget=recipe.evaluate.token_budget, resamples=LOOK_RESAMPLES)
        return {name: interval.value for name, interval in found.metrics.items()}

    def stepped(record: StepRecord) -> None:
        progress.step(record)
        meter.sample()

    def saved(folder: Path) -> None:
        save(model.network, recipe.method, folder)
        model.tokenizer.save_pretrained(str(folder))

    return Hooks(
        save_weights=saved,
        restore_weights=lambda folder: restore(model.network, folder),
        evaluate=judged if watched else None,
        metric=prepared.task.primary,
        higher_is_better=not lower_is_better(prepared.task.primary),
        rows=len(watched),
        step=stepped,
        evaluated=progress.evaluation,
        say=progress.say,
    )


def _finish(
    prepared: Prepared,
    folder: Path,
    base: Evaluation | None,
    result: TrainResult,
    expected: Expected,
    meter: Meter,
    show: Show,
) -> dict[str, Json]:
    """The best checkpoint judged beside the base, and the report."""
    best = folder / ("best" if (folder / "best").exists() else "last")
    restore(prepared.model.network, best)
    tuned = _evaluated(prepared, prepared.asked, "after tuning", show) if prepared.asked else None
    if tuned is not None:
        write_predictions(folder / "predictions.jsonl", tuned.rows, None if base is None else base.rows)
    made = report(prepared, folder, base, tuned, result, expected, meter.read())
    _write_json(folder / "report.json", made)
    write_report(folder)
    return made


def _write_beginning(prepared: Prepared, folder: Path) -> None:
    """What is known before the first step."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "recipe.yaml").write_text(to_yaml(prepared.recipe), encoding="utf-8")
    _write_json(folder / "environment.json", environment())
    write_ledger(folder / "rows.jsonl", prepared.rows)
    issues = "".join(json.dumps(asdict(issue), ensure_ascii=False) + "\n" for issue in prepared.issues)
    (folder / "issues.jsonl").write_text(issues, encoding="utf-8")
    files: list[Json] = [{"role": role, **asdict(facts)} for role, facts in prepared.files.items()]
    splits: dict[str, Json] = {part: {"rows": len(prepared.splits[part])} for part in PARTS}
    labels: Json = list(prepared.task.labels) or None
    _write_json(folder / "data.json", {"files": files, "splits": splits, "labels": labels})


def _write_json(path: Path, value: Mapping[str, Json]) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(value, ensure_ascii=False, indent=1), encoding="utf-8")
    draft.replace(path)
