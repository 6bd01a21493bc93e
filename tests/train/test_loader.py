"""Every example is seen once an epoch, in an order that follows from seed and epoch alone."""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from luthier.errors import DataError
from luthier.train.loader import Plan, ahead, plan
from luthier.train.options import TrainOptions
from luthier.types import TokenSequence


def sequences(groups: int, *, each: int = 1) -> list[TokenSequence]:
    weight = np.array([0, 1, 1], np.float32)
    return [TokenSequence(np.array([1, g, c]), weight, f"row:{g}", group=g) for g in range(groups) for c in range(each)]


def seen(of: Plan, steps: range) -> list[str]:
    return [sequence.example for step in steps for sequence in of.sequences(step)]


OPTIONS = TrainOptions(epochs=2, examples_per_step=4)


def test_every_example_is_seen_once_an_epoch_with_the_rest_in_a_smaller_last_step() -> None:
    made = plan(sequences(10), OPTIONS)
    assert (made.steps_per_epoch, made.steps) == (3, 6)
    assert len(made.sequences(2)) == 2
    for epoch in (range(0, 3), range(3, 6)):
        assert Counter(seen(made, epoch)) == Counter(f"row:{i}" for i in range(10))


def test_epochs_and_seeds_draw_different_orders_and_the_same_one_again() -> None:
    made = plan(sequences(40), OPTIONS)
    other = plan(sequences(40), replace(OPTIONS, seed=1))
    assert seen(made, range(10)) != seen(made, range(10, 20))
    assert seen(made, range(10)) != seen(other, range(10))
    assert seen(made, range(10)) == seen(plan(sequences(40), OPTIONS), range(10))


def test_the_token_budget_changes_the_cut_but_not_the_step() -> None:
    made, tight = (plan(sequences(8), replace(OPTIONS, token_budget=budget)) for budget in (4096, 4))
    assert len(tight.batches(0)) > len(made.batches(0)) == 1
    assert sum(batch.logical for batch in tight.batches(0)) == made.batches(0)[0].logical


def test_the_completions_of_one_prompt_are_one_example_in_one_micro_batch() -> None:
    made = plan(sequences(8, each=3), replace(OPTIONS, token_budget=1))
    assert len(made.sequences(0)) == 12
    assert [len(batch.leaf) for batch in made.batches(0)] == [3, 3, 3, 3]


@pytest.mark.parametrize(
    ("groups", "per_epoch", "expected"), [(16, 2, [2, 4, 6, 8]), (16, 9, [1, 2, 3, 4, 5, 6, 7, 8])]
)
def test_evaluations_are_spread_over_the_epoch(groups: int, per_epoch: int, expected: list[int]) -> None:
    made = plan(sequences(groups), replace(OPTIONS, evaluations_per_epoch=per_epoch))
    assert [done for done in range(1, made.steps + 1) if made.evaluated(done)] == expected


def test_the_last_step_is_always_evaluated_and_saved() -> None:
    made = plan(sequences(16), replace(OPTIONS, epochs=0.6, evaluations_per_epoch=1))
    assert made.steps == 3
    assert [made.saved(done) for done in (1, 2, 3)] == [False, False, True]


def test_the_fingerprint_moves_with_anything_that_decides_a_step() -> None:
    made = plan(sequences(4), OPTIONS)
    others = [
        plan(sequences(5), OPTIONS),
        plan(sequences(4), replace(OPTIONS, seed=1)),
        plan(sequences(4), replace(OPTIONS, examples_per_step=3)),
        plan([replace(s, weight=s.weight * 2) for s in sequences(4)], OPTIONS),
    ]
    assert len({made.fingerprint(), *(other.fingerprint() for other in others)}) == 5
    assert made.fingerprint() == plan(sequences(4), replace(OPTIONS, token_budget=7)).fingerprint()


def test_nothing_to_learn_is_refused() -> None:
    with pytest.raises(DataError, match="none of the 3"):
        plan([replace(s, weight=s.weight * 0) for s in sequences(3)], OPTIONS)


def test_what_is_made_ahead_comes_in_order_and_ahead() -> None:
    made: list[int] = []

    def make(step: int) -> int:
        made.append(step)
        return step * step

    steps = ahead(make, range(3, 9), depth=2)
    assert next(steps) == (3, 9)
    deadline = time.monotonic() + 5
    while len(made) < 3 and time.monotonic() < deadline:
        time.sleep(0.001)
    assert made == [3, 4, 5]
    assert list(steps) == [(step, step * step) for step in range(4, 9)]


def test_an_error_in_the_thread_comes_through_at_its_step() -> None:
    def make(step: int) -> int:
        return 1 // (2 - step)

    steps = ahead(make, range(4))
    assert [next(steps), next(steps)] == [(0, 0), (1, 1)]
    with pytest.raises(ZeroDivisionError):
        next(steps)


def test_closing_stops_the_thread() -> None:
    before = threading.active_count()
    steps = ahead(lambda step: step, range(100))
    next(steps)
    steps.close()
    assert threading.active_count() == before
