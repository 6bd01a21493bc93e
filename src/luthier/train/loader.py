"""Which examples each step sees, and packing them ahead of it.

The order is drawn from (seed, epoch) alone, and a step's examples from its number alone: nothing to save, nothing to
restore. An epoch's last step takes what is left, so that every example is seen once an epoch. Replay comes on top: it
moves neither the steps nor the task's order.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from hashlib import sha256
from typing import Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from luthier.batch import Batch, cut, pack
from luthier.data.mix import Mixture, Replay
from luthier.errors import DataError
from luthier.train.options import TrainOptions
from luthier.types import TokenSequence

T = TypeVar("T")
REPLAY: Final = 1
"""What tells the orders of replay from those of the task."""
MIXED: Final = 2
"""And those of the files of a mixture."""
Examples: TypeAlias = "tuple[tuple[TokenSequence, ...], ...]"


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The steps of a run over its examples (each the sequences of one group), with replay beside them."""

    examples: Examples
    options: TrainOptions
    replay: Examples = ()
    each: float = 0.0
    """Replay examples beside each of the examples."""
    mixture: Mixture | None = None
    """How the examples divide into files, where these are not drawn by their sizes alone; None draws each once."""

    @property
    def per_epoch(self) -> int:
        """Examples that an epoch sees."""
        return len(self.examples) if self.mixture is None else sum(self.mixture.drawn)

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; without a mixture these see every example once."""
        return math.ceil(self.per_epoch / self.options.examples_per_step)

    @property
    def steps(self) -> int:
        """Steps of the whole run: epochs rounded up to a whole step."""
        return max(1, math.ceil(self.options.epochs * self.steps_per_epoch - 1e-9))

    def sequences(self, step: int) -> list[TokenSequence]:
        """What a step, counted from 0, learns from."""
        epoch, position = divmod(step, self.steps_per_epoch)
        first = position * self.options.examples_per_step
        chosen = self._order(epoch)[first : first + self.options.examples_per_step]
        before = epoch * self.per_epoch + first
        task = [sequence for index in chosen for sequence in self.examples[index]]
        if self.mixture is not None:  # an example that comes twice in a step stays two
            task = [replace(one, group=place) for place, index in enumerate(chosen) for one in self.examples[index]]
        return task + self._replayed(before, before + len(chosen))

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Which examples an epoch sees, in its order."""
        order = _order(self.options.seed, epoch, self.per_epoch)
        return order if self.mixture is None else _drawn(self.mixture, self.options.seed, epoch)[order]

    def _replayed(self, before: int, after: int) -> list[TokenSequence]:
        """The replay that goes with the task's examples from the `before`-th seen to the `after`-th.

        Replay goes round and round in orders of its own; its groups are below 0, so that an example that comes twice
        in a step stays two.
        """
        rounds = range(math.floor(before * self.each + 1e-9), math.floor(after * self.each + 1e-9))
        places = [divmod(i, len(self.replay)) for i in rounds] if self.replay else []
        drawn = [self.replay[_order(self.options.seed, turn, len(self.replay), REPLAY)[at]] for turn, at in places]
        return [replace(sequence, group=-1 - i) for i, members in enumerate(drawn) for sequence in members]

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
        if self.mixture is not None:
            digest.update(f"{self.mixture.sizes} {self.mixture.drawn}".encode())
        if self.replay:
            digest.update(f"{self.each!r} {len(self.replay)}".encode())
        for sequence in (s for example in (*self.examples, *self.replay) for s in example):
            digest.update(f"{len(sequence)} {sequence.group} {sequence.score} {sequence.adapter}".encode())
            digest.update(sequence.tokens.tobytes() + sequence.weight.tobytes())
            for name, stream in sorted(sequence.extra.items()):
                digest.update(name.encode() + stream.tobytes())
        return digest.hexdigest()


def plan(
    sequences: Sequence[TokenSequence],
    options: TrainOptions,
    replay: Replay | None = None,
    mixture: Mixture | None = None,
) -> Plan:
    """Gathers the sequences of each group into one example. Raises DataError when there is nothing to learn."""
    if not any(sequence.supervised for sequence in sequences):
        raise DataError(f"none of the {len(sequences)} training sequences has a token to learn; see rows.jsonl")
    made = Plan(_examples(sequences), options, mixture=mixture)
    return made if replay is None else replace(made, replay=_examples(replay.sequences), each=replay.each)


def _examples(sequences: Sequence[TokenSequence]) -> Examples:
    examples: dict[int, list[TokenSequence]] = {}
    for sequence in sequences:
        examples.setdefault(sequence.group, []).append(sequence)
    return tuple(tuple(members) for members in examples.values())


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


@lru_cache(maxsize=8)
def _drawn(mixture: Mixture, seed: int, epoch: int) -> NDArray[np.int64]:
    """The examples that an epoch sees, file after file: each goes round and round in orders of its own."""
    firsts = np.cumsum((0, *mixture.sizes))
    return np.concatenate(
        [
            first + _round(seed, file, size, epoch * drawn, (epoch + 1) * drawn)
            for file, (first, size, drawn) in enumerate(zip(firsts, mixture.sizes, mixture.drawn, strict=False))
        ]
    )


def _round(seed: int, file: int, size: int, start: int, stop: int) -> NDArray[np.int64]:
    """The examples at places `[start, stop)` of an endless row of permutations."""
    turns = [_order(seed, turn, size, MIXED, file) for turn in range(start // size, (stop - 1) // size + 1)]
    return np.concatenate(turns)[start - start // size * size :][: stop - start]


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, count: int, *stream: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch, *stream]).permutation(count)
