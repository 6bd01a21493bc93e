"""PEFT is the oracle: the same A and B give the same logits and gradients, and each opens what the other saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods import LoRA, restore, save
from luthier.methods.contract import logits, loss
from luthier.methods.linear import low_rank
from luthier.methods.lora import adapters
from luthier.methods.method import replace

Build = Callable[[], PreTrainedModel]


def test_attached_it_computes_what_peft_computes(make: Build) -> None:
    ours, theirs = trained(make), as_peft(make)
    copy(ours, theirs)
    agree(logits(ours), logits(theirs))


def test_its_gradients_are_those_of_peft(make: Build) -> None:
    ours, theirs = trained(make), as_peft(make)
    copy(ours, theirs)
    loss(ours).backward()
    loss(theirs).backward()
    modules = dict(theirs.named_modules())
    for path, module in adapters(ours).items():
        twin = modules[f"base_model.model.{path}"]
        agree(module.lora_a.grad, twin.lora_A["default"].weight.grad)
        agree(module.lora_b.grad, twin.lora_B["default"].weight.grad)


@pytest.mark.parametrize("dropped", [False, True])
def test_its_gradients_agree_with_finite_differences(dropped: bool) -> None:
    draw = torch.Generator().manual_seed(0)
    x, z, weight, bias, a, b = (
        torch.randn(shape, generator=draw, dtype=torch.float64)
        for shape in ((5, 4), (5, 4), (3, 4), (3,), (2, 4), (3, 2))
    )
    for learned in (x, z, a, b):
        learned.requires_grad_(True)
    assert torch.autograd.gradcheck(low_rank, (x, z if dropped else None, weight, bias, a, b, 1.7))


def test_peft_opens_what_it_saved(make: Build, tmp_path: Path) -> None:
    ours = trained(make)
    save(ours, LoRA(rank=3, alpha=6), tmp_path)
    theirs = peft.PeftModel.from_pretrained(make(), str(tmp_path))
    agree(logits(ours), logits(theirs))


def test_peft_loads_every_tensor_it_saved(make: Build, tmp_path: Path) -> None:
    ours = trained(make)
    save(ours, LoRA(rank=3, alpha=6), tmp_path)
    theirs = peft.PeftModel.from_pretrained(make(), str(tmp_path))
    assert peft.get_peft_model_state_dict(theirs).keys() == load_file(tmp_path / "adapter_model.safetensors").keys()


@pytest.mark.parametrize("rslora", [False, True])
def test_it_opens_what_peft_saved(make: Build, tmp_path: Path, rslora: bool) -> None:
    theirs = as_peft(make, rslora=rslora)
    shake(theirs)
    theirs.save_pretrained(str(tmp_path))
    network = make()
    restore(network, tmp_path)
    agree(logits(network), logits(theirs))


def test_ranks_and_alphas_by_pattern_are_honoured_both_ways(
    llama: PreTrainedModel, make: Build, tmp_path: Path
) -> None:
    patterns = {"rank_pattern": {r"layers\.0\.mlp\.up_proj": 5}, "alpha_pattern": {"q_proj": 9}}
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules=["q_proj", "up_proj"], task_type="CAUSAL_LM", **patterns)
    theirs = peft.get_peft_model(llama, config)
    shake(theirs)
    theirs.save_pretrained(str(tmp_path / "theirs"))
    expected = logits(theirs)

    base = theirs.unload()
    restore(base, tmp_path / "theirs")
    agree(logits(base), expected)

    save(base, LoRA(), tmp_path / "ours")
    restored = {path: (m.rank, m.alpha) for path, m in adapters(base).items()}
    assert set(restored.values()) == {(3, 6.0), (5, 6.0), (3, 9.0)}
    for path, module in adapters(base).items():
        replace(base, path, module.base)
    agree(logits(peft.PeftModel.from_pretrained(base, str(tmp_path / "ours"))), expected)


def test_its_dropout_reaches_the_adapter_only_as_with_peft(llama: PreTrainedModel) -> None:
    LoRA(rank=3, alpha=6, dropout=0.4).attach(llama, dtype=torch.float32, seed=1)
    module = next(iter(adapters(llama).values()))
    shake(llama)
    x = torch.randn(5, 16, generator=torch.Generator().manual_seed(8), requires_grad=True)
    torch.manual_seed(9)
    y = module.train()(x)
    y.sum().backward()
    torch.manual_seed(9)
    z = x.detach().clone().requires_grad_(True)
    a, b = module.lora_a.detach(), module.lora_b.detach()
    expected = module.base(z) + module.scale * (torch.nn.functional.dropout(z, 0.4) @ a.T) @ b.T
    expected.sum().backward()
    agree(y, expected)
    agree(x.grad, z.grad)
    assert not torch.equal(module.train()(x), module.eval()(x))


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("use_qalora", True),
        ("bias", "all"),
        ("modules_to_save", ["lm_head"]),
        ("init_lora_weights", "pissa"),
        ("layer_replication", [[0, 1]]),
        ("lora_bias", True),
        ("an_option_of_tomorrow", {"strength": 2}),
        ("peft_type", "TOMORROWS"),
    ],
)
def test_an_option_that_is_not_computed_is_refused_by_name(
    make: Build, tmp_path: Path, option: str, value: object
) -> None:
    save(trained(make), LoRA(), tmp_path)
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {option: value}))
    network = make()
    with pytest.raises(ModelError, match=option):
        restore(network, tmp_path)
    assert not adapters(network)


@pytest.mark.parametrize("damage", ["foreign layer", "half a pair", "wrong width", "embedding"])
def test_an_adapter_that_does_not_fit_is_refused_and_changes_nothing(
    llama: PreTrainedModel, make: Build, tmp_path: Path, damage: str
) -> None:
    LoRA(rank=3, targets=("q_proj",)).attach(llama, dtype=torch.float32)
    save(llama, LoRA(rank=3), tmp_path)
    file = tmp_path / "adapter_model.safetensors"
    tensors = load_file(file)
    first = "base_model.model.model.layers.0.self_attn.q_proj.lora_"
    if damage == "foreign layer":
        tensors = {name.replace("q_proj", "no_proj"): tensor for name, tensor in tensors.items()}
    elif damage == "half a pair":
        del tensors[f"{first}B.weight"]
    elif damage == "wrong width":
        tensors[f"{first}A.weight"] = torch.zeros(3, 15)
    else:
        tensors["base_model.model.model.embed_tokens.lora_embedding_A"] = torch.zeros(3, 61)
    save_file(tensors, file)
    before = {name: value.clone() for name, value in llama.state_dict().items()}
    with pytest.raises(ModelError):
        restore(llama, tmp_path)
    assert all(torch.equal(value, before[name]) for name, value in llama.state_dict().items())


def agree(one: Tensor, other: Tensor) -> None:
    """Float32 rounding apart, relative to the largest value: one matrix product may be summed in another order."""
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6 * max(1.0, float(other.detach().abs().max())))


def trained(make: Build) -> PreTrainedModel:
    """A network with an adapter on every linear layer, moved from its start."""
    network = make()
    LoRA(rank=3, alpha=6).attach(network, dtype=torch.float32)
    shake(network)
    return network


def as_peft(make: Build, *, rslora: bool = False) -> PreTrainedModel:
    """PEFT's own adapter of the same size on the same layers."""
    config = peft.LoraConfig(r=3, lora_alpha=6, target_modules="all-linear", use_rslora=rslora, task_type="CAUSAL_LM")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        wrapped: PreTrainedModel = peft.get_peft_model(make(), config)
    return wrapped


