"""Training over a kept trunk is training: the same losses and weights, stopped or not, with others' help or alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_run import OPTIONS, hooks, rows, spent, tiny_model

from luthier.batch import pack
from luthier.methods import Freeze, LoRA, Method, keep_base, restore, save
from luthier.model.forward import forward
from luthier.model.generate import generate
from luthier.model.kept import ROWS
from luthier.model.layers import layer_list
from luthier.model.load import Model
from luthier.model.precision import keep_stream
from luthier.model.quantize import quantize
from luthier.model.trunk import KeptTrunk, keep_trunk, path_keys
from luthier.objectives.sft import SFT
from luthier.train.log import StepRecord
from luthier.train.loop import fit
from luthier.train.options import TrainOptions

METHODS = [Freeze(layers=1), LoRA(rank=4, first_layer=1)]
TOGETHER = replace(OPTIONS, examples_per_step=22, token_budget=4096, epochs=3)
"""Every step has all rows, so that every epoch's batch is composed alike."""
APART = replace(OPTIONS, epochs=2, evaluations_per_epoch=1)


class StoppedError(Exception):
    """The process dies."""


def opened(method: Method, cache: Path | None, *, exact: bool = True, dtype: torch.dtype = torch.float32) -> Model:
    model = tiny_model(dropout=0.0)
    keep_stream(model.network, dtype)
    model.dtype = dtype
    method.attach(model.network, dtype=dtype)
    if cache is not None:
        assert keep_trunk(model, exact=exact, gigabytes=1.0, folder=cache).layer == 1
    return model


