"""Luthier's arm of the frozen trunk: trials one after another in one process, with or without what was kept.

One line of JSON. On the clock of a trial are finding the cut, the weights' fingerprint, packing and every step;
opening the model and rendering the rows are not, since they are the same for all arms.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from work import ALPHA, BETAS, CLIP, EPS, LR, RANK, WEIGHT_DECAY, Work, peak_bytes

from luthier.data.render import render_all
from luthier.methods import Freeze, LoRA, Method
from luthier.model.accept import accept
from luthier.model.kept import segments
from luthier.model.load import Model, ModelOptions, load
from luthier.model.trunk import KeptTrunk, keep_trunk
from luthier.objectives.sft import SFT
from luthier.train.loader import Plan, plan
from luthier.train.optim import optimizer_of
from luthier.train.options import TrainOptions
from luthier.train.step import update
from luthier.types import Completion, Example, Message, TokenSequence


@dataclass(frozen=True, slots=True)
class Asked:
    """What one arm is asked to do; travels as JSON."""

    work: str
    model: str
    method: str
    """`freeze` or `lora`."""
    top: int
    """Layers that learn, counted from the output."""
    epochs: int
    trials: int
    threads: int
    cache: str
    """Folder of what is kept; empty for the arm that keeps nothing."""
    exact: bool = False
    dtype: str = "auto"


@dataclass(frozen=True, slots=True)
class Trial:
    """One of them."""

    wall_s: float
    processor_s: float
    """Of all threads together: what a busy machine does not lengthen."""
    losses: tuple[float, ...]
    """Every step's, before its update."""


@dataclass(frozen=True, slots=True)
class Found:
    """What an arm gives back."""

    trials: tuple[Trial, ...]
    peak_bytes: int
    cache_bytes: int
    dtype: str
    read: float
    """Share of the tokens, over all trials, that began at the cut."""


def main() -> None:
    """Runs what the command line asks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("asked", type=json.loads)
    asked = Asked(**parser.parse_args().asked)
    torch.set_num_threads(asked.threads)
    print(json.dumps(asdict(measured(asked))))


def measured(asked: Asked) -> Found:
    """Every trial in turn, each from the base with its own rate and order."""
    work = Work.open(Path(asked.work))
    done = [one(work, asked, at) for at in range(asked.trials)]
    size = sum(segment.bytes for segment in segments(Path(asked.cache))) if asked.cache else 0
    read, tokens = (sum(counts) for counts in zip(*(took.tokens for took in done), strict=True))
    return Found(tuple(took.trial for took in done), peak_bytes(), size, done[0].dtype, read / max(1, tokens))


@dataclass(frozen=True, slots=True)
class Took:
    """One trial, and what its model said of itself."""

    trial: Trial
    tokens: tuple[int, int]
    """Read at the cut, and all that went through layers; nothing where nothing is kept."""
    dtype: str


def one(work: Work, asked: Asked, at: int) -> Took:
    """The trial of this number; the first has the same rate and order in all arms."""
    model = load(ModelOptions(asked.model, dtype=asked.dtype), masters=asked.method == "freeze")  # type: ignore[arg-type]
    accept(model)
    options = TrainOptions(
        lr=LR * 2.0 ** -(at % 4),
        epochs=asked.epochs,
        examples_per_step=work.rows_per_step,
        schedule="constant",
        warmup=0.0,
        weight_decay=WEIGHT_DECAY,
        betas=BETAS,
        eps=EPS,
        seed=at,
    )
    trial = timed(model, plan(rendered(work, model), options), asked, options)
    kept = model.trunk
    tokens = (kept.read, kept.read + kept.computed) if isinstance(kept, KeptTrunk) else (0, 0)
    return Took(trial, tokens, str(model.dtype).removeprefix("torch."))


def timed(model: Model, steps: Plan, asked: Asked, options: TrainOptions) -> Trial:
    """What is on the clock."""
    began, used = time.perf_counter(), time.process_time()
    layers = model.network.config.get_text_config().num_hidden_layers
    method: Method = LoRA(rank=RANK, alpha=ALPHA, first_layer=layers - asked.top)
    if asked.method == "freeze":
        method = Freeze(layers=layers - asked.top)
    method.attach(model.network, dtype=model.dtype, seed=options.seed)
    if asked.cache and not keep_trunk(model, exact=asked.exact, gigabytes=64.0, folder=Path(asked.cache)).layer:
        raise SystemExit("there is no cut")
    optimizer, losses = optimizer_of(model.network, options), []
    model.network.train()
    for step in range(steps.steps):
        came = update(model, SFT(), steps.batches(step), optimizer, lr=options.lr or LR, clip=CLIP)
        losses.append(came.loss)
    return Trial(time.perf_counter() - began, time.process_time() - used, tuple(losses))


def rendered(work: Work, model: Model) -> list[TokenSequence]:
    """The work's rows as tokens, each an example of its own."""
    examples = [
        Example(
            id=row.id,
            prompt=tuple(Message(role, content) for role, content in row.turns),
            completions=(Completion((Message("assistant", row.answer),)),),
        )
        for row in work.rows
    ]
    return [row[0].sequence for row in render_all(examples, model.tokenizer, max_length=None)]


if __name__ == "__main__":
    main()
