"""Gains, patience and the memory of the loop."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from luthier.errors import RecipeError, RunError
from luthier.train.options import TrainOptions
from luthier.train.state import TrainState


def judged(values: list[float], *, higher: bool = True, min_gain: float = 0.0, patience: int | None = 2) -> TrainState:
    state = TrainState()
    for value in values:
        state = replace(state, step=state.step + 1)
        state = state.judged(value, higher_is_better=higher, min_gain=min_gain, patience=patience)
    return state


def test_the_first_evaluation_is_the_best_whichever_way_gains_go() -> None:
    assert judged([-5.0]).best_step == judged([5.0], higher=False).best_step == 1


def test_the_best_is_the_highest_or_the_lowest_as_the_metric_wants() -> None:
    values = [0.5, 0.9, 0.1, 0.9]
    assert judged(values, patience=None).best_step == 2
    assert judged(values, higher=False, patience=None).best_step == 3


def test_patience_counts_evaluations_without_a_gain_and_a_gain_forgives() -> None:
    assert not judged([0.5, 0.4, 0.6, 0.5]).stopped_early
    assert judged([0.5, 0.4, 0.4]).stopped_early
    assert not judged([0.5] * 50, patience=None).stopped_early


def test_a_gain_below_the_minimum_is_none() -> None:
    assert judged([0.5, 0.55], min_gain=0.1).best_step == 1
    assert judged([0.5, 0.65], min_gain=0.1).best_step == 2


def test_nan_is_never_a_gain() -> None:
    assert judged([math.nan]).best_step is None
    assert judged([0.5, math.nan]).best_value == 0.5


def test_the_state_survives_json() -> None:
    state = judged([0.5, 0.25])
    assert TrainState.from_json(json.loads(json.dumps(state.to_json()))) == state


def test_a_state_of_another_version_is_refused() -> None:
    with pytest.raises(RunError, match="momentum"):
        TrainState.from_json({**TrainState().to_json(), "momentum": 1})


def test_all_wrong_options_are_named_at_once() -> None:
    with pytest.raises(RecipeError, match=r"epochs is 0.*warmup is 2.*seed is -1"):
        TrainOptions(epochs=0, warmup=2, seed=-1)
