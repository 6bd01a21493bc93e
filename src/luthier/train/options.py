"""The options of a training run, and the hooks by which it reaches the rest of the house."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from luthier.errors import RecipeError
from luthier.train.log import EvaluationRecord, StepRecord
from luthier.train.look import Look

Schedule: TypeAlias = Literal["cosine", "linear", "constant"]
"""How the learning rate falls after the warm-up."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How the parameters are learned."""

    epochs: float = 3.0
    """Passes over the training rows; a fraction is allowed."""
    optimizer: Literal["adamw", "adamw-8bit", "adamw-paged", "adafactor", "muon", "schedule-free"] = "adamw"
    """What steps the weights. adafactor and adamw-8bit save memory, adamw-paged moves it to the CPU's; muon is for
    matrices, with adamw for the rest; schedule-free averages in place of letting the rate fall."""
    lr: float | None = None
    """Highest learning rate; None takes the method's own (twice that with schedule-free), 0 changes nothing (a
    control)."""
    examples_per_step: int = 16
    """Examples an optimizer step averages over; how they are cut into micro-batches changes nothing."""
    schedule: Schedule | None = None
    """How the learning rate falls after the warm-up; None is the optimizer's own: cosine, but constant with
    schedule-free."""
    warmup: float = 0.05
    """Share of the steps over which the learning rate rises."""
    min_lr: float = 0.0
    """Share of the highest learning rate that the schedule ends on."""
    weight_decay: float = 0.01
    """Decoupled decay, of the matrices only: never of embeddings, norms and biases."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of AdamW's first and second moments; the first is what schedule-free interpolates by."""
    eps: float = 1e-8
    """What keeps AdamW's division finite."""
    neftune: float = 0.0
    """Noise on the input embeddings while learning, such as 5, divided by the root of a row's tokens times the width;
    0 adds none."""
    l2_to_start: float = 0.0
    """Pull of the weights that learn to where they began: half of this times their squared distance is added to the
    loss. It costs as much memory again as they do; 0 does not pull."""
    average: int | None = None
    """Newest checkpoints of planned evaluations that are averaged in the end, such as 3, in equal parts; the average
    becomes the best where the validation rows find it better. None averages none."""
    ema: float | None = None
    """Share of a moving average of the weights that a step leaves, such as 0.999; the average is what is judged and
    saved. It costs as much memory again as the weights that learn; None averages nothing."""
    clip: float = 1.0
    """Largest global norm of a step's gradient."""
    token_budget: int = 2048
    """Distinct tokens a micro-batch may hold: the setting that decides memory, and nothing else. Rows that share more
    than half of it may hold half of it besides what they share."""
    evaluations_per_epoch: int = 4
    """How often an epoch is saved and evaluated, evenly spread, as far as evaluation_share allows; the last step
    always is."""
    evaluation_share: float = 0.1
    """Share of the time of training that those evaluations may take; where they would take more, fewer are made. At 1
    all are made, on all rows of evaluate.validation_rows, whatever the clock says."""
    patience: int | None = 6
    """Evaluations without a gain before training stops; None never stops early."""
    min_gain: float = 0.0
    """What the metric must gain over the best so far to count as one."""
    max_refused: int = 5
    """Steps with a non-finite loss or gradient that a run survives; each is left out and reported."""
    save_every: int | None = None
    """Steps between saves beside those at evaluations; None saves at evaluations only."""
    keep_checkpoints: int = 2
    """Newest checkpoints kept, beside the best."""
    trunk: Literal["auto", "exact", False] = "auto"
    """Whether what the lowest layers compute is kept on disk where they learn nothing, and so computed once for all
    epochs, runs and losses measured. `auto` keeps it in the number format of the products, where bfloat16 rounds each
    hidden state once; `exact` to the bit; `false` computes it every time."""
    trunk_gb: float = 4.0
    """Most gigabytes of it in the cache folder, over all runs; what was used least recently leaves first."""
    verify: bool = False
    """Whether the first step is computed twice before it is taken: as the engine does, and each row alone by
    transformers' own attention; the run does not start where loss or gradient differ."""
    seed: int = 0
    """What the order of the examples and the dropout are drawn from."""

    def __post_init__(self) -> None:
        broken = [(name, must) for name, holds, must in self._bounds() if not holds]
        problems = [f"{name} is {getattr(self, name)}; it must be {must}" for name, must in broken]
        if problems:
            raise RecipeError("; ".join(problems))

    def _bounds(self) -> list[tuple[str, bool, str]]:
        """Each bounded field, whether its value holds, and the bound in words."""
        return [
            ("epochs", 0 < self.epochs < math.inf, "above 0"),
            ("lr", self.lr is None or 0 <= self.lr < math.inf, "0 or more"),
            ("examples_per_step", self.examples_per_step >= 1, "at least 1"),
            ("warmup", 0 <= self.warmup <= 1, "a share in [0, 1]"),
            ("min_lr", 0 <= self.min_lr <= 1, "a share in [0, 1]"),
            ("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more"),
            ("betas", all(0 <= beta < 1 for beta in self.betas), "two numbers in [0, 1)"),
            ("eps", 0 < self.eps < math.inf, "above 0"),
            ("neftune", 0 <= self.neftune < math.inf, "0 or more"),
            ("l2_to_start", 0 <= self.l2_to_start < math.inf, "0 or more"),
            ("average", self.average is None or self.average >= 2, "at least 2, or none"),
            ("ema", self.ema is None or 0 <= self.ema < 1, "a share in [0, 1), or none"),
            ("ema", self.ema is None or self.optimizer != "schedule-free", "none: schedule-free averages already"),
            ("clip", self.clip > 0, "above 0 (inf never clips)"),
            ("token_budget", self.token_budget >= 1, "at least 1"),
            ("evaluations_per_epoch", self.evaluations_per_epoch >= 1, "at least 1"),
            ("evaluation_share", 0 < self.evaluation_share <= 1, "a share in (0, 1]"),
            ("patience", self.patience is None or self.patience >= 1, "at least 1, or none"),
            ("min_gain", 0 <= self.min_gain < math.inf, "0 or more"),
            ("max_refused", self.max_refused >= 0, "0 or more"),
            ("save_every", self.save_every is None or self.save_every >= 1, "at least 1, or none"),
            ("keep_checkpoints", self.keep_checkpoints >= 1, "at least 1"),
            ("trunk_gb", 0 <= self.trunk_gb < math.inf, "0 or more"),
            ("seed", self.seed >= 0, "0 or more"),
        ]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What the loop calls without knowing what it is."""

    save_weights: Callable[[Path], None]
    """Writes what is trained into a folder, bit for bit."""
    restore_weights: Callable[[Path], None]
    """Reads it back from there into the network."""
    evaluate: Callable[[int], Look] | None = None
    """Judges the network on so many validation rows."""
    measure: Callable[[int], Look] | None = None
    """The same without asking: the losses alone, as they are before the first step."""
    metric: str = "loss"
    """The metric among those that decides the best checkpoint and early stopping."""
    higher_is_better: bool = False
    """Which way that metric gains."""
    rows: int = 0
    """Most validation rows that it can be asked to look at."""
    step: Callable[[StepRecord], None] | None = None
    """Told of every step, refused ones too."""
    evaluated: Callable[[EvaluationRecord], None] | None = None
    """Told of every evaluation."""
    clock: Callable[[], float] = time.perf_counter
    """Seconds, by which it is decided how often looking can be afforded."""
    say: Callable[[str], None] = print
    """Told, in a sentence, what a person should know: a fallback, a refused step, a request to stop."""