def trained(
    folder: Path,
    method: Method,
    options: TrainOptions,
    cache: Path | None,
    *,
    die_at: int | None = None,
    resume: bool = False,
    objective: SFT | None = None,
) -> tuple[Model, list[tuple[float, float]], dict[str, torch.Tensor]]:
    """The model after a run, its losses (training and evaluation) and its weights."""
    model = opened(method, cache)
    if objective is not None:
        keep_base(model, method)

    def step(record: StepRecord) -> None:
        if record.step == die_at:
            raise StoppedError

    calls = replace(
        hooks(model, step=step, say=lambda sentence: None),
        save_weights=lambda to: save(model.network, method, to),
        restore_weights=lambda of: restore(model.network, of),
    )
    fit(model, rows(22), objective or SFT(), options, folder=folder, hooks=calls, resume=resume)
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    told = [(one["step"], one["loss"] if "loss" in one else one["metrics"]["loss"]) for one in lines]
    return model, told, {name: p.detach().clone() for name, p in model.network.named_parameters()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def used(model: Model) -> KeptTrunk:
    assert isinstance(model.trunk, KeptTrunk)
    return model.trunk


@pytest.mark.parametrize("method", METHODS, ids=["freeze", "lora"])
def test_where_batches_are_composed_alike_a_kept_trunk_changes_no_bit_of_three_epochs(
    tmp_path: Path, method: Method
) -> None:
    _, plain, weights = trained(tmp_path / "plain", method, TOGETHER, None)
    model, kept, kept_weights = trained(tmp_path / "kept", method, TOGETHER, tmp_path / "cache")
    assert plain == kept
    assert same(weights, kept_weights)
    assert used(model).read > used(model).computed > 0


def test_in_another_composition_it_differs_by_rounding_alone(tmp_path: Path) -> None:
    _, plain, _ = trained(tmp_path / "plain", METHODS[1], APART, None)
    _, kept, _ = trained(tmp_path / "kept", METHODS[1], APART, tmp_path / "cache")
    assert max(abs(a[1] - b[1]) / a[1] for a, b in zip(plain, kept, strict=True)) < 1e-5


@pytest.mark.parametrize("method", METHODS, ids=["freeze", "lora"])
def test_a_run_that_died_and_was_resumed_has_the_bits_of_one_that_did_not(tmp_path: Path, method: Method) -> None:
    _, whole, weights = trained(tmp_path / "whole", method, APART, tmp_path / "one")
    with pytest.raises(StoppedError):
        trained(tmp_path / "cut", method, APART, tmp_path / "other", die_at=5)
    _, resumed, resumed_weights = trained(tmp_path / "cut", method, APART, tmp_path / "other", resume=True)
    assert whole == resumed
    assert same(weights, resumed_weights)


def test_the_next_trial_computes_no_trunk_and_the_same_run_again_has_the_same_bits(tmp_path: Path) -> None:
    first, told, weights = trained(tmp_path / "first", METHODS[1], APART, tmp_path / "cache")
    again, told_again, weights_again = trained(tmp_path / "again", METHODS[1], APART, tmp_path / "cache")
    assert used(first).computed > 0
    assert used(again).computed == 0
    assert told == told_again
    assert same(weights, weights_again)
    other, _, _ = trained(tmp_path / "other", LoRA(rank=2, first_layer=1), replace(APART, seed=3), tmp_path / "cache")
    assert used(other).computed == 0, "another rank, another order"


@pytest.mark.parametrize("method", METHODS, ids=["freeze", "lora"])
def test_the_base_begins_at_the_cut_too(tmp_path: Path, method: Method) -> None:
    pulled = SFT(kl=0.5)
    _, plain, weights = trained(tmp_path / "plain", method, TOGETHER, None, objective=pulled)
    model, kept, kept_weights = trained(tmp_path / "kept", method, TOGETHER, tmp_path / "cache", objective=pulled)
    assert plain == kept
    assert same(weights, kept_weights)
    batches = (rows(8, seed=1), rows(22)[:8], rows(22))  # the look before the first step, and the first step
    assert used(model).computed == sum(pack(one).distinct for one in batches), "each once, base or not"


def test_other_weights_below_the_cut_are_another_trunk_and_above_it_the_same(tmp_path: Path) -> None:
    found = {}
    for name, layer in (("as it was", None), ("below", 0), ("above", 1)):
        model = tiny_model(dropout=0.0)
        if layer is not None:
            with torch.no_grad():
                next(layer_list(model.network)[layer].parameters()).view(-1)[0] += 1e-3
        LoRA(rank=2, first_layer=1).attach(model.network, dtype=torch.float32)
        keep_trunk(model, exact=True, gigabytes=1.0, folder=tmp_path)
        forward(model, pack(rows(4)))
        found[name] = used(model)
    assert found["below"].read == 0
    assert found["below"].kept.folder != found["as it was"].kept.folder == found["above"].kept.folder
    assert found["above"].computed == 0, "control: it is the weights below that count"


def test_weights_in_few_bits_are_weights_too(tmp_path: Path) -> None:
    folders = []
    for change in (0.0, 0.0, 1.0):
        model = tiny_model(dropout=0.0)
        with torch.no_grad():
            layer_list(model.network)[0].self_attn.q_proj.weight[0, 0] += change
        quantize(model.network, "int8", torch.float32)
        LoRA(rank=2, first_layer=1).attach(model.network, dtype=torch.float32)
        keep_trunk(model, exact=True, gigabytes=1.0, folder=tmp_path)
        folders.append(used(model).kept.folder)
    assert folders[0] == folders[1] != folders[2]


def test_damage_on_disk_is_computed_anew(tmp_path: Path) -> None:
    right = forward(opened(METHODS[1], tmp_path), pack(rows(6))).logprobs
    (file,) = tmp_path.glob(f"*/*{ROWS}")
    data = bytearray(file.read_bytes())
    data[300] ^= 1
    file.write_bytes(data)
    model = opened(METHODS[1], tmp_path)
    assert torch.equal(forward(model, pack(rows(6))).logprobs, right)
    assert used(model).kept.damaged == 1
    assert "damaged" in used(model).told()
    assert torch.equal(forward(opened(METHODS[1], tmp_path), pack(rows(6))).logprobs, right)


def test_without_room_it_trains_all_the_same(tmp_path: Path) -> None:
    model = opened(METHODS[1], None)
    right = forward(model, pack(rows(6))).logprobs
    keep_trunk(model, exact=True, gigabytes=1e-6, folder=tmp_path)
    for _ in range(2):
        assert torch.equal(forward(model, pack(rows(6))).logprobs, right)
    assert used(model).read == 0
    assert "no room was left" in used(model).told()


def test_in_bfloat16_a_state_is_rounded_once_unless_exactness_is_asked_for(tmp_path: Path) -> None:
    batch = pack(rows(22))
    plain = forward(opened(METHODS[1], None, dtype=torch.bfloat16), batch).logprobs
    gaps = {}
    for exact in (True, False):
        cache = tmp_path / str(exact)
        forward(opened(METHODS[1], cache, exact=exact, dtype=torch.bfloat16), batch)
        model = opened(METHODS[1], cache, exact=exact, dtype=torch.bfloat16)
        gaps[exact] = (forward(model, batch).logprobs - plain).abs().max().item()
        assert used(model).computed == 0
    assert gaps[True] == 0
    assert 0 < gaps[False] < 2**-7


def test_generation_is_as_it_was(tmp_path: Path) -> None:
    prompts = [one.tokens[:-3].tolist() for one in rows(5)]
    said = [generate(opened(METHODS[1], cache), prompts, max_new_tokens=4) for cache in (None, tmp_path)]
    assert said[0] == said[1]


def test_evaluation_reads_what_training_kept(tmp_path: Path) -> None:
    model = opened(METHODS[1], tmp_path)
    first = spent(model, rows(8))
    computed = used(model).computed
    assert spent(model, rows(8)) == first
    assert used(model).computed == computed


def test_a_key_is_a_path_not_a_token() -> None:
    batch = pack(rows(3))
    keys = [tuple(key) for key in path_keys(batch)]
    paths = {}
    for at, parent in enumerate(batch.parent.tolist()):
        paths[at] = (*paths.get(parent, ()), int(batch.tokens[at]))
    for one in paths:
        for other in paths:
            assert (keys[one] == keys[other]) == (paths[one] == paths[other])
    assert len(set(paths.values())) > len(set(batch.tokens.tolist())), "control: one token at several places"
    turned = pack(rows(3)[::-1])
    assert {tuple(key) for key in path_keys(turned)} == set(keys)