def shake(network: torch.nn.Module) -> None:
    """Moves every adapter weight off its start."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "lora" in name:
                noise: Tensor = torch.randn(parameter.shape, generator=generator)
                parameter.add_(0.2 * noise)


def copy(ours: PreTrainedModel, theirs: PreTrainedModel) -> None:
    """Gives PEFT's adapters the weights of ours; the same layers must carry one."""
    modules = dict(theirs.named_modules())
    carrying = {name for name, module in modules.items() if hasattr(module, "lora_A")}
    assert carrying == {f"base_model.model.{path}" for path in adapters(ours)}
    for path, module in adapters(ours).items():
        twin = modules[f"base_model.model.{path}"]
        twin.lora_A["default"].weight.data.copy_(module.lora_a.data)
        twin.lora_B["default"].weight.data.copy_(module.lora_b.data)


def test_peft_opens_adapters_of_the_upper_layers_alone(llama: PreTrainedModel, tmp_path: Path) -> None:
    method, base = LoRA(rank=3, alpha=6, first_layer=1), deepcopy(llama)
    method.attach(llama, dtype=torch.float32)
    for parameter in method.trainable(llama).values():
        torch.nn.init.normal_(parameter, std=0.3)
    save(llama, method, tmp_path)
    theirs = peft.PeftModel.from_pretrained(base, str(tmp_path))
    assert not any("layers.0." in name for name, _ in theirs.named_parameters() if "lora_" in name)
    agree(logits(llama), logits(theirs))
