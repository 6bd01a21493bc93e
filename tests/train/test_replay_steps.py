"""Replay comes beside the task: it moves neither the task's steps nor its order, and a step's number decides it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tiny_run
import torch
from safetensors.torch import load_file

from luthier.data.mix import Replay
from luthier.objectives.sft import SFT
from luthier.train.loader import Plan, plan
from luthier.train.loop import fit
from luthier.train.options import TrainOptions
from luthier.types import TokenSequence

OPTIONS = TrainOptions(epochs=3, examples_per_step=4)


def sequences(groups: int, name: str = "task", *, each: int = 1) -> tuple[TokenSequence, ...]:
    weight = np.array([0, 1, 1], np.float32)
    return tuple(
        TokenSequence(np.array([1, g, c]), weight, f"{name}:{g}", group=g) for g in range(groups) for c in range(each)
    )


def seen(of: Plan, name: str) -> list[list[str]]:
    return [[s.example for s in of.sequences(step) if s.example.startswith(name)] for step in range(of.steps)]


@pytest.mark.parametrize("each", [1 / 9, 0.5, 1.0, 3.0])
def test_the_tasks_steps_are_the_same_with_replay_and_without(each: float) -> None:
    alone, mixed = plan(sequences(10), OPTIONS), plan(sequences(10), OPTIONS, Replay(sequences(5, "old"), each))
    assert mixed.steps == alone.steps
    assert seen(mixed, "task") == seen(alone, "task")


@pytest.mark.parametrize("each", [1 / 9, 0.5, 1.0, 3.0])
def test_the_share_holds_after_every_step_to_within_one_example(each: float) -> None:
    made = plan(sequences(10), OPTIONS, Replay(sequences(5, "old"), each))
    task = replay = 0
    for one, other in zip(seen(made, "task"), seen(made, "old"), strict=True):
        task, replay = task + len(one), replay + len(other)
        assert 0 <= each * task - replay < 1 + 1e-9


def test_every_replay_row_comes_once_before_any_comes_again_in_another_order() -> None:
    made = plan(sequences(20), OPTIONS, Replay(sequences(15, "old"), 1.0))
    drawn = [name for step in seen(made, "old") for name in step]
    assert [Counter(drawn[a : a + 15]) for a in (0, 15, 30, 45)] == [Counter(f"old:{i}" for i in range(15))] * 4
    assert drawn[:15] != drawn[15:30]


def test_a_row_that_comes_twice_in_a_step_is_two_examples_and_none_of_the_tasks() -> None:
    made = plan(sequences(8), OPTIONS, Replay(sequences(1, "old", each=2), 0.5))
    step = made.sequences(0)
    groups = [s.group for s in step if s.example.startswith("old")]
    assert sorted(Counter(groups).values()) == [2, 2]
    assert not set(groups) & {s.group for s in step if s.example.startswith("task")}


def test_the_fingerprint_moves_with_replay_and_is_what_it_was_without() -> None:
    alone = plan(sequences(10), OPTIONS).fingerprint()
    half = Replay(sequences(5, "old"), 0.5)
    made = [plan(sequences(10), OPTIONS, one) for one in (half, replace(half, each=0.25), replace(half, each=1.0))]
    made.append(plan(sequences(10), OPTIONS, Replay(sequences(4, "old"), 0.5)))
    assert len({alone, *(one.fingerprint() for one in made)}) == 5
    assert plan(sequences(10), OPTIONS, Replay((), 0.0)).fingerprint() == alone


def trained(folder: Path, *, stop_after: int | None = None, resume: bool = False) -> dict[str, torch.Tensor]:
    """A run with replay to its end, or to a stop; the weights it leaves."""
    model = tiny_run.tiny_model()

    def step(record: object) -> None:
        if stop_after is not None and getattr(record, "step") == stop_after:  # noqa: B009
            raise KeyboardInterrupt

    calls = tiny_run.hooks(model, step=step, say=lambda sentence: None)
    replay = Replay(tuple(tiny_run.rows(5, seed=7)), 0.4)
    try:
        fit(model, tiny_run.rows(22), SFT(), tiny_run.OPTIONS, folder=folder, hooks=calls, replay=replay, resume=resume)
    except KeyboardInterrupt:
        return {}
    return load_file(folder / "last" / "w.safetensors")


def test_a_resumed_run_with_replay_is_the_uninterrupted_one_to_the_bit(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    trained(tmp_path / "cut", stop_after=9)
    resumed = trained(tmp_path / "cut", resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_control_without_replay_the_weights_are_others(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole")
    tiny_run.run(tmp_path / "plain")
    plain = load_file(tmp_path / "plain" / "last" / "w.safetensors")
    assert not all(torch.equal(whole[name], plain[name]) for name in whole)
