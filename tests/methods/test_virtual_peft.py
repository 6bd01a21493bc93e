"""PEFT is the oracle of virtual tokens, and each opens what the other saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import families
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods import Method, PrefixTuning, PromptTuning, restore, save
from luthier.methods.contract import logits, tokens
from luthier.methods.virtual import Virtual, carried

Build = Callable[[], PreTrainedModel]

METHODS: tuple[Method, ...] = (PrefixTuning(tokens=3), PromptTuning(tokens=3))
both = pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)


def agree(one: Tensor, other: Tensor) -> None:
    """Float32 rounding apart, relative to the largest value."""
    torch.testing.assert_close(one, other, rtol=0, atol=2e-6 * max(1.0, float(other.detach().abs().max())))


def trained(make: Build, method: Method) -> PreTrainedModel:
    """A network with virtual tokens, moved from their start."""
    network = make()
    method.attach(network, dtype=torch.float32)
    with torch.no_grad():
        for weight in method.trainable(network).values():
            weight += 0.2 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2))
    return network


def as_peft(make: Build, method: Method, *, projected: bool = False) -> PreTrainedModel:
    """PEFT's own, at its random start."""
    if isinstance(method, PrefixTuning):
        config = peft.PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM", prefix_projection=projected)
    else:
        config = peft.PromptTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        wrapped: PreTrainedModel = peft.get_peft_model(make(), config)
    return wrapped


def of_tokens(method: Method, found: Tensor, *, ours: bool = False) -> Tensor:
    """The logits of the tokens: PEFT leaves those of a prompt's virtual tokens in front."""
    return found if ours or isinstance(method, PrefixTuning) else found[:, 3:]


@both
def test_peft_opens_what_it_saved_and_computes_the_same(make: Build, method: Method, tmp_path: Path) -> None:
    ours = trained(make, method)
    save(ours, method, tmp_path)
    theirs = peft.PeftModel.from_pretrained(make(), str(tmp_path))
    agree(logits(ours), of_tokens(method, logits(theirs)))
    saved = load_file(tmp_path / "adapter_model.safetensors")
    assert peft.get_peft_model_state_dict(theirs).keys() == saved.keys()


@both
def test_its_gradients_are_those_of_peft(make: Build, method: Method, tmp_path: Path) -> None:
    theirs, ours = as_peft(make, method), make()
    theirs.save_pretrained(str(tmp_path))
    restore(ours, tmp_path)
    for network in (ours, theirs):
        found = network(input_ids=tokens(network), use_cache=False).logits
        of_tokens(method, found, ours=network is ours).square().mean().backward()
    agree(carried(ours, Virtual).weight.grad, theirs.prompt_encoder["default"].embedding.weight.grad)


@both
def test_it_opens_what_peft_saved_on_a_fresh_network_and_on_an_attached_one(
    make: Build, method: Method, tmp_path: Path
) -> None:
    theirs = as_peft(make, method)
    theirs.save_pretrained(str(tmp_path))
    fresh, attached = make(), trained(make, method)
    expected = of_tokens(method, logits(theirs))
    for network in (fresh, attached):
        restore(network, tmp_path)
        agree(logits(network), expected)
    assert not any(p.requires_grad for n, p in fresh.named_parameters() if "virtual" not in n)


def test_a_prefix_that_peft_trained_through_its_projection_opens(make: Build, tmp_path: Path) -> None:
    theirs = as_peft(make, METHODS[0], projected=True)
    theirs.save_pretrained(str(tmp_path))
    network = make()
    restore(network, tmp_path)
    agree(logits(network), logits(theirs))


@both
@pytest.mark.parametrize(
    ("option", "value"),
    [("modules_to_save", ["lm_head"]), ("num_transformer_submodules", 2), ("an_option_of_tomorrow", 1)],
)
def test_an_option_that_is_not_computed_is_refused_by_name(
    llama: PreTrainedModel, make: Build, method: Method, tmp_path: Path, option: str, value: object
) -> None:
    save(trained(make, method), method, tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {option: value}))
    with pytest.raises(ModelError, match=r"encoder and a decoder" if "submodules" in option else option):
        restore(llama, tmp_path)
    assert carried(llama, Virtual) is None


@both
@pytest.mark.parametrize("damage", ["another width", "another name", "another count", "the other method"])
def test_virtual_tokens_that_do_not_fit_are_refused_and_change_nothing(
    llama: PreTrainedModel, method: Method, tmp_path: Path, damage: str
) -> None:
    method.attach(llama, dtype=torch.float32)
    save(llama, method, tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    weight = load_file(file)["prompt_embeddings"]
    if damage == "another width":
        weight = weight[:, :-1]
    elif damage == "another count":
        weight = weight[:-1]
    elif damage == "the other method":
        config = tmp_path / "adapter_config.json"
        kinds = {"PREFIX_TUNING": "PROMPT_TUNING", "PROMPT_TUNING": "PREFIX_TUNING"}
        said = json.loads(config.read_text())
        config.write_text(json.dumps(said | {"peft_type": kinds[said["peft_type"]]}))
    name = "embeddings" if damage == "another name" else "prompt_embeddings"
    save_file({name: weight.contiguous()}, file)
    before = {name: value.clone() for name, value in llama.state_dict().items()}
    with pytest.raises(ModelError):
        restore(llama, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in llama.state_dict().items())
    assert llama.state_dict().keys() == before.keys()


def test_a_prefix_of_another_base_is_refused(llama: PreTrainedModel, tmp_path: Path) -> None:
    other = families.network("llama")  # three layers
    save(trained(lambda: other, METHODS[0]), METHODS[0], tmp_path)
    with pytest.raises(ModelError, match="is this its base"):
        restore(llama, tmp_path)
    assert carried(llama, Virtual) is None
