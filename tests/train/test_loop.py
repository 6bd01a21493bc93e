"""A run learns, keeps its best, stops when it is time, and ends with the same bits however it was interrupted."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from tiny_run import OPTIONS, hooks, rows, run, tiny_model
from torch import Tensor

from luthier.batch import Batch, Unit
from luthier.errors import DivergedError, RunError
from luthier.objectives.objective import Objective, Scores
from luthier.objectives.sft import SFT
from luthier.train.log import EvaluationRecord, StepRecord
from luthier.train.look import Look
from luthier.train.loop import fit
from luthier.train.options import Hooks, TrainOptions
from luthier.train.result import TrainResult


def trained(
    folder: Path,
    *,
    options: TrainOptions = OPTIONS,
    objective: Objective | None = None,
    resume: bool = False,
    count: int = 22,
    change: Callable[[Hooks], Hooks] = lambda hooks: hooks,
) -> tuple[TrainResult, list[str]]:
    model, said = tiny_model(), list[str]()
    calls = change(hooks(model, say=said.append))
    return fit(model, rows(count), objective or SFT(), options, folder=folder, hooks=calls, resume=resume), said


TIMES = ("seconds", "looking", "look", "measuring", "measure", "metrics_bytes")
"""What no two runs have alike."""


def bits(folder: Path) -> dict[str, object]:
    """All that must not depend on how a run was interrupted: no times, and no byte counts that follow from them."""
    last = folder / "last"
    state = json.loads((last / "state.json").read_text())
    state["state"] = {n: v for n, v in state["state"].items() if n not in TIMES}
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return {
        "weights": (last / "w.safetensors").read_bytes(),
        "moments": (last / "optimizer.safetensors").read_bytes(),
        "best": (folder / "best" / "w.safetensors").read_bytes(),
        "state": state,
        "metrics": [{n: v for n, v in line.items() if n != "seconds"} for line in lines],
        "links": [os.readlink(folder / "last"), os.readlink(folder / "best")],
        "checkpoints": sorted(path.name for path in (folder / "checkpoints").glob("??????")),
    }


def at_step(number: int, act: Callable[[], None]) -> Callable[[Hooks], Hooks]:
    def step(record: StepRecord) -> None:
        if record.step == number:
            act()

    return lambda hooks: replace(hooks, step=step)


def test_a_run_learns_and_its_result_says_so(tmp_path: Path) -> None:
    result, said = trained(tmp_path, options=replace(OPTIONS, epochs=15, lr=1e-2, save_every=None))
    losses = [line["loss"] for line in bits(tmp_path)["metrics"] if line["kind"] == "step"]  # type: ignore[attr-defined]
    assert sum(losses[-6:]) < 0.8 * sum(losses[:6])
    assert result.steps == result.planned == 90
    assert not result.interrupted
    assert result.logical > result.distinct > 0
    assert said == []


def test_the_global_random_state_neither_matters_nor_is_touched(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    run(tmp_path / "one")
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    run(tmp_path / "other")
    assert bits(tmp_path / "one") == bits(tmp_path / "other")


def test_every_step_draws_its_dropout_anew_and_from_its_number_alone(tmp_path: Path) -> None:
    seeds: list[int] = []
    trained(tmp_path, change=lambda hooks: replace(hooks, step=lambda record: seeds.append(torch.initial_seed())))
    again: list[int] = []
    shorter = replace(OPTIONS, epochs=2)
    trained(
        tmp_path / "again",
        options=shorter,
        change=lambda hooks: replace(hooks, step=lambda record: again.append(torch.initial_seed())),
    )
    assert len(set(seeds)) == 24
    assert again == seeds[:12]


def test_dropout_and_order_follow_the_seed(tmp_path: Path) -> None:
    """The control of the bit-for-bit tests: what they compare does move."""
    run(tmp_path / "one")
    run(tmp_path / "other", options=replace(OPTIONS, seed=1))
    assert bits(tmp_path / "one")["weights"] != bits(tmp_path / "other")["weights"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """What a run that nobody stops leaves."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return bits(folder)


@pytest.mark.parametrize(
    ("number", "wish"), [(1, signal.SIGINT), (5, signal.SIGTERM), (6, signal.SIGINT), (24, signal.SIGINT)]
)
def test_a_wish_to_stop_saves_and_resuming_changes_no_bit(
    tmp_path: Path, whole: dict[str, object], number: int, wish: signal.Signals
) -> None:
    handler = signal.getsignal(wish)
    first, said = trained(tmp_path / "cut", change=at_step(number, lambda: os.kill(os.getpid(), wish)))
    assert first.interrupted == (number < 24)
    assert first.steps == number
    assert "stopping after this step" in said[0]
    assert signal.getsignal(wish) is handler
    second, _ = trained(tmp_path / "cut", resume=True)
    assert second.steps == 24
    cut = bits(tmp_path / "cut")
    assert {name for name in whole if whole[name] != cut[name]} == set()


def test_the_second_wish_stops_at_once(tmp_path: Path) -> None:
    def twice() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path, change=at_step(5, twice))
    result, _ = trained(tmp_path, resume=True)
    assert result.steps == 24


