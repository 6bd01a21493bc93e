"""Looking keeps within its share of the time by a clock that says so, and a resumed run looks where it would have."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from test_loop import at_step, bits
from tiny_run import OPTIONS, hooks, rows, tiny_model

from luthier.objectives.sft import SFT
from luthier.train.log import StepRecord
from luthier.train.look import Look, losses
from luthier.train.loop import fit
from luthier.train.options import Hooks
from luthier.train.pace import FEWEST_ROWS, Pace, affordable, rows_per_look
from luthier.train.result import TrainResult
from luthier.train.state import TrainState


@dataclass
class Clock:
    """A second passes each time it is read, so that a step takes one; looks take what they say."""

    now: float = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def ran(
    folder: Path,
    *,
    look_s: float,
    share: float = 0.1,
    epochs: float = 15,
    resume: bool = False,
    change: Callable[[Hooks], Hooks] = lambda hooks: hooks,
    values: Callable[[int], float] = lambda step: 1.0 / step,
    patience: int | None = None,
) -> TrainResult:
    model, clock = tiny_model(dropout=0.0), Clock()
    done = [0]

    def step(record: StepRecord) -> None:
        done[0] = record.step

    def look(count: int) -> Look:
        clock.now += look_s - 1.0
        return Look({"loss": values(done[0])})

    calls = change(replace(hooks(model, say=lambda sentence: None), step=step))
    inner = calls.step

    def both(record: StepRecord) -> None:
        step(record)
        if inner is not None:
            inner(record)

    calls = replace(calls, evaluate=look, measure=None, clock=clock, step=both)
    options = replace(OPTIONS, epochs=epochs, evaluation_share=share, save_every=None, patience=patience)
    return fit(model, rows(8), SFT(), options, folder=folder, hooks=calls, resume=resume)


def looked(folder: Path) -> list[int]:
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line["step"] for line in lines if line["kind"] == "evaluation"]


def test_looks_that_cost_little_are_all_made(tmp_path: Path) -> None:
    result = ran(tmp_path, look_s=0.2, share=0.4)
    steps = looked(tmp_path)
    assert steps == list(range(steps[0], 31))
    assert result.looks + result.passed == 30
    assert result.passed < 6


def test_looks_that_cost_much_are_made_more_rarely_and_keep_their_share(tmp_path: Path) -> None:
    result = ran(tmp_path, look_s=3.0, share=0.3)
    assert result.looks + result.passed == 30
    assert 0.2 < result.looking / (result.looking + result.seconds) <= 0.3
    for number, step in enumerate(looked(tmp_path), start=1):
        assert 3 * number <= 0.3 * (step + 3 * number)


def test_a_share_of_1_asks_no_clock(tmp_path: Path) -> None:
    assert ran(tmp_path, look_s=500.0, share=1.0, epochs=4).passed == 0


def test_the_last_step_is_looked_at_whatever_it_costs(tmp_path: Path) -> None:
    ran(tmp_path, look_s=1e4, epochs=3)
    assert looked(tmp_path)[-1] == 6


def test_a_look_is_afforded_now_and_leaves_room_for_the_last_one() -> None:
    assert affordable(cost=10, last=10, spent=0, trained=90, left=900, share=0.1)
    assert not affordable(cost=10, last=10, spent=1, trained=90, left=900, share=0.1)
    assert not affordable(cost=10, last=10, spent=0, trained=90, left=80, share=0.1)
    assert affordable(cost=10, last=10, spent=0, trained=90, left=90, share=0.1)


def test_losses_are_measured_where_more_cannot_be_afforded_and_take_half_of_the_share_at_most() -> None:
    pace = Pace(share=0.1, steps=1000, examples_per_step=16, rows=32)
    spent = TrainState(step=100, seconds=100.0, looking=5.0, look=30.0, measuring=3.0, measure=2.0)
    assert not pace.whole(spent)
    assert pace.losses(spent)
    assert not pace.losses(replace(spent, measuring=4.0))
    assert not pace.losses(replace(spent, looking=10.0))
    assert not pace.losses(replace(spent, measure=None))
    assert pace.whole(replace(spent, step=1000, seconds=1000.0))


def test_a_look_has_fewer_rows_where_the_run_is_short_and_all_where_they_are_few() -> None:
    assert rows_per_look(300, share=0.1, rows_trained=28_500) == 237
    assert rows_per_look(300, share=0.1, rows_trained=1_000_000) == 300
    assert rows_per_look(300, share=0.1, rows_trained=100) == FEWEST_ROWS
    assert rows_per_look(20, share=0.1, rows_trained=100) == 20
    assert rows_per_look(300, share=1.0, rows_trained=100) == 300


@pytest.mark.parametrize("number", [7, 19, 20])
def test_a_run_stopped_between_looks_makes_the_looks_it_would_have_made(tmp_path: Path, number: int) -> None:
    ran(tmp_path / "whole", look_s=3.0, share=0.3)
    stop = at_step(number, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert ran(tmp_path / "cut", look_s=3.0, share=0.3, change=stop).interrupted
    ran(tmp_path / "cut", look_s=3.0, share=0.3, resume=True)
    assert looked(tmp_path / "cut") == looked(tmp_path / "whole")
    one, other = bits(tmp_path / "whole"), bits(tmp_path / "cut")
    assert {name for name in one if one[name] != other[name]} == set()


@pytest.mark.parametrize("number", [13, 15])
def test_patience_counted_before_a_stop_still_counts_after_it(tmp_path: Path, number: int) -> None:
    def worsens(step: int) -> float:
        return abs(step - 8) / 30

    whole = ran(tmp_path / "whole", look_s=0.5, share=0.3, values=worsens, patience=8)
    assert whole.stopped_early
    assert number < whole.steps < 30
    stop = at_step(number, lambda: os.kill(os.getpid(), signal.SIGINT))
    ran(tmp_path / "cut", look_s=0.5, share=0.3, values=worsens, patience=8, change=stop)
    cut = ran(tmp_path / "cut", look_s=0.5, share=0.3, values=worsens, patience=8, resume=True)
    assert (cut.stopped_early, cut.steps, cut.best_step) == (True, whole.steps, whole.best_step)


def test_rows_of_one_group_are_one_entry() -> None:
    found = losses([1.0, 2.0, 3.0], [1.0, 1.0, 2.0], ["a", "b", "a"])
    assert (found.nats, found.tokens, found.rows) == ((4.0, 2.0), (3.0, 1.0), 3)
    assert found.mean == 1.5


def test_the_gap_is_the_difference_of_the_two_means_and_its_interval_holds_it() -> None:
    held_out = losses([2.0, 3.0, 4.0] * 20, [1.0] * 60, [None] * 60)
    learned = losses([1.0, 2.0, 3.0] * 20, [1.0] * 60, [None] * 60)
    gap = Look({}, held_out, learned).gap
    assert gap is not None
    assert gap.value == pytest.approx(1.0)
    half = 1.96 * (2 * (2 / 3) / 60) ** 0.5
    assert gap.low == pytest.approx(1 - half, abs=0.05)
    assert gap.high == pytest.approx(1 + half, abs=0.05)
