"""Which examples each step sees, and packing them ahead of it.

The order is drawn from (seed, epoch) alone, and a step's examples from its number alone: nothing to save, nothing to
restore. An epoch's last step takes what is left, so that every example is seen once an epoch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from luthier.batch import Batch, cut, pack
from luthier.errors import DataError
from luthier.train.options import TrainOptions
from luthier.types import TokenSequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The steps of a run over its examples (each the sequences of one group)."""

    examples: tuple[tuple[TokenSequence, ...], ...]
    options: TrainOptions

    @property
    def steps_per_epoch(self) -> int:
        """Steps that see every example once."""
        return math.ceil(len(self.examples) / self.options.examples_per_step)

    @property
    def steps(self) -> int:
        """Steps of the whole run: epochs rounded up to a whole step."""
        return max(1, math.ceil(self.options.epochs * self.steps_per_epoch - 1e-9))

    def sequences(self, step: int) -> list[TokenSequence]:
        """What a step, counted from 0, learns from."""
        epoch, position = divmod(step, self.steps_per_epoch)
        first = position * self.options.examples_per_step
        chosen = _order(self.options.seed, epoch, len(self.examples))[first : first + self.options.examples_per_step]
        return [sequence for index in chosen for sequence in self.examples[index]]

    def batches(self, step: int) -> list[Batch]:
        """The same, cut to the token budget and packed."""
        return [pack(part) for part in cut(self.sequences(step), budget=self.options.token_budget)]

    def evaluated(self, steps_done: int) -> bool:
        """Whether an evaluation is due after this many steps."""
        within = (steps_done - 1) % self.steps_per_epoch + 1
        share = self.options.evaluations_per_epoch / self.steps_per_epoch
        return math.floor(within * share + 1e-9) > math.floor((within - 1) * share + 1e-9) or steps_done == self.steps

    def saved(self, steps_done: int) -> bool:
        """Whether a checkpoint is due after this many steps."""
        every = self.options.save_every
        return self.evaluated(steps_done) or (every is not None and steps_done % every == 0)

    def fingerprint(self) -> str:
        """SHA-256 of all that decides which examples a step sees, and what is learned of them."""
        digest = sha256(f"{self.options.seed} {self.options.examples_per_step}".encode())
        for sequence in (s for example in self.examples for s in example):
            digest.update(f"{len(sequence)} {sequence.group} {sequence.score} {sequence.adapter}".encode())
            digest.update(sequence.tokens.tobytes() + sequence.weight.tobytes())
            for name, stream in sorted(sequence.extra.items()):
                digest.update(name.encode() + stream.tobytes())
        return digest.hexdigest()


def plan(sequences: Sequence[TokenSequence], options: TrainOptions) -> Plan:
    """Gathers the sequences of each group into one example. Raises DataError when there is nothing to learn."""
    examples: dict[int, list[TokenSequence]] = {}
    for sequence in sequences:
        examples.setdefault(sequence.group, []).append(sequence)
    if not any(sequence.supervised for sequence in sequences):
        raise DataError(f"none of the {len(sequences)} training sequences has a token to learn; see rows.jsonl")
    return Plan(tuple(tuple(members) for members in examples.values()), options)


def ahead(make: Callable[[int], T], steps: range, *, depth: int = 2) -> Generator[tuple[int, T], None, None]:
    """Yields `(step, make(step))` in order, made by one thread up to `depth` steps early; its exceptions come through.

    `make` must be a pure function of the step. Close the iterator to stop the thread.
    """
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="packing") as pool:
        waiting = deque(pool.submit(make, step) for step in steps[:depth])
        for i, step in enumerate(steps):
            if i + depth < len(steps):
                waiting.append(pool.submit(make, steps[i + depth]))
            yield step, waiting.popleft().result()


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)
