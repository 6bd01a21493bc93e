"""What is said before a run is what the run does, and saying it changes nothing."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_run import OPTIONS, rows, run, tiny_model

from luthier.objectives.sft import SFT
from luthier.train.forecast import estimate, forecast, taste
from luthier.train.optim import trainable


def test_a_short_run_is_counted_to_the_token(tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=3)
    expected, came = forecast(rows(22), options), run(tmp_path, options=options)
    assert expected.counted == expected.steps == came.steps == 18
    assert (expected.distinct, expected.logical) == (came.distinct, came.logical)
    assert expected.sharing == came.logical / came.distinct > 1


def test_a_long_run_is_scaled_up_from_steps_spread_over_it(tmp_path: Path) -> None:
    options = replace(OPTIONS, epochs=12)
    expected, came = forecast(rows(22), options), run(tmp_path, options=options)
    assert expected.counted < expected.steps == came.steps
    assert expected.distinct == pytest.approx(came.distinct, rel=0.1)


def test_a_taste_changes_no_parameter_gradient_or_random_state() -> None:
    model = tiny_model()
    before, state = [p.detach().clone() for p in model.network.parameters()], torch.get_rng_state()
    guess = estimate(model, SFT(), forecast(rows(22), OPTIONS), OPTIONS)
    assert all(torch.equal(a, b) for a, b in zip(before, model.network.parameters(), strict=True))
    assert all(p.grad is None for p in trainable(model.network).values())
    assert torch.equal(state, torch.get_rng_state())
    assert guess.seconds > 0
    assert guess.energy_wh > 0
    assert "distinct tokens took" in guess.assumption


def test_only_the_second_call_of_a_taste_is_timed() -> None:
    calls: list[float] = []

    def compute() -> None:
        time.sleep(0.0 if calls else 0.5)
        calls.append(time.perf_counter())

    assert taste(compute, torch.device("cpu")).seconds < 0.4
    assert len(calls) == 2
    assert taste(compute, torch.device("cpu"), first=lambda: time.sleep(0.5)).seconds < 0.4
    assert len(calls) == 3
