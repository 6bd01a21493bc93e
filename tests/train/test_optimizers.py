"""Each optimizer takes the step its paper says, honours rates and decay, and resumes to the bit."""

from __future__ import annotations

import importlib.util
import math
import os
import signal
import sys
import types
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args, get_type_hints

import pytest
import torch
from safetensors.torch import load_file
from tiny_run import OPTIONS, hooks, rows, tiny_model
from torch import Tensor, nn

from luthier.errors import ModelError, RunError
from luthier.methods import Rate
from luthier.objectives.sft import SFT
from luthier.train.log import StepRecord
from luthier.train.loop import fit
from luthier.train.optim import learning_rate, optimizer_of, optimizer_tensors, set_rates, trainable
from luthier.train.optimizers import Averaging, groups, optimizers
from luthier.train.options import TrainOptions

Name: TypeAlias = Literal["adamw", "adamw-8bit", "adamw-paged", "adafactor", "muon", "schedule-free"]
NEEDS = {"adamw-8bit": "bitsandbytes", "schedule-free": "schedulefree"}


def able(name: str) -> object:
    """An optimizer to test; skipped, and said so, where its package is not there."""
    missing = name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None
    return pytest.param(name, marks=pytest.mark.skipif(missing, reason=f"{NEEDS.get(name)} is not installed"))


HERE = [able(name) for name in optimizers if name != "adamw-paged"]
ELEMENTWISE = [able(name) for name in optimizers if name not in ("adamw-paged", "muon")]


