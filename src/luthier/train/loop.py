"""The one loop: take a step, now and then evaluate and save, stop when it is time.

What is learned is the objective's business, which parameters the method's, how good it is a hook's. The loop sees to
it that a run ends with the same bits whether or not it was stopped on the way, and keeps what proved best.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from luthier.batch import Batch
from luthier.data.mix import Mixture, Replay
from luthier.errors import DivergedError, RunError
from luthier.manifest import unproven
from luthier.methods.method import Rate
from luthier.model.load import Model
from luthier.objectives.objective import Objective
from luthier.train.average import average_of, restore_stepped, save_stepped, standing_in
from luthier.train.checkpoint import Checkpoints
from luthier.train.interrupt import interruption
from luthier.train.loader import Plan, ahead, plan
from luthier.train.log import EvaluationRecord, MetricsLog, StepRecord
from luthier.train.look import Look
from luthier.train.mean import Mean, judge_mean, newest
from luthier.train.optim import (
    learning_rate,
    optimizer_numbers,
    optimizer_of,
    optimizer_tensors,
    peak_rate,
    restore_optimizer,
    trainable,
)
from luthier.train.options import Hooks, TrainOptions
from luthier.train.pace import Pace, rows_per_look
from luthier.train.pull import Pull
from luthier.train.result import TrainResult
from luthier.train.state import TrainState
from luthier.train.step import needs_dropout, update
from luthier.types import TokenSequence

DEFAULT_LR = 2e-4
KEPT = ("optimizer", "ema")
"""Options that what a checkpoint holds depends on."""


def fit(
    model: Model,
    sequences: Sequence[TokenSequence],
    objective: Objective,
    options: TrainOptions,
    *,
    folder: Path,
    hooks: Hooks,
    replay: Replay | None = None,
    mixture: Mixture | None = None,
    resume: bool = False,
    default_lr: float = DEFAULT_LR,
    rates: Mapping[str, Rate] = MappingProxyType({}),
) -> TrainResult:
    """Trains what is trainable in the model, and leaves metrics.jsonl, checkpoints, `last` and `best` in the folder.

    replay: rows that are learned beside the sequences, without adding a step. mixture: the files they come from.
    resume: go on from the newest proven checkpoint (from the start where there is none).
    default_lr: the method's own learning rate with adamw, taken where the options name none.
    rates: of parameters that do not learn as the rest do.
    Raises RunError for a folder that holds another run, DivergedError after too many non-finite steps, and what
    planning or a hook raises.
    """
    needs_dropout(model, objective)
    lr = peak_rate(options, default_lr)
    run = _Run(model, objective, options, plan(sequences, options, replay, mixture), folder, hooks, lr, rates)
    with ExitStack() as stack:
        stack.enter_context(run.checkpoints.alone())
        run.begin(resume=resume)
        stack.callback(run.metrics.close)
        wished = stack.enter_context(interruption(hooks.say))
        stack.enter_context(torch.random.fork_rng())
        if run.state.step == 0:
            run.measure()
        todo = range(run.state.step, 0 if run.state.stopped_early else run.plan.steps)
        for step, batches in stack.enter_context(closing(ahead(run.plan.batches, todo))):
            run.step(step, batches)
            if run.plan.evaluated(step + 1):
                run.look()
            if wished.is_set() or run.state.stopped_early or run.plan.saved(step + 1):
                run.save()
            if wished.is_set() or run.state.stopped_early:
                break
        if not run.result(interrupted=wished.is_set()).interrupted:
            run.judge_mean()
        return run.result(interrupted=wished.is_set())


class _Run:
    """A run in progress: what stays as it is, and the state between two steps."""

    metrics: MetricsLog

    def __init__(
        self,
        model: Model,
        objective: Objective,
        options: TrainOptions,
        plan: Plan,
        folder: Path,
        hooks: Hooks,
        lr: float,
        rates: Mapping[str, Rate],
    ) -> None:
        self.model, self.objective, self.options, self.plan = model, objective, options, plan
        self.folder, self.hooks, self.lr = folder, hooks, lr
        self.named = trainable(model.network)
        self.optimizer = optimizer_of(model.network, options, rates)
        self.pull = Pull(self.named, options.l2_to_start) if options.l2_to_start else None
        self.average = average_of(options, self.optimizer, self.named)
        self.checkpoints = Checkpoints(folder, keep=options.keep_checkpoints, say=hooks.say)
        self.state = TrainState()
        self.mean: Mean | None = None
        self.identity = plan.fingerprint()
        share, trained = options.evaluation_share, plan.steps * options.examples_per_step
        rows = rows_per_look(hooks.rows, share=share, rows_trained=trained)
        self.pace = Pace(share, plan.steps, options.examples_per_step, rows)

    def begin(self, *, resume: bool) -> None:
        """Starts fresh or where the newest proven checkpoint stands. Raises RunError where neither is right."""
        self.checkpoints.clean()
        if not resume and self.checkpoints.steps():
            raise RunError(f"{self.folder}: already holds a run; resume it, or name another folder")
        newest = self.checkpoints.newest()
        if newest is not None:
            self.restore(self.checkpoints.at(newest))
        self.metrics = MetricsLog(self.folder / "metrics.jsonl", length=self.state.metrics_bytes)

    def restore(self, checkpoint: Path) -> None:
        """Puts weights, moments and state back. Raises RunError when the checkpoint is of another run."""
        saved = json.loads((checkpoint / "state.json").read_bytes())
        if saved["identity"] != self.identity:
            raise RunError(
                f"{checkpoint}: was trained on other rows, another seed or another examples_per_step; "
                "a resumed run takes them as they were, or name another folder"
            )
        before = {**json.loads(json.dumps(asdict(TrainOptions()))), **saved["options"]}
        for name in [one for one in KEPT if before[one] != getattr(self.options, one)]:
            raise RunError(f"{checkpoint}: was trained with train.{name}={before[name]}; resume it with the same")
        for name, value in json.loads(json.dumps(asdict(self.options))).items():
            if before[name] != value:
                self.hooks.say(f"{name} was {before[name]} when the run was saved, and is {value} now")
        self.hooks.restore_weights(checkpoint)
        tensors, numbers = load_file(checkpoint / "optimizer.safetensors"), saved.get("numbers", {})
        restore_optimizer(self.optimizer, self.named, tensors, numbers)
        restore_stepped(self.average, self.named, checkpoint)
        self.state = self._with_a_best_that_is_there(TrainState.from_json(saved["state"]))
        self.checkpoints.link(last=self.state.step, best=self.state.best_step)

    def step(self, step: int, batches: Sequence[Batch]) -> None:
        """Takes one step and writes it down. Raises DivergedError when one too many was refused."""
        began = self.hooks.clock()
        torch.manual_seed(_key(self.options.seed, step))
        self.model.network.train()
        lr = learning_rate(step, self.plan.steps, self.lr, self.options)
        came = update(
            self.model,
            self.objective,
            batches,
            self.optimizer,
            lr=lr,
            clip=self.options.clip,
            done=step / self.plan.steps,
            noise=self.options.neftune,
            pull=self.pull,
        )
        if self.average is not None and not came.refused:
            self.average.follow(step + 1 - self.state.refused)
        record = StepRecord(
            step=step + 1,
            steps=self.plan.steps,
            epoch=(step + 1) / self.plan.steps_per_epoch,
            loss=came.loss,
            lr=lr,
            grad_norm=came.grad_norm,
            distinct=sum(batch.distinct for batch in batches),
            logical=sum(batch.logical for batch in batches),
            seconds=self.hooks.clock() - began,
            refused=came.refused,
            logged=came.logged,
        )
        self._note(record)

    def measure(self) -> None:
        """The losses alone: before the first step, and where more cannot be afforded."""
        if self.hooks.measure is None:
            return
        began = self.hooks.clock()
        with standing_in(self.average, self.named):
            found = self.hooks.measure(self.pace.rows)
        took = self.hooks.clock() - began
        self.state = replace(self.state, measure=took, measuring=self.state.measuring + took)
        self._looked(found, took)

    def look(self) -> None:
        """Judges the network where that can be afforded, and remembers whether it is the best so far."""
        if self.hooks.evaluate is None:
            return
        if not self.pace.whole(self.state):
            self.state = replace(self.state, passed=self.state.passed + 1)
            if self.pace.losses(self.state):
                self.measure()
            return
        began, metric = self.hooks.clock(), self.hooks.metric
        with standing_in(self.average, self.named):
            found = self.hooks.evaluate(self.pace.rows)
        if metric not in found.metrics:
            raise RunError(
                f"the evaluation brought {sorted(found.metrics)}, but {metric!r} is to decide the best checkpoint"
            )
        self.state = self.state.judged(
            found.metrics[metric],
            higher_is_better=self.hooks.higher_is_better,
            min_gain=self.options.min_gain,
            patience=self.options.patience,
        )
        took = self.hooks.clock() - began
        self.state = replace(self.state, look=took, looks=self.state.looks + 1)
        self._looked(found, took)

    def _looked(self, found: Look, took: float) -> None:
        """Writes down and tells what a look found."""
        self.state = replace(self.state, looking=self.state.looking + took)
        record = EvaluationRecord(
            step=self.state.step,
            epoch=self.state.step / self.plan.steps_per_epoch,
            n=self.pace.rows,
            metrics=found.metrics,
            seconds=took,
            best=self.state.best_step == self.state.step,
            validation=found.validation,
            train=found.train,
            gap=found.gap,
        )
        self.metrics.write(record)
        if self.hooks.evaluated is not None:
            self.hooks.evaluated(record)

    def save(self) -> None:
        """Saves a checkpoint of this moment."""
        self.state = replace(self.state, metrics_bytes=self.metrics.sync())
        spare = newest(self.state.step, self.options.average or 0, self.plan.evaluated)
        self.checkpoints.save(self.state.step, self._write, best=self.state.best_step, spare=spare)

    def judge_mean(self) -> None:
        """Averages the last checkpoints of a run that has ended, where that was asked for."""
        if self.options.average is None:
            return
        steps, gain = newest(self.state.step, self.options.average, self.plan.evaluated), self.options.min_gain
        self.mean = judge_mean(
            self.checkpoints, steps, self.named, self.hooks, rows=self.pace.rows, state=self.state, min_gain=gain
        )

    def result(self, *, interrupted: bool) -> TrainResult:
        """What the caller is told."""
        state = self.state
        kept = self.mean if self.mean is not None and self.mean.better else None
        return TrainResult(
            steps=state.step,
            planned=self.plan.steps,
            best_step=state.best_step if kept is None else kept.steps[-1],
            best_value=state.best_value if kept is None else kept.value,
            averaged=() if kept is None else kept.steps,
            stopped_early=state.stopped_early,
            interrupted=interrupted and state.step < self.plan.steps and not state.stopped_early,
            refused=state.refused,
            distinct=state.distinct,
            logical=state.logical,
            seconds=state.seconds,
            looks=state.looks,
            passed=state.passed,
            looking=state.looking,
        )

    def _note(self, record: StepRecord) -> None:
        self.state = replace(
            self.state,
            step=record.step,
            refused=self.state.refused + record.refused,
            distinct=self.state.distinct + record.distinct,
            logical=self.state.logical + record.logical,
            seconds=self.state.seconds + record.seconds,
        )
        self.metrics.write(record)
        if self.hooks.step is not None:
            self.hooks.step(record)
        if record.refused:
            self._refused(record)

    def _refused(self, record: StepRecord) -> None:
        what = f"loss {record.loss:.4g}, gradient norm {record.grad_norm:.4g}"
        self.hooks.say(f"step {record.step} was left out: {what}; refused so far: {self.state.refused}")
        if self.state.refused > self.options.max_refused:
            raise DivergedError(
                f"step {record.step}: {what}; {self.state.refused} steps were not finite and max_refused is "
                f"{self.options.max_refused}. Try a lower lr (now {self.lr:g}), dtype float32, or look at the rows of "
                "these steps; what was saved is under `last`"
            )

    def _write(self, folder: Path) -> None:
        with standing_in(self.average, self.named):
            self.hooks.save_weights(folder)
        save_stepped(self.average, self.named, folder)
        save_file(optimizer_tensors(self.optimizer, self.named), folder / "optimizer.safetensors")
        state = {
            "state": self.state.to_json(),
            "identity": self.identity,
            "options": asdict(self.options),
            "numbers": optimizer_numbers(self.optimizer, self.named),
        }
        (folder / "state.json").write_text(json.dumps(state, indent=1), encoding="utf-8")

    def _with_a_best_that_is_there(self, state: TrainState) -> TrainState:
        reason = None if state.best_step is None else unproven(self.checkpoints.at(state.best_step))
        if reason is None:
            return state
        self.hooks.say(
            f"the best checkpoint, {state.best_step}, is damaged ({reason}); the next evaluation counts as best"
        )
        return replace(state, best_step=None, best_value=None, stale=0)


def _key(seed: int, step: int) -> int:
    """What the dropout of a step is drawn from."""
    return int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
