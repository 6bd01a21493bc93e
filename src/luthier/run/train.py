"""Carries a recipe out: base before, training, tuned after, and the run folder that says so."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from luthier.errors import RunError
from luthier.evaluate import Evaluation, evaluation, read_predictions, write_predictions
from luthier.methods import restore, switched_off
from luthier.model.load import Model
from luthier.recipe import Recipe
from luthier.report import write as write_report
from luthier.run import forget, tasks, trunk
from luthier.run.assess import judge
from luthier.run.assistant import recipe_of
from luthier.run.course import course
from luthier.run.estimate import Expected
from luthier.run.files import write_json
from luthier.run.folder import Spent, same_data, write_beginning
from luthier.run.foretold import Foretold
from luthier.run.lineage import end_lineage, lineage_json
from luthier.run.looks import looked
from luthier.run.outcome import report
from luthier.run.parent import comes_off
from luthier.run.prepare import Prepared, attach, prepare
from luthier.run.show import Show
from luthier.run.steps import fitted, hooks, verified
from luthier.run.visible import foreseen, told_visible
from luthier.run.watch import validated, validation_json
from luthier.train.log import Progress, StepRecord
from luthier.train.meter import Meter
from luthier.train.options import Hooks
from luthier.train.result import TrainResult
from luthier.types import Example, Json


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    folder: Path
    result: TrainResult | None
    """None for a run that was finished before."""
    report: Mapping[str, Json] | None
    """What report.json holds; None for a run that was interrupted."""

    @property
    def failed(self) -> str | None:
        """Why a finished run did not pass what its recipe demands of it; None where it did."""
        return None if self.report is None else forget.overdrawn(self.report)


def train(recipe: Recipe, *, show: Show | None = None, model: Model | None = None) -> Outcome:
    """A new run. Raises RunError if its folder already holds one, or cannot be made.

    model: the recipe's, where it is open already; what the run attaches to it stays on it.
    """
    folder = Path(recipe.run)
    free(folder)
    show = show or Show()
    return _carry_out(prepare(recipe, show, model=model), folder, show, resumed=False)


def resume(folder: Path, *, show: Show | None = None) -> Outcome:
    """Goes on with an interrupted run as if nobody had stopped it; a finished one is left as it is.

    Raises RunError if there is none, or if its data has changed.
    """
    show = show or Show()
    recipe = recipe_of(folder)
    if (folder / "report.json").exists():
        show.say(f"{folder} is finished; `luthier evaluate {folder}` judges it on other rows")
        return Outcome(folder, None, json.loads((folder / "report.json").read_text(encoding="utf-8")))
    prepared = prepare(recipe, show, folder=folder)
    same_data(folder, prepared.files)
    return _carry_out(prepared, folder, show, resumed=True)


def _carry_out(prepared: Prepared, folder: Path, show: Show, *, resumed: bool) -> Outcome:
    attach(prepared, show)
    foretold = Foretold(prepared, show.say)
    show.say(told_visible(prepared, foreseen(prepared)))
    if said := trunk.kept(prepared.model, prepared.recipe):
        show.say(said)
    if not resumed:
        proof = verified(prepared, show)
        write_beginning(prepared, folder)
        if proof is not None:
            write_json(folder / "verified.json", proof)
    spent = Spent(folder, Meter(prepared.model.device).start())
    base = _base(prepared, folder, show)
    could = forget.before(prepared, folder, show)
    others = tasks.before_mixed(prepared, folder, show)
    with show.training() as progress:
        result = fitted(prepared, folder, _hooks(prepared, progress, spent, foretold), resumed=resumed)
    if said := trunk.saved(prepared.model):
        show.say(said)
    if result.stopped_early:
        show.say(
            f"stopped early at step {result.steps} of {result.planned}: no validation better since step "
            f"{result.best_step}, which is the one that is judged"
        )
    if result.interrupted:
        show.say(
            f"stopped and saved after step {result.steps} of {result.planned}; go on: luthier train --resume {folder}"
        )
        return Outcome(folder, result, None)
    return Outcome(
        folder, result, _finish(prepared, folder, base, could, others, result, foretold.expected, spent, show)
    )


def _base(prepared: Prepared, folder: Path, show: Show) -> Evaluation | None:
    """The model before tuning on the test rows: measured once, and kept for a resumed run."""
    kept, options = folder / "base.jsonl", prepared.recipe.evaluate
    if not prepared.asked:
        return None
    if kept.exists():
        rows, _ = read_predictions(kept)
        return evaluation(rows, prepared.task, resamples=options.resamples, seed=options.seed)
    if not comes_off(prepared.recipe) and (folder / "last").exists():
        return None
    with nullcontext() if prepared.recipe.parent else switched_off(prepared.model.network):
        found = _evaluated(prepared, prepared.compared, "before tuning", show)
    write_predictions(kept, found.rows)
    return found


def _evaluated(prepared: Prepared, rows: Sequence[Example], title: str, show: Show) -> Evaluation:
    return judge(prepared.model, rows, prepared.task, prepared.recipe.evaluate, title, show)


def _hooks(prepared: Prepared, progress: Progress, spent: Spent, foretold: Foretold) -> Hooks:
    def stepped(record: StepRecord) -> None:
        foretold.step(record, spent.meter, progress.say)
        progress.step(record)
        spent.meter.sample()

    return hooks(prepared, stepped=stepped, evaluated=progress.evaluation, say=progress.say, saved=spent.note)


def _finish(
    prepared: Prepared,
    folder: Path,
    base: Evaluation | None,
    could: forget.Before | None,
    others: Sequence[Evaluation | None],
    result: TrainResult,
    expected: Expected,
    spent: Spent,
    show: Show,
) -> dict[str, Json]:
    """The best checkpoint judged beside the base, and the report."""
    best = folder / ("best" if (folder / "best").exists() else "last")
    restore(prepared.model.network, best)
    tuned = _evaluated(prepared, prepared.asked, "after tuning", show) if prepared.asked else None
    if tuned is not None:
        write_predictions(folder / "predictions.jsonl", tuned.rows, None if base is None else base.rows)
    held_out = validated(prepared, folder, show)
    forgot = forget.after(prepared, folder, could, show)
    before = looked(prepared, folder) if tuned is not None else ()
    beside = tasks.after_mixed(prepared, folder, others, show)
    made = report(prepared, folder, base, tuned, result, expected, spent.read(), before, held_out)
    made |= {"validation": validation_json(prepared, held_out), **course(prepared, folder, result)}
    made["forgetting"] = forgot
    end_lineage(folder)
    made["lineage"] = lineage_json(folder)
    made["tasks"] = list(beside)
    if (proof := folder / "verified.json").exists():
        made["verified"] = json.loads(proof.read_text(encoding="utf-8"))
    write_json(folder / "report.json", made)
    write_report(folder)
    return made


def free(folder: Path) -> None:
    """Raises RunError, before anything is computed, where a folder already holds a run or cannot be written."""
    if (folder / "recipe.yaml").exists():
        raise RunError(
            f"{folder}: already holds a run; go on with `luthier train --resume {folder}`, or name another with --run"
        )
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise RunError(
            f"{folder}: nothing can be written there ({above} is no writable folder); name another with --run"
        )