def test_a_damaged_newest_checkpoint_is_said_and_costs_only_time(tmp_path: Path, whole: dict[str, object]) -> None:
    trained(tmp_path / "cut", change=at_step(9, lambda: os.kill(os.getpid(), signal.SIGINT)))
    (tmp_path / "cut" / "last" / "w.safetensors").write_bytes(b"\0" * 100)
    _, said = trained(tmp_path / "cut", resume=True)
    assert "checkpoint 9 is damaged (w.safetensors" in said[0]
    cut = bits(tmp_path / "cut")
    assert {name for name in whole if whole[name] != cut[name]} == set()


def test_a_folder_with_a_run_is_not_trained_over(tmp_path: Path) -> None:
    run(tmp_path)
    with pytest.raises(RunError, match="resume it, or name another folder"):
        trained(tmp_path)


def test_a_finished_run_resumes_to_its_result(tmp_path: Path) -> None:
    first = run(tmp_path)
    assert trained(tmp_path, resume=True)[0] == first


@pytest.mark.parametrize("other", [{"seed": 1}, {"examples_per_step": 5}])
def test_resuming_with_another_order_is_refused_and_other_changes_are_said(
    tmp_path: Path, other: dict[str, int]
) -> None:
    run(tmp_path)
    with pytest.raises(RunError, match="other rows, another seed"):
        trained(tmp_path, resume=True, options=replace(OPTIONS, **other))  # type: ignore[arg-type]
    with pytest.raises(RunError, match="other rows"):
        trained(tmp_path, resume=True, count=23)
    assert trained(tmp_path, resume=True, options=replace(OPTIONS, clip=2.0))[1] == [
        "clip was 1.0 when the run was saved, and is 2.0 now"
    ]


def scripted(values: list[float]) -> Callable[[Hooks], Hooks]:
    """An evaluation whose accuracies are known ahead."""
    left = iter(values)
    return lambda hooks: replace(
        hooks,
        evaluate=lambda count: Look({"loss": 1.0, "accuracy": next(left)}),
        measure=None,
        metric="accuracy",
        higher_is_better=True,
    )


def test_patience_ends_the_run_and_the_best_checkpoint_is_kept(tmp_path: Path) -> None:
    values = [0.1, 0.5, 0.4, 0.5, 0.3, 0.9, 0.9, 0.9]
    result, _ = trained(tmp_path, options=replace(OPTIONS, patience=3), change=scripted(values))
    assert (result.stopped_early, result.steps, result.best_step, result.best_value) == (True, 15, 6, 0.5)
    assert os.readlink(tmp_path / "best") == "checkpoints/000006"
    again, _ = trained(tmp_path, options=replace(OPTIONS, patience=3), resume=True)
    assert again == result


def test_evaluations_are_told_with_their_rank(tmp_path: Path) -> None:
    told: list[EvaluationRecord] = []
    values = [0.1, 0.5, 0.4, 0.5, 0.3, 0.9, 0.9, 0.9]
    trained(tmp_path, change=lambda hooks: replace(scripted(values)(hooks), evaluated=told.append))
    assert [record.best for record in told] == [True, True, False, False, False, True, False, False]
    assert [record.step for record in told] == [3, 6, 9, 12, 15, 18, 21, 24]


def test_a_metric_that_the_evaluation_does_not_bring_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"\['loss'\].*'f1'"):
        trained(tmp_path, change=lambda hooks: replace(hooks, metric="f1"))


def test_a_run_without_evaluation_has_a_last_and_no_best(tmp_path: Path) -> None:
    result, _ = trained(tmp_path, change=lambda hooks: replace(hooks, evaluate=None, measure=None))
    assert result.best_step is None
    assert (tmp_path / "last").exists()
    assert not (tmp_path / "best").is_symlink()


@dataclass(frozen=True)
class SometimesNan:
    """SFT that gives NaN in the micro-batches whose number is named."""

    bad: frozenset[int]
    seen: list[int]
    unit: ClassVar[Unit] = "token"
    needs: ClassVar[frozenset[str]] = frozenset()

    def __call__(self, scores: Scores, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        self.seen.append(1)
        loss, logged = SFT()(scores, batch)
        return (loss * float("nan") if len(self.seen) in self.bad else loss), logged


def test_a_few_refused_steps_are_survived_said_and_written_down(tmp_path: Path) -> None:
    result, said = trained(tmp_path, objective=SometimesNan(frozenset({3, 8}), []))
    refused = [line for line in bits(tmp_path)["metrics"] if line.get("refused")]  # type: ignore[attr-defined]
    assert result.refused == len(refused) == len(said) == 2
    assert refused[0]["loss"] is None
    assert "was left out: loss nan" in said[0]


def test_too_many_refused_steps_end_the_run_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"3 steps were not finite and max_refused is 2.*lower lr"):
        trained(tmp_path, objective=SometimesNan(frozenset(range(4, 99)), []), options=replace(OPTIONS, max_refused=2))
    assert (tmp_path / "last").exists()


def test_an_error_in_a_hook_comes_through_and_lets_go_of_the_folder(tmp_path: Path) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trained(tmp_path, change=at_step(7, fail))
    assert trained(tmp_path, resume=True)[0].steps == 24
