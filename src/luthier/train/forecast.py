"""What a run will do, before it does it: its steps and tokens counted, its time, memory and energy judged by a taste.

The taste is one real micro-batch, the fullest seen, computed forward and backward and thrown away. What it leaves out
is the optimizer's own arithmetic and the saving, both small beside it unless a large model is trained in full.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from luthier.batch import Batch, pack
from luthier.data.mix import Mixture, Replay
from luthier.model.forward import forward
from luthier.model.load import Model
from luthier.objectives.objective import Objective
from luthier.train.loader import plan
from luthier.train.log import StepRecord
from luthier.train.meter import JOULES_PER_WH, Cost, Meter
from luthier.train.optim import optimizer_of
from luthier.train.optimizers import Averaging, groups, optimizers, trainable
from luthier.train.options import TrainOptions
from luthier.train.step import needs_dropout
from luthier.types import TokenSequence

COUNTED_STEPS = 20
"""Steps packed to count tokens; a longer run is scaled up from as many, spread evenly over it."""


@dataclass(frozen=True, slots=True, eq=False)
class Forecast:
    """The size of a run."""

    steps: int
    steps_per_epoch: int
    examples: int
    """Of the task, without replay."""
    distinct: int
    """Tokens the run will compute."""
    logical: int
    """Tokens the run will learn from, before sharing."""
    counted: int
    """Steps the token counts come from; all of them where it equals `steps`."""
    fullest: Batch
    """The largest micro-batch met while counting."""
    first: Batch
    """One example alone, enough to wake up what a first computing wakes up."""

    @property
    def sharing(self) -> float:
        """D: logical tokens per distinct token."""
        return self.logical / max(1, self.distinct)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run will cost, judged from a taste of it."""

    seconds: float
    peak_bytes: int
    energy_wh: float
    assumption: str
    """How the figures were come by."""


def forecast(
    sequences: Sequence[TokenSequence],
    options: TrainOptions,
    replay: Replay | None = None,
    mixture: Mixture | None = None,
) -> Forecast:
    """Counts a run without computing anything. Raises DataError when there is nothing to learn."""
    run = plan(sequences, options, replay, mixture)
    counted = np.unique(np.linspace(0, run.steps - 1, min(run.steps, COUNTED_STEPS)).round().astype(int)).tolist()
    batches = [batch for step in counted for batch in run.batches(step)]
    scale = run.steps / len(counted)
    return Forecast(
        steps=run.steps,
        steps_per_epoch=run.steps_per_epoch,
        examples=run.per_epoch,
        distinct=round(scale * sum(batch.distinct for batch in batches)),
        logical=round(scale * sum(batch.logical for batch in batches)),
        counted=len(counted),
        fullest=max(batches, key=lambda batch: batch.distinct),
        first=pack(next(one for one in run.examples if any(sequence.supervised for sequence in one))),
    )


def estimate(model: Model, objective: Objective, expected: Forecast, options: TrainOptions) -> Estimate:
    """Tastes the fullest micro-batch and scales its cost up to the steps; changes no parameter, leaves no gradient.

    Raises ModelError where the optimizer that the options name cannot run here, RecipeError where the objective needs
    a dropout that is not there.
    """
    kept = startable(model, objective, options)
    first, whole = (probe(model, objective, batch) for batch in (expected.first, expected.fullest))
    took = taste(whole, model.device, first=first)
    took = replace(took, peak_bytes=took.peak_bytes + kept)
    tokens = expected.fullest.distinct
    return _scaled(took, f"one micro-batch of {tokens:,} distinct tokens", took.seconds, tokens, expected)


def by_step(record: StepRecord, took: Cost, expected: Forecast) -> Estimate:
    """The same by a step that was taken, `took` being all that was spent on it."""
    return _scaled(took, f"a step of {record.distinct:,} distinct tokens", record.seconds, record.distinct, expected)


def _scaled(took: Cost, what: str, seconds: float, tokens: int, expected: Forecast) -> Estimate:
    """What `tokens` took in so many seconds, for all tokens of the run."""
    whole = seconds * expected.distinct / max(1, tokens)
    watts = took.energy_wh * JOULES_PER_WH / max(took.seconds, 1e-9)
    return Estimate(
        seconds=whole,
        peak_bytes=took.peak_bytes,
        energy_wh=watts * whole / JOULES_PER_WH,
        assumption=f"{what} took {seconds:.2f} s; energy at {watts:.0f} W, {took.energy_source}",
    )


def startable(model: Model, objective: Objective, options: TrainOptions) -> int:
    """What `kept_bytes` says; raises, before anything is computed or written, what `estimate` raises."""
    needs_dropout(model, objective)
    return kept_bytes(model, options)


def kept_bytes(model: Model, options: TrainOptions) -> int:
    """Memory of what is kept of each trained parameter from step to step, and of its average while that is judged."""
    optimizer = optimizer_of(model.network, options)  # raises, early, what it would raise after the base was judged
    own = sum(optimizers[options.optimizer].state_bytes(group) for group in groups(model.network, options))
    copies = (options.ema is not None) + bool(options.l2_to_start) + isinstance(optimizer, Averaging)
    return own + copies * sum(p.numel() * p.element_size() for p in trainable(model.network).values())


def taste(compute: Callable[[], None], device: torch.device, *, first: Callable[[], None] | None = None) -> Cost:
    """What one call costs, after an untimed one: of the same, or of something smaller."""
    (first or compute)()
    meter = Meter(device).start()
    compute()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return meter.read()


def probe(model: Model, objective: Objective, batch: Batch) -> Callable[[], None]:
    """A forward and backward of one micro-batch as the loop computes it, its gradients thrown away."""

    def compute() -> None:
        with torch.random.fork_rng():
            placed = batch.to(model.device)
            loss, _ = objective(forward(model, placed, needs=objective.needs), placed)
            loss.backward()
        model.network.zero_grad()

    return compute