class Small(nn.Module):
    """A matrix large enough for eight bits, an embedding, and a vector."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(5, 64)
        self.inner = nn.Linear(64, 64)

    def forward(self, tokens: Tensor) -> Tensor:
        mapped: Tensor = self.inner(self.words(tokens))
        return mapped.square().sum()


def small(seed: int = 0) -> Small:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Small()


def moved(name: Name, rates: Mapping[str, Rate], *, done: float = 0.0, decay: float = 0.0) -> dict[str, Tensor]:
    """How far the first step takes each parameter."""
    network = small()
    before = {key: p.detach().clone() for key, p in network.named_parameters()}
    optimizer = optimizer_of(network, TrainOptions(optimizer=name, weight_decay=decay), rates)
    network(torch.tensor([0, 1, 2, 3, 4])).backward()
    set_rates(optimizer, 1e-3, done=done)
    optimizer.step()
    return {key: p.detach() - before[key] for key, p in network.named_parameters()}


def test_every_name_of_the_recipe_is_an_optimizer() -> None:
    assert set(get_args(get_type_hints(TrainOptions)["optimizer"])) == set(optimizers)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_first_step_is_about_the_learning_rate_against_the_sign_of_the_gradient(name: Name) -> None:
    network = small()
    network(torch.tensor([0, 1, 2, 3, 4])).backward()
    sign = {key: p.grad.sign() for key, p in network.named_parameters() if p.grad is not None}
    for key, step in moved(name, {}).items():
        assert torch.all(step * sign[key] <= 0)
        assert float(step.square().mean().sqrt()) == pytest.approx(1e-3, rel=0.25), key


def test_the_first_step_of_muon_makes_singular_values_alike_and_has_the_size_of_adamws() -> None:
    step = moved("muon", {})["inner.weight"]
    rank = 5  # one a token
    assert float(step.square().mean().sqrt()) == pytest.approx(0.2e-3 * math.sqrt(rank / 64), rel=0.25)
    plain = moved("adamw", {})["inner.weight"]
    spread = [
        float(torch.linalg.svdvals(one)[:rank].max() / torch.linalg.svdvals(one)[:rank].min()) for one in (step, plain)
    ]
    assert spread[0] < 2 < spread[1]


def test_muon_leaves_embeddings_and_vectors_to_adamw() -> None:
    muon, plain = moved("muon", {}), moved("adamw", {})
    assert torch.equal(muon["words.weight"], plain["words.weight"])
    assert torch.equal(muon["inner.bias"], plain["inner.bias"])
    assert not torch.equal(muon["inner.weight"], plain["inner.weight"])


def test_muon_leaves_a_head_of_its_own_to_adamw() -> None:
    network = tiny_model().network
    network.lm_head.weight = nn.Parameter(network.lm_head.weight.detach().clone())
    inner = {id(p) for group in groups(network, TrainOptions()) if group.inner for p in group.parameters}
    named = trainable(network)
    assert id(named["lm_head.weight"]) not in inner
    assert id(named["model.embed_tokens.weight"]) not in inner
    assert id(named["model.layers.0.self_attn.q_proj.weight"]) in inner


def test_muon_without_a_matrix_to_step_is_refused() -> None:
    with pytest.raises(ModelError, match="use adamw"):
        optimizer_of(nn.Embedding(3, 2), TrainOptions(optimizer="muon"))


def test_a_factored_step_of_adafactor_by_hand() -> None:
    """One step of a matrix: g / sqrt(row mean x column mean / mean), clipped to a root mean square of 1."""
    network = nn.Linear(3, 2, bias=False)
    before = network.weight.detach().clone()
    grad = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.1, 4.0]])
    network.weight.grad = grad.clone()
    optimizer = optimizer_of(network, TrainOptions(optimizer="adafactor", weight_decay=0.0))
    set_rates(optimizer, 0.01, done=0.0)
    optimizer.step()
    square = grad.square()
    wanted = grad / (square.mean(1, keepdim=True) * square.mean(0, keepdim=True) / square.mean()).sqrt()
    wanted = wanted / max(1.0, float(wanted.square().mean().sqrt()))
    torch.testing.assert_close(network.weight.detach(), before - 0.01 * wanted)


@pytest.mark.parametrize("name", HERE)
def test_a_rate_of_its_own_is_honoured(name: Name) -> None:
    plain, faster = moved(name, {}), moved(name, {"inner.weight": Rate(3.0)})
    torch.testing.assert_close(faster["inner.weight"], 3 * plain["inner.weight"], rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(faster["inner.bias"], plain["inner.bias"])


@pytest.mark.parametrize("name", HERE)
def test_what_begins_later_stays_and_then_takes_a_first_step_like_any_other(name: Name) -> None:
    network, fresh = small(), small()
    late = optimizer_of(network, TrainOptions(optimizer=name), {"inner.weight": Rate(begins=0.5)})
    tokens = torch.tensor([0, 1, 2, 3, 4])
    before = network.inner.weight.detach().clone()
    for _ in range(4):
        network(tokens).backward()
        set_rates(late, 1e-3, done=0.0)
        late.step()
        late.zero_grad()
    assert torch.equal(network.inner.weight, before)
    fresh.load_state_dict(network.state_dict())
    alone = optimizer_of(fresh, TrainOptions(optimizer=name), {"inner.weight": Rate(begins=0.5)})
    for one, optimizer in ((network, late), (fresh, alone)):
        one(tokens).backward()
        set_rates(optimizer, 1e-3, done=0.5)
        optimizer.step()
    assert torch.equal(network.inner.weight, fresh.inner.weight)
    assert not torch.equal(network.inner.weight, before)


@pytest.mark.parametrize("name", HERE)
def test_matrices_are_decayed_and_nothing_else(name: Name) -> None:
    plain, decayed = moved(name, {}), moved(name, {}, decay=0.5)
    by = {key: (decayed[key] - plain[key]) for key in plain}
    weight = small().inner.weight.detach()
    torch.testing.assert_close(by["inner.weight"], -1e-3 * 0.5 * weight, rtol=0.02, atol=1e-6)
    assert torch.equal(by["inner.bias"], torch.zeros(64))
    assert torch.equal(by["words.weight"], torch.zeros(5, 64))


@pytest.mark.parametrize("name", HERE)
def test_the_memory_that_is_foretold_is_what_the_state_takes(name: Name) -> None:
    network = small()
    optimizer = optimizer_of(network, TrainOptions(optimizer=name))
    network(torch.tensor([0, 1])).backward()
    optimizer.step()
    kept = optimizer_tensors(optimizer, trainable(network))
    own = sum(tensor.nbytes for path, tensor in kept.items() if "qmap" not in path)  # one table for all
    assert own == sum(optimizers[name].state_bytes(group) for group in groups(network, TrainOptions()))


def fitted(folder: Path, name: Name, *, stop_at: int | None = None, resume: bool = False) -> dict[str, Tensor]:
    """A run with this optimizer: what its last checkpoint holds."""
    model = tiny_model()

    def step(record: StepRecord) -> None:
        if record.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    options = replace(OPTIONS, epochs=2, optimizer=name, lr=1e-2)
    fit(
        model,
        rows(22),
        SFT(),
        options,
        folder=folder,
        hooks=hooks(model, step=step, say=lambda sentence: None),
        resume=resume,
        rates={"model.norm.weight": Rate(2.0, begins=0.4)},
    )
    return {
        f"{file.name} {key}": tensor
        for file in sorted((folder / "last").glob("*.safetensors"))
        for key, tensor in load_file(file).items()
    }


@pytest.mark.parametrize("name", HERE)
def test_a_run_resumes_to_the_bits_of_one_never_stopped(tmp_path: Path, name: Name) -> None:
    whole = fitted(tmp_path / "whole", name)
    fitted(tmp_path / "cut", name, stop_at=7)
    resumed = fitted(tmp_path / "cut", name, resume=True)
    assert set(whole) == set(resumed)
    assert {key for key in whole if not torch.equal(whole[key], resumed[key])} == set()
    states = [(tmp_path / run / "last" / "state.json").read_text() for run in ("whole", "cut")]
    numbers = [text[text.index('"numbers"') :] for text in states]
    assert numbers[0] == numbers[1]


def test_resuming_with_another_optimizer_is_refused(tmp_path: Path) -> None:
    fitted(tmp_path, "adamw", stop_at=3)
    with pytest.raises(RunError, match=r"train\.optimizer=adamw; resume it with the same"):
        fitted(tmp_path, "muon", resume=True)


def test_paging_without_a_gpu_is_refused_with_what_to_take_instead() -> None:
    with pytest.raises(ModelError, match=r"an NVIDIA GPU.*is on cpu; use adamw, or adamw-8bit"):
        optimizer_of(small(), TrainOptions(optimizer="adamw-paged"))


def test_a_missing_package_is_named_with_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    for name, extra in (("adamw-8bit", "quantize"), ("schedule-free", "schedule-free")):
        with pytest.raises(ModelError, match=rf"pip install '?luthier\[{extra}\]"):
            optimizer_of(small(), TrainOptions(optimizer=name))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [able("adamw-8bit")])
def test_importing_bitsandbytes_fetches_no_kernels_and_takes_none_away(
    monkeypatch: pytest.MonkeyPatch, name: Name
) -> None:
    seen: list[object] = []
    there = types.ModuleType("kernels")
    monkeypatch.setitem(sys.modules, "kernels", there)
    monkeypatch.delitem(sys.modules, "bitsandbytes", raising=False)

    class Watch:
        def find_spec(self, wanted: str, path: object = None, target: object = None) -> None:
            if wanted == "bitsandbytes":
                seen.append(sys.modules["kernels"])
                raise ImportError(wanted)

    monkeypatch.setattr(sys, "meta_path", [Watch(), *sys.meta_path])
    with pytest.raises(ModelError, match="needs bitsandbytes"):
        optimizer_of(small(), TrainOptions(optimizer=name))
    assert seen == [None]
    assert sys.modules["kernels"] is there


@pytest.mark.parametrize("name", [able("schedule-free")])
def test_schedule_free_keeps_its_rate_and_judges_the_average_of_what_it_stepped(name: Name) -> None:
    options = TrainOptions(optimizer=name, warmup=0.0, weight_decay=0.0)
    assert [learning_rate(step, 5, 1.0, options) for step in range(5)] == [1.0] * 5
    network = small()
    optimizer = optimizer_of(network, options)
    stepped: list[Tensor] = []
    for _ in range(3):
        network(torch.tensor([0, 1, 2])).backward()
        set_rates(optimizer, 1e-3, done=0.0)
        optimizer.step()
        optimizer.zero_grad()
        stepped.append(optimizer.state[network.inner.weight]["z"].clone())
    assert isinstance(optimizer, Averaging)
    judged = optimizer.averaged(network.inner.weight)
    torch.testing.assert_close(judged, torch.stack(stepped).mean(0), rtol=1e-4, atol=1e-6)
    assert not torch.allclose(network.inner.weight, judged, rtol=1e-5, atol=1e-7)
    assert math.isclose(optimizer.param_groups[0]["weight_sum"], 3e-6, rel_tol=1e-9)
