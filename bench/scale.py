"""`python bench/scale.py`: what a step costs as rows, prompts and sharing grow, and what planning takes of it.

Rows of made-up tokens of one shape: a shared beginning, then a tail of each row's own, of which the last eight are
learned. One step of LoRA each, forward and backward, after one to warm up. Linear in distinct tokens means that the
time of a distinct token stays about the same, but for attention's part, which grows with the length of the paths and
is told beside it. Planning (sort, cut, pack and the attention's parts) is timed apart, on one thread, as the loader
does it. Writes docs/benchmarks.md between its marks.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import marked
import numpy as np
import torch
from environment import machine
from luthier_side import CLIP, LR, OPTIONS
from prepare import model_folder

from luthier.batch import Batch, cut, pack
from luthier.methods.lora import LoRA
from luthier.model.accept import accept
from luthier.model.load import Model, ModelOptions, load
from luthier.model.plan import plan
from luthier.objectives.sft import SFT
from luthier.train.optim import optimizer_of
from luthier.train.step import update
from luthier.types import TokenSequence

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
SCRIPT = "bench/scale.py"
LEARNED = 8
PLANNING_BAR = 0.02

say = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class Shape:
    """Rows of one shape."""

    what: str
    rows: int
    shared: int
    """Tokens that all rows begin with."""
    own: int
    """Tokens of each row's own."""


SHAPES = (
    *(Shape("rows", rows, 40, 24) for rows in (8, 80, 800)),
    *(Shape("prompt", 8, length, 24) for length in (100, 1000, 4000, 8000)),
    *(Shape("sharing", 32, shared, 24) for shared in (0, 24, 150, 720)),
    Shape("sharing", 64, 1310, 24),
)


@dataclass(frozen=True, slots=True)
class Taken:
    """One shape, measured."""

    shape: Shape
    distinct: int
    logical: int
    longest: int
    step_s: float
    planning_s: float

    @property
    def share(self) -> float:
        """Of planning in a step."""
        return self.planning_s / self.step_s


def main() -> None:
    """Measures every shape and writes the page."""
    asked = arguments()
    torch.set_num_threads(asked.threads)
    here = machine()
    model = load(ModelOptions(str(model_folder(asked.model))))
    accept(model)
    LoRA().attach(model.network, dtype=model.dtype, seed=0)
    model.network.train()
    taken = [measured(model, shape, asked.repeats) for shape in SHAPES]
    head = f"`{shlex.join(['python', SCRIPT, *sys.argv[1:]])}` on {here.processor}, {asked.threads} threads; "
    marked.write(PAGE, [f"{head}load before the run {here.load:.1f}.", "", *page(taken)], script=SCRIPT)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="smollm2-135m", help="alias, GGUF file or folder")
    parser.add_argument("--repeats", type=int, default=2, help="timed steps of each shape; the median counts")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


def made(shape: Shape, vocabulary: int) -> list[TokenSequence]:
    """Its rows, drawn by a fixed seed."""
    draw = np.random.default_rng(0)
    first = draw.integers(10, vocabulary, shape.shared)
    weight = np.zeros(shape.shared + shape.own, np.float32)
    weight[-LEARNED:] = 1
    return [
        TokenSequence(np.concatenate((first, draw.integers(10, vocabulary, shape.own))), weight, f"row {at}", group=at)
        for at in range(shape.rows)
    ]


def planned(sequences: Sequence[TokenSequence]) -> list[Batch]:
    """One step's micro-batches; their attention is planned again when they are computed, so its time is counted too."""
    batches = [pack(part) for part in cut(sequences, budget=OPTIONS.token_budget)]
    for batch in batches:
        plan(batch)
    return batches


def measured(model: Model, shape: Shape, repeats: int) -> Taken:
    """Median times of one shape."""
    sequences = made(shape, len(model.tokenizer))
    optimizer = optimizer_of(model.network, OPTIONS)
    planning, steps = list[float](), list[float]()
    for _ in range(repeats + 1):
        began = time.perf_counter()
        batches = planned(sequences)
        ready = time.perf_counter()
        update(model, SFT(), batches, optimizer, lr=LR, clip=CLIP)
        planning.append(ready - began)
        steps.append(time.perf_counter() - ready)
    distinct, logical = sum(batch.distinct for batch in batches), sum(batch.logical for batch in batches)
    longest = max(batch.longest for batch in batches)
    found = Taken(shape, distinct, logical, longest, median(steps[1:]), median(planning[1:]))
    say(f"{shape}: {found.step_s:.2f} s, {found.step_s / distinct * 1000:.2f} ms a distinct token, {found.share:.2%}")
    return found


def page(taken: Sequence[Taken]) -> Iterator[str]:
    """The generated part, line by line."""
    most = max(taken, key=lambda one: one.share)
    word = "reached" if most.share <= PLANNING_BAR else "**not reached**"
    yield f"Planning takes {most.share:.2%} of a step at most; asked: {PLANNING_BAR:.0%}, {word}."
    yield ""
    names = ("what grows", "rows", "shared tokens", "logical", "distinct", "D", "longest path", "s a step")
    yield marked.row(*names, "ms a distinct token", "planning")
    yield marked.row(*["---"] * 10)
    for one in taken:
        shape = one.shape
        counts = (one.logical, one.distinct)
        yield marked.row(
            *(shape.what, f"{shape.rows}", f"{shape.shared}", *(f"{count:,}" for count in counts)),
            *(f"{one.logical / one.distinct:.1f}", f"{one.longest:,}", f"{one.step_s:.2f}"),
            *(f"{one.step_s / one.distinct * 1000:.2f}", f"{one.share:.2%}"),
        )


if __name__ == "__main__":
    main()
