"""One trial: the recipe with some settings changed, trained on the shared base and judged on the validation rows alone.

It ends as it would have if nobody had killed it on the way: its own folder holds its checkpoint. What it has learned is
not kept; its metrics.jsonl is.
"""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import torch
from optuna import TrialPruned
from optuna.trial import Trial, TrialState

from luthier.errors import DivergedError, LuthierError
from luthier.recipe import Recipe
from luthier.run.prepare import Prepared
from luthier.run.show import Show
from luthier.run.steps import fitted, hooks
from luthier.search.shared import Shared
from luthier.search.space import applied
from luthier.search.study import Claimed, Study
from luthier.train.log import EvaluationRecord, StepRecord
from luthier.train.optim import trainable
from luthier.train.options import Hooks
from luthier.train.result import TrainResult

REASON: Final = "reason"
"""Attribute of a trial: why it did not go to its end."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a trial ended; an interrupted one has not, and goes on later."""

    how: Literal["complete", "pruned", "failed", "interrupted"]
    value: float | None = None
    """The task's metric at its best evaluation; of a pruned trial at its last."""
    why: str | None = None


def measured(recipe: Recipe, per_epoch: int) -> Recipe:
    """The recipe with so many evaluations an epoch, all of which are made, whatever the clock says."""
    train = replace(
        recipe.train,
        evaluations_per_epoch=per_epoch,
        evaluation_share=1.0,
        save_every=None,
        keep_checkpoints=1,
    )
    return replace(recipe, train=train)


def looks_per_epoch(recipe: Recipe, looks: int) -> int:
    """Evaluations an epoch, so that a run of the recipe's own length has about so many."""
    return max(1, round(looks / recipe.train.epochs))


def carry_out(claimed: Claimed, shared: Shared, study: Study, show: Show) -> Ended:
    """Runs a trial to its end and tells the study, unless a person stopped it."""
    if (twin := study.twin(claimed)) is not None:
        claimed.trial.set_user_attr(REASON, f"the same settings as trial {twin.number}, whose result it has")
        claimed.trial.set_user_attr("size", twin.user_attrs["size"])
        study.study.tell(claimed.trial, values=twin.values)
        return Ended("complete", twin.values[0], claimed.trial.user_attrs[REASON])
    try:
        ended = _run(claimed, shared, study, show)
    except (LuthierError, MemoryError, RuntimeError) as error:
        ended = _failed(error)
    if ended.how != "interrupted":
        _tell(claimed, study, ended)
        clear(claimed.folder)
    return ended


def cost_of(folder: Path) -> dict[str, float]:
    """What a trial's steps and evaluations took, by its metrics.jsonl."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    steps = [one for one in records if one["kind"] == "step"]
    return {
        "seconds": sum(one["seconds"] for one in records),
        "steps_s": sum(one["seconds"] for one in steps),
        "steps": len(steps),
        "distinct": sum(one["distinct"] for one in steps),
        "logical": sum(one["logical"] for one in steps),
    }


def _run(claimed: Claimed, shared: Shared, study: Study, show: Show) -> Ended:
    per_epoch = looks_per_epoch(shared.whole.recipe, study.options.looks)
    recipe = measured(applied(shared.whole.recipe, claimed.settings), per_epoch)
    with shared.trial(recipe) as mine, show.stages():
        learned = sum(parameter.numel() for parameter in trainable(mine.model.network).values())
        claimed.trial.set_user_attr("size", learned)
        watch = _Judge(claimed.trial, mine, per_epoch, show, prunes=len(study.options.objectives) == 1)
        try:
            result = fitted(mine, claimed.folder, watch.hooks(), resumed=True)
        except TrialPruned:
            return Ended("pruned", watch.last)
        except DivergedError as error:
            return Ended("pruned", watch.last, f"diverged: {error}")
    return _ended(result)


class _Judge:
    """Reports a trial's evaluations, and stops it at one where it does badly."""

    def __init__(self, trial: Trial, mine: Prepared, per_epoch: int, show: Show, *, prunes: bool) -> None:
        self.trial, self.mine, self.per_epoch, self.show = trial, mine, per_epoch, show
        self.prunes, self.steps = prunes, 0
        self.last: float | None = None
        self._before = dict(trial.storage.get_trial(trial._trial_id).intermediate_values)

    def hooks(self) -> Hooks:
        """What the loop calls."""
        return hooks(self.mine, stepped=self.stepped, evaluated=self.evaluated, say=self.show.say)

    def stepped(self, record: StepRecord) -> None:
        """Shows a step."""
        self.steps = record.steps
        self.show.stage(f"trial {self.trial.number}", record.step, record.steps, unit="step")

    def evaluated(self, record: EvaluationRecord) -> None:
        """Reports an evaluation by its place in the run. Raises TrialPruned where the trial is to stop."""
        metric = self.mine.task.primary
        if record.step == 0 or metric not in record.metrics:
            return
        self.last = record.metrics[metric]
        if not self.prunes:
            return
        look = max(1, math.ceil(record.epoch * self.per_epoch - 1e-9))
        if look not in self._before:
            self.trial.report(self.last, look)
        if record.step < self.steps and self.trial.should_prune():
            raise TrialPruned


def _ended(result: TrainResult) -> Ended:
    if result.interrupted:
        return Ended("interrupted")
    if result.best_value is None or not math.isfinite(result.best_value):
        return Ended("pruned", None, "its metric was never a number")
    return Ended("complete", result.best_value)


def _tell(claimed: Claimed, study: Study, ended: Ended) -> None:
    """Writes down what a trial cost, then how it ended."""
    trial, metrics = claimed.trial, claimed.folder / "metrics.jsonl"
    cost = cost_of(claimed.folder) if metrics.exists() else {}
    trial.set_user_attr("cost", cost)
    if ended.why is not None:
        trial.set_user_attr(REASON, ended.why)
    if ended.how == "complete":
        assert ended.value is not None, "a complete trial has a value"
        each = {"quality": ended.value, "time": cost["steps_s"], "size": float(trial.user_attrs["size"])}
        study.study.tell(trial, [each[name] for name in study.options.objectives])
        return
    single = len(study.options.objectives) == 1
    study.study.tell(trial, state=TrialState.PRUNED if ended.how == "pruned" and single else TrialState.FAIL)


def _failed(error: Exception) -> Ended:
    """A trial whose settings do not fit the model or the machine. Raises what is neither."""
    if isinstance(error, LuthierError):
        return Ended("failed", None, str(error))
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error):
        return Ended("failed", None, "out of memory; halve train.token_budget")
    raise error


def clear(folder: Path) -> None:
    """Removes what was only for going on; one that was killed before it did so leaves that to the next."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    for name in ("last", "best"):
        (folder / name).unlink(missing_ok=True)
