"""A mixture draws each file by its share and size, evenly over a run, and a step's number alone decides it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luthier.data.mix import Mixture, mixture
from luthier.train.loader import Plan, plan
from luthier.train.options import TrainOptions
from luthier.types import TokenSequence

OPTIONS = TrainOptions(epochs=3, examples_per_step=4)


def sequences(sizes: dict[str, int]) -> tuple[TokenSequence, ...]:
    names = [f"{name}:{i}" for name, size in sizes.items() for i in range(size)]
    weight = np.array([0, 1], np.float32)
    return tuple(TokenSequence(np.array([1, at]), weight, name, group=at) for at, name in enumerate(names))


def seen(of: Plan, epoch: int) -> list[str]:
    steps = range(epoch * of.steps_per_epoch, (epoch + 1) * of.steps_per_epoch)
    return [one.example for step in steps for one in of.sequences(step)]


def test_at_temperature_1_an_epoch_sees_every_row_once() -> None:
    made = mixture(["a", "b"], [9, 4], [1, 1], 1)
    assert made.drawn == (9, 4)
    mixed = plan(sequences({"a": 9, "b": 4}), OPTIONS, mixture=made)
    assert Counter(seen(mixed, 1)) == Counter(one.example for one in sequences({"a": 9, "b": 4}))


def test_at_an_infinite_temperature_all_files_are_drawn_alike() -> None:
    assert mixture(["a", "b", "c"], [90, 9, 9], [1, 1, 1], float("inf")).drawn == (36, 36, 36)


def test_by_hand_roots_and_shares() -> None:
    assert mixture(["a", "b"], [64, 16], [1, 1], 2).drawn == (53, 27)  # 8 : 4 of 80
    assert mixture(["a", "b"], [60, 60], [3, 1], 1).drawn == (90, 30)


@given(
    st.lists(st.tuples(st.integers(1, 5000), st.floats(0.01, 100)), min_size=1, max_size=6),
    st.floats(1, 50),
)
def test_an_epoch_has_as_many_examples_as_all_files_and_some_of_each(
    files: list[tuple[int, float]], temperature: float
) -> None:
    sizes, shares = [size for size, _ in files], [share for _, share in files]
    drawn = mixture([str(i) for i in range(len(files))], sizes, shares, temperature).drawn
    assert min(drawn) >= 1
    assert sum(sizes) <= sum(drawn) <= sum(sizes) + len(sizes)


def test_a_small_file_drawn_often_comes_whole_before_any_row_of_it_comes_again() -> None:
    mixed = plan(sequences({"a": 12, "b": 3}), OPTIONS, mixture=Mixture(("a", "b"), (12, 3), (9, 6)))
    small = [name for epoch in range(3) for name in seen(mixed, epoch) if name.startswith("b")]
    assert Counter(small) == {f"b:{i}": 6 for i in range(3)}
    large = Counter(name for epoch in range(3) for name in seen(mixed, epoch) if name.startswith("a"))
    assert set(large.values()) == {2, 3}
    assert len(large) == 12


def test_a_row_that_comes_twice_in_a_step_is_two_examples() -> None:
    mixed = plan(sequences({"a": 3, "b": 1}), OPTIONS, mixture=Mixture(("a", "b"), (3, 1), (1, 3)))
    groups = [one.group for one in mixed.sequences(0)]
    assert len(groups) == len(set(groups)) == 4


def test_another_mixture_is_another_run() -> None:
    rows = sequences({"a": 6, "b": 6})
    prints = {
        plan(rows, OPTIONS, mixture=made).fingerprint()
        for made in (None, Mixture(("a", "b"), (6, 6), (6, 6)), Mixture(("a", "b"), (6, 6), (8, 4)))
    }
    assert len(prints) == 3


@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_the_same_step_sees_the_same_rows_whenever_it_is_asked(epoch: int) -> None:
    made = Mixture(("a", "b"), (6, 2), (4, 4))
    one, other = (plan(sequences({"a": 6, "b": 2}), OPTIONS, mixture=made) for _ in range(2))
    seen(one, 2)
    assert seen(one, epoch) == seen(other, epoch)
