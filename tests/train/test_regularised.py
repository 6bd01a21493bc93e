"""Noise, the second pass, the pull to the start and the mean of checkpoints: what each is, and that it resumes."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_run import OPTIONS, hooks, rows, tiny_model
from torch import Tensor

from luthier.batch import pack
from luthier.errors import ModelError, RecipeError
from luthier.methods.tuned import find_tuned
from luthier.model.disagreement import disagreement, draws
from luthier.model.forward import evaluating, forward, head, scored_rows
from luthier.model.load import Model
from luthier.model.noise import longest, noised
from luthier.objectives import contract
from luthier.objectives.contract import examples, score
from luthier.objectives.sft import SFT
from luthier.train.forecast import estimate, forecast
from luthier.train.log import StepRecord
from luthier.train.look import Look
from luthier.train.loop import fit
from luthier.train.options import TrainOptions
from luthier.train.pull import Pull
from luthier.train.result import TrainResult
from luthier.train.step import update
from luthier.types import TokenSequence

SHORT = replace(OPTIONS, epochs=2)


def fitted(
    folder: Path,
    options: TrainOptions = SHORT,
    objective: SFT | None = None,
    *,
    stop_at: int | None = None,
    resume: bool = False,
    scores: list[float] | None = None,
) -> tuple[TrainResult, list[str]]:
    """A run; `scores`, where given, are what its looks find."""
    model, said = tiny_model(), list[str]()
    left = iter(scores or ())

    def step(record: StepRecord) -> None:
        if record.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    calls = hooks(model, step=step, say=said.append)
    if scores is not None:
        calls = replace(calls, evaluate=lambda count: Look({"loss": next(left)}), measure=None)
    return fit(model, rows(22), objective or SFT(), options, folder=folder, hooks=calls, resume=resume), said


def held(folder: Path, link: str = "last") -> dict[str, Tensor]:
    files = sorted((folder / link).glob("*.safetensors"))
    return {f"{file.name} {key}": tensor for file in files for key, tensor in load_file(file).items()}


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    assert set(one) == set(other)
    return {key for key in one if not torch.equal(one[key], other[key])}


@pytest.mark.parametrize(
    ("options", "objective"),
    [
        pytest.param(replace(SHORT, neftune=5.0), SFT(), id="neftune"),
        pytest.param(SHORT, SFT(r_drop=1.0), id="r_drop"),
        pytest.param(replace(SHORT, l2_to_start=0.1), SFT(), id="l2_to_start"),
        pytest.param(replace(SHORT, neftune=5.0, l2_to_start=0.1, ema=0.9), SFT(r_drop=1.0), id="all"),
    ],
)
def test_a_regularised_run_resumes_to_the_bit_and_is_not_the_plain_one(
    tmp_path: Path, options: TrainOptions, objective: SFT
) -> None:
    fitted(tmp_path / "whole", options, objective)
    fitted(tmp_path / "cut", options, objective, stop_at=5)
    fitted(tmp_path / "cut", options, objective, resume=True)
    assert differing(held(tmp_path / "whole"), held(tmp_path / "cut")) == set()
    fitted(tmp_path / "plain", replace(SHORT, ema=options.ema))
    assert differing(held(tmp_path / "whole"), held(tmp_path / "plain"))


# NEFTune


def branching() -> list[TokenSequence]:
    """Two rows that share their beginning, one longer than the other, and one by itself."""
    one, other = rows(2)
    longer = replace(
        other, tokens=np.append(other.tokens, [4, 5, 6, 2]), weight=np.append(other.weight, np.ones(4, np.float32))
    )
    return [one, longer]


def embedded(model: Model, strength: float, *, shared: bool = True) -> tuple[Tensor, Tensor]:
    """What enters the layers with noise and without."""
    model.shared = shared
    if not shared:
        model.network.set_attn_implementation("sdpa")
    seen: list[Tensor] = []
    batch = pack(branching())
    for size in (strength, 0.0):
        model.network.train()
        with noised(model, batch, size):
            watch = model.network.get_input_embeddings().register_forward_hook(lambda m, i, out: seen.append(out))
            scored_rows(model, batch)
            watch.remove()
    return seen[0].detach(), seen[1].detach()


def test_the_length_that_noise_goes_by_is_that_of_the_longest_row_through_a_token() -> None:
    batch = pack(branching())
    assert batch.distinct < batch.logical, "the two must share a beginning"
    wanted = torch.zeros(batch.distinct, dtype=torch.int64)
    for leaf in batch.leaf.tolist():
        node = leaf
        while node >= 0:
            wanted[node] = max(int(wanted[node]), int(batch.depth[leaf]) + 1)
            node = int(batch.parent[node])
    assert torch.equal(longest(batch), wanted)
    assert len(set(longest(batch).tolist())) == 2


@pytest.mark.parametrize("shared", [True, False])
def test_noise_is_uniform_within_its_bound_and_fills_it(shared: bool) -> None:
    model = tiny_model(dropout=0.0)
    torch.manual_seed(0)
    draws_ = [torch.sub(*embedded(model, 5.0, shared=shared)) for _ in range(40)]
    drawn = torch.stack(draws_)
    batch = pack(branching())
    lengths = longest(batch)[None] if shared else (batch.depth[batch.leaf] + 1)[:, None].expand(drawn.shape[1:3])
    bound = (5.0 / (lengths * drawn.shape[-1]).float().sqrt())[..., None]
    assert torch.all(drawn.abs() <= bound * (1 + 1e-5))
    assert float((drawn / bound).abs().max()) > 0.99
    assert float((drawn / bound).square().mean()) == pytest.approx(1 / 3, rel=0.02)


def test_nothing_is_noised_where_the_model_is_judged_and_none_is_left_behind() -> None:
    model = tiny_model(dropout=0.0)
    batch = pack(branching())
    with evaluating(model):
        plain = forward(model, batch).logprobs
        with noised(model, batch, 5.0):
            assert torch.equal(forward(model, batch).logprobs, plain)
    model.network.train()
    with torch.no_grad(), noised(model, batch, 5.0):
        assert not torch.equal(forward(model, batch).logprobs, plain)
    with torch.no_grad():
        assert torch.equal(forward(model, batch).logprobs, plain)


def test_noise_that_a_kept_trunk_would_pass_by_is_refused() -> None:
    model = tiny_model(dropout=0.0)
    model.trunk = object()  # type: ignore[assignment]
    with pytest.raises(ModelError, match="noise would not reach"), noised(model, pack(branching()), 5.0):
        pass


# R-Drop


def test_the_disagreement_and_its_gradients_are_plain_autograds() -> None:
    model = tiny_model()
    output, draw = head(model.network), torch.Generator().manual_seed(0)
    sides = [torch.randn(6, 16, generator=draw).requires_grad_() for _ in range(2)]
    p, q = (output.linear(side).log_softmax(-1) for side in sides)
    wanted = torch.nn.functional.kl_div(q, p, reduction="none", log_target=True).sum(-1)
    wanted = wanted + torch.nn.functional.kl_div(p, q, reduction="none", log_target=True).sum(-1)
    leaves = (*sides, output.linear.weight)
    weight = torch.arange(1.0, 7.0)
    plain = torch.autograd.grad((weight * wanted).sum(), leaves)
    found = disagreement(sides[0], sides[1], output)
    torch.testing.assert_close(found, wanted)
    for one, other in zip(torch.autograd.grad((weight * found).sum(), leaves), plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_r_drop_is_half_the_papers_sum() -> None:
    batch = pack(examples())
    scores = score(batch, torch.randn(7, 7, generator=torch.Generator().manual_seed(1)))
    assert scores.twin is not None
    assert scores.disagreement is not None
    loss, logged = SFT(r_drop=3.0)(scores, batch)
    both = -(batch.weight * (scores.logprobs + scores.twin)).sum()
    paper = both + 3.0 * (batch.weight * scores.disagreement / 2).sum()
    assert float(loss) == pytest.approx(float(paper) / 2, rel=1e-6)
    assert float(logged["nll"]) == pytest.approx(float(both) / 2, rel=1e-6)


@pytest.mark.parametrize("objective", [SFT(r_drop=1.0), SFT(r_drop=0.5, kl=0.2, label_smoothing=0.1)])
def test_r_drop_keeps_the_laws_of_objectives(objective: SFT) -> None:
    contract.check(objective)


def test_the_two_passes_differ_by_their_dropout_alone() -> None:
    batch = pack(rows(4))
    for dropout, differ in ((0.2, True), (0.0, False)):
        model = tiny_model(dropout=dropout)
        model.network.train()
        scores = forward(model, batch, needs=frozenset({"twin"}))
        assert scores.twin is not None
        assert scores.disagreement is not None
        assert torch.equal(scores.twin, scores.logprobs) is not differ
        assert bool((scores.disagreement > 0).all()) is differ
        assert draws(model.network) is differ


def test_r_drop_without_dropout_is_refused_before_anything_is_computed(tmp_path: Path) -> None:
    model = tiny_model(dropout=0.0)
    calls = hooks(model, say=lambda sentence: None)
    with pytest.raises(RecipeError, match=r"set method\.dropout=0\.1"):
        fit(model, rows(8), SFT(r_drop=1.0), SHORT, folder=tmp_path, hooks=calls)
    with pytest.raises(RecipeError, match="nothing drops out"):
        estimate(model, SFT(r_drop=1.0), forecast(rows(8), SHORT), SHORT)


# L2 to the start


def test_the_pull_is_the_gradient_of_its_loss_and_is_logged() -> None:
    model = tiny_model(dropout=0.0)
    named = dict(model.network.named_parameters())
    pull, batch = Pull(named, 0.3), pack(rows(6))
    draw = torch.Generator().manual_seed(0)
    away = {name: 0.1 * torch.randn(p.shape, generator=draw) for name, p in named.items()}
    with torch.no_grad():
        for name, parameter in named.items():
            parameter += away[name]
    before = {name: p.detach().clone() for name, p in named.items()}
    moved: list[dict[str, Tensor]] = []
    for one in (None, pull):
        came = update(model, SFT(), [batch], torch.optim.SGD(named.values(), lr=0.0), lr=1.0, pull=one)
        moved.append({name: before[name] - p.detach() for name, p in named.items()})
        with torch.no_grad():
            for name, parameter in named.items():
                parameter.copy_(before[name])
    for name in named:
        torch.testing.assert_close(moved[1][name] - moved[0][name], 0.3 * away[name], rtol=1e-3, atol=1e-5)
    assert came.logged["l2_to_start"] == pytest.approx(
        0.15 * sum(float(a.square().sum()) for a in away.values()), rel=1e-4
    )


def test_a_strong_pull_keeps_the_weights_nearer_to_their_start(tmp_path: Path) -> None:
    start = {f"w.safetensors {name}": p.detach() for name, p in tiny_model().network.named_parameters()}
    far = {}
    for strength in (0.0, 100.0):
        fitted(tmp_path / str(strength), replace(SHORT, l2_to_start=strength))
        end = held(tmp_path / str(strength))
        far[strength] = sum(float((end[name] - value).square().sum()) for name, value in start.items())
    assert far[100.0] < 0.5 * far[0.0]


# the mean of checkpoints


def test_a_better_mean_of_the_last_checkpoints_is_the_best(tmp_path: Path) -> None:
    options = replace(SHORT, average=3, keep_checkpoints=1)
    result, said = fitted(tmp_path, options, scores=[0.9, 0.8, 0.7, 0.6, 0.5])
    assert (result.averaged, result.best_step, result.best_value) == ((6, 9, 12), 12, 0.5)
    assert os.readlink(tmp_path / "best") == "checkpoints/000012-mean"
    assert "steps 6, 9, 12" in said[-1]
    assert "it is the best" in said[-1]
    name = "w.safetensors model.embed_tokens.weight"
    parts = [load_file(tmp_path / "checkpoints" / f"{step:06d}" / "w.safetensors") for step in (6, 9, 12)]
    mean = torch.stack([part["model.embed_tokens.weight"] for part in parts]).mean(0)
    torch.testing.assert_close(held(tmp_path, "best")[name], mean)
    assert json.loads((tmp_path / "best" / "mean.json").read_text())["steps"] == [6, 9, 12]
    (tmp_path / "recipe.yaml").write_text("method: full\n")
    assert find_tuned(tmp_path).checkpoint.name == "000012-mean"


def test_a_mean_that_is_no_better_is_said_and_left_out(tmp_path: Path) -> None:
    result, said = fitted(tmp_path, replace(SHORT, average=2), scores=[0.9, 0.5, 0.7, 0.6, 0.5])
    assert (result.averaged, result.best_step) == ((), 6)
    assert os.readlink(tmp_path / "best") == "checkpoints/000006"
    assert "left out" in said[-1]


def test_the_mean_does_not_depend_on_where_a_run_was_stopped(tmp_path: Path) -> None:
    options = replace(SHORT, average=3)
    fitted(tmp_path / "whole", options)
    assert (tmp_path / "whole" / "checkpoints" / "000006").is_dir()
    for stop in (7, 8, 10):
        fitted(tmp_path / "cut", options, stop_at=stop, resume=stop > 7)
    fitted(tmp_path / "cut", options, resume=True)
    assert differing(held(tmp_path / "whole", "best"), held(tmp_path / "cut", "best")) == set()
    again, _ = fitted(tmp_path / "cut", options, resume=True)
    assert again.averaged in ((), (6, 9, 12))
    assert os.readlink(tmp_path / "cut" / "best") == os.readlink(tmp_path / "whole" / "best")


def test_settings_out_of_range_are_told() -> None:
    for setting, value in (("neftune", -1.0), ("l2_to_start", -1.0), ("average", 1)):
        with pytest.raises(RecipeError, match=f"{setting} is"):
            TrainOptions(**{setting: value})  # type: ignore[arg-type]
    with pytest.raises(RecipeError, match="r_drop is"):
        SFT(r_drop=-1.0)
