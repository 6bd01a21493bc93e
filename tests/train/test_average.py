"""What is averaged is what is judged and saved; what is stepped goes on as if nobody had looked."""

from __future__ import annotations

import importlib.util
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import OPTIONS, hooks, rows, tiny_model
from torch import Tensor

from luthier.errors import RecipeError, RunError
from luthier.objectives.sft import SFT
from luthier.train.average import STEPPED, Moving, standing_in
from luthier.train.log import StepRecord
from luthier.train.look import Look
from luthier.train.loop import fit
from luthier.train.optim import trainable
from luthier.train.options import Hooks, TrainOptions

EMA = replace(OPTIONS, ema=0.9, epochs=2)
FREE = replace(OPTIONS, optimizer="schedule-free", epochs=2)
free = pytest.param(
    FREE,
    marks=pytest.mark.skipif(importlib.util.find_spec("schedulefree") is None, reason="no schedulefree"),
    id="free",
)
AVERAGED = [pytest.param(EMA, id="ema"), free]


def fitted(
    folder: Path, options: TrainOptions, *, stop_at: int | None = None, resume: bool = False, looks: bool = True
) -> dict[str, Tensor]:
    """A run: all that its last checkpoint holds, and what stood in the network at the last look (`judged NAME`)."""
    model = tiny_model()
    judged: dict[str, Tensor] = {}

    def step(record: StepRecord) -> None:
        if record.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    calls: Hooks = hooks(model, step=step, say=lambda sentence: None)
    evaluate = calls.evaluate
    assert evaluate is not None

    def look(count: int) -> Look:
        judged.update({f"judged {name}": p.detach().clone() for name, p in model.network.named_parameters()})
        return evaluate(count)

    calls = replace(calls, evaluate=look) if looks else replace(calls, evaluate=None, measure=None)
    fit(model, rows(22), SFT(), options, folder=folder, hooks=calls, resume=resume)
    saved = {f"{f.name} {key}": t for f in (folder / "last").glob("*.safetensors") for key, t in load_file(f).items()}
    return saved | judged


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    assert set(one) == set(other)
    return {key for key in one if not torch.equal(one[key], other[key])}


@pytest.mark.parametrize("options", AVERAGED)
@pytest.mark.parametrize("stop_at", [1, 5, 9])
def test_an_averaged_run_resumes_to_the_bits_of_one_never_stopped(
    tmp_path: Path, options: TrainOptions, stop_at: int
) -> None:
    whole = fitted(tmp_path / "whole", options)
    fitted(tmp_path / "cut", options, stop_at=stop_at)
    assert differing(whole, fitted(tmp_path / "cut", options, resume=True)) == set()


@pytest.mark.parametrize("options", AVERAGED)
def test_the_average_is_what_is_judged_and_saved_and_not_what_is_stepped(tmp_path: Path, options: TrainOptions) -> None:
    came = fitted(tmp_path, options)
    name = "model.layers.0.self_attn.q_proj.weight"
    assert torch.equal(came[f"judged {name}"], came[f"w.safetensors {name}"])
    assert not torch.equal(came[f"w.safetensors {name}"], came[f"{STEPPED} {name}"])


@pytest.mark.parametrize("options", AVERAGED)
def test_looking_changes_no_bit_of_what_is_stepped(tmp_path: Path, options: TrainOptions) -> None:
    looked = fitted(tmp_path / "looked", options)
    blind = fitted(tmp_path / "blind", replace(options, save_every=None), looks=False)
    assert differing({k: t for k, t in looked.items() if not k.startswith("judged")}, blind) == set()


def test_a_moving_average_leaves_the_steps_themselves_as_they_are(tmp_path: Path) -> None:
    averaged, plain = fitted(tmp_path / "ema", EMA), fitted(tmp_path / "plain", replace(EMA, ema=None))
    names = [key.removeprefix(STEPPED) for key in averaged if key.startswith(STEPPED)]
    assert names
    assert all(torch.equal(averaged[STEPPED + name], plain[f"w.safetensors{name}"]) for name in names)


def test_a_moving_average_by_hand() -> None:
    weight = torch.nn.Parameter(torch.tensor([0.0]))
    average = Moving({"w": weight}, keep=0.5)
    for steps, value in ((1, 1.0), (2, 1.0), (30, 2.0)):
        weight.data = torch.tensor([value])
        average.follow(steps)
    first = 1 - 2 / 11
    second = 3 / 12 * first + 9 / 12
    assert float(average.judged()["w"]) == pytest.approx(0.5 * second + 0.5 * 2.0)
    with standing_in(average, {"w": weight}):
        assert float(weight.detach()) == pytest.approx(float(average.judged()["w"]))
    assert float(weight.detach()) == 2.0


def test_after_an_error_while_judging_the_stepped_weights_stand_again() -> None:
    named = trainable(tiny_model().network)
    average, before = Moving(named, 0.9), {name: p.data for name, p in named.items()}
    with pytest.raises(ZeroDivisionError), standing_in(average, named):
        raise ZeroDivisionError
    assert all(named[name].data is not None and torch.equal(named[name], value) for name, value in before.items())


def test_an_average_is_neither_added_nor_dropped_by_resuming(tmp_path: Path) -> None:
    fitted(tmp_path, EMA, stop_at=3)
    with pytest.raises(RunError, match=r"train\.ema=0\.9; resume it with the same"):
        fitted(tmp_path, replace(EMA, ema=None), resume=True)


def test_two_averages_at_once_and_shares_out_of_range_are_refused() -> None:
    with pytest.raises(RecipeError, match="schedule-free averages already"):
        TrainOptions(optimizer="schedule-free", ema=0.9)
    with pytest.raises(RecipeError, match=r"ema is 1\.0"):
        TrainOptions(ema=1.0)
