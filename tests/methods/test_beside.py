"""Bottleneck adapters, IA3 and BitFit: values by hand, PEFT as the oracle of IA3, places by structure, packing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, MixtralConfig, OPTConfig, PreTrainedModel

sys.path.insert(0, str(Path(__file__).parents[1] / "train"))
from tiny_run import rows, tiny_model

from luthier.batch import pack
from luthier.errors import ModelError, RecipeError, RunError
from luthier.methods import IA3, BitFit, Bottleneck, Method, merge, restore, save, switched_off
from luthier.methods.bitfit import ShiftedBias
from luthier.methods.bottleneck import BottleneckLinear
from luthier.methods.contract import logits
from luthier.methods.ia3 import ScaledLinear
from luthier.methods.method import adapted
from luthier.methods.places import places
from luthier.model.forward import evaluating, forward
from luthier.model.generate import generate

Build = Callable[[], PreTrainedModel]
METHODS: list[Method] = [Bottleneck(width=3, placement="houlsby"), IA3(), BitFit()]
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)


def linear() -> nn.Linear:
    """y = x1 + 2 x2 + 0.5."""
    base = nn.Linear(2, 1)
    base.weight.data, base.bias.data = torch.tensor([[1.0, 2.0]]), torch.tensor([0.5])
    return base


def test_a_bottleneck_agrees_with_values_computed_by_hand() -> None:
    module = BottleneckLinear(linear(), width=2, activation="relu", generator=torch.Generator())
    module.down.data, module.down_bias.data = torch.tensor([[2.0], [-1.0]]), torch.tensor([1.0, 0.0])
    module.up.data, module.up_bias.data = torch.tensor([[3.0, 100.0]]), torch.tensor([0.25])
    assert module(torch.tensor([[3.0, 1.0]])).tolist() == [[5.5 + 3 * (2 * 5.5 + 1) + 0.25]]


def test_vectors_stretch_what_a_layer_reads_or_returns_and_merge_into_its_weight() -> None:
    x = torch.tensor([[3.0, 1.0]])
    before = ScaledLinear(linear(), inputs=True)
    before.stretch.data = torch.tensor([2.0, 5.0])
    after = ScaledLinear(linear(), inputs=False)
    after.stretch.data = torch.tensor([3.0])
    assert before(x).tolist() == [[6 + 10 + 0.5]]
    assert after(x).tolist() == [[3 * 5.5]]
    assert (before.merged().weight.tolist(), before.base.bias.tolist()) == ([[2.0, 10.0]], [0.5])
    assert (after.merged().weight.tolist(), after.base.bias.tolist()) == ([[3.0, 6.0]], [1.5])


def test_a_shift_is_a_part_of_the_bias_and_a_layer_without_one_gets_it() -> None:
    x, bare = torch.tensor([[3.0, 1.0]]), nn.Linear(2, 1, bias=False)
    bare.weight.data = torch.tensor([[1.0, 2.0]])
    for base, own in ((linear(), 0.5), (bare, 0.0)):
        module = ShiftedBias(base)
        module.shift.data = torch.tensor([0.25])
        assert module(x).tolist() == [[5.0 + own + 0.25]]
        assert module.merged()(x).tolist() == [[5.0 + own + 0.25]]


def test_a_small_shift_of_a_large_bias_learns_in_float32() -> None:
    module = ShiftedBias(linear().bfloat16())
    module.shift.data += 1e-4
    module(torch.ones(1, 2, dtype=torch.bfloat16)).sum().backward()
    assert module.shift.dtype == module.shift.grad.dtype == torch.float32
    assert float(module.shift.detach()) == pytest.approx(1e-4)


def test_places_are_the_outputs_of_attention_and_mlp(make: Build) -> None:
    network = make()
    ends = {"llama": "o_proj down_proj", "gemma2": "o_proj down_proj", "gpt2": "c_proj c_proj"}
    ends["gpt_neox"] = "dense dense_4h_to_h"
    for place in places(network):
        found = " ".join(path.rpartition(".")[2] for path in (place.attention_output, place.mlp_output))
        assert found == ends[network.config.model_type]
        assert place.attention_output.startswith(place.layer)
        assert "mlp" in place.mlp_output


def test_places_are_found_where_the_mlp_lies_bare_in_the_layer() -> None:
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 2, "vocab_size": 31, "max_position_embeddings": 32}
    config = OPTConfig(**sizes, hidden_size=16, ffn_dim=16, word_embed_proj_dim=16)
    network = AutoModelForCausalLM.from_config(config)
    found = [(place.attention_output, place.mlp_output, place.keys_and_values) for place in places(network)]
    layer = "model.decoder.layers.1"
    attention = f"{layer}.self_attn"
    assert found[1] == (f"{attention}.out_proj", f"{layer}.fc2", (f"{attention}.k_proj", f"{attention}.v_proj"))


@each_method
def test_a_network_without_the_place_is_refused_by_name_and_left_alone(method: Method) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = AutoModelForCausalLM.from_config(MixtralConfig(**sizes, num_key_value_heads=2, vocab_size=31))
    if isinstance(method, BitFit):
        method.attach(network, dtype=torch.float32)  # a bias has its place on whatever is a linear layer
        return
    with pytest.raises(ModelError, match=r"layers\.0: no one linear layer writes what its MLP adds.*lora"):
        method.attach(network, dtype=torch.float32)
    assert not adapted(network)
    assert all(parameter.requires_grad for parameter in network.parameters())


@each_method
def test_a_second_adapter_is_refused(method: Method, llama: PreTrainedModel) -> None:
    IA3().attach(llama, dtype=torch.float32)
    with pytest.raises(ModelError, match="already"):
        method.attach(llama, dtype=torch.float32)


def test_a_bottleneck_has_some_width() -> None:
    with pytest.raises(RecipeError, match="width is 0"):
        Bottleneck(width=0)


def test_the_placements_differ_by_the_adapters_after_attention(make: Build) -> None:
    count = {}
    for placement in ("houlsby", "pfeiffer"):
        network = make()
        Bottleneck(width=2, placement=placement).attach(network, dtype=torch.float32)
        count[placement] = len(adapted(network))
    assert count == {"houlsby": 4, "pfeiffer": 2}


def test_biases_are_those_a_network_has_and_all_where_it_has_none(make: Build) -> None:
    network = make()
    BitFit().attach(network, dtype=torch.float32)
    modules = [network.get_submodule(path) for path in adapted(network)]
    norms = sum(isinstance(module.base, nn.LayerNorm) for module in modules)
    expected = {"llama": (14, 0), "gemma2": (14, 0), "gpt2": (8, 5), "gpt_neox": (8, 5)}
    assert (len(modules) - norms, norms) == expected[network.config.model_type]
    assert network.get_output_embeddings() not in modules


@each_method
def test_packed_and_unpacked_say_the_same_and_off_is_the_base(method: Method) -> None:
    model = tiny_model(dropout=0.0)
    method.attach(model.network, dtype=torch.float32)
    shake(model.network, method)
    sequences = rows(6)
    with evaluating(model):
        packed = pack(sequences)
        together = forward(model, packed)
        alone = torch.cat([forward(model, pack([one])).logprobs for one in sequences])
        with switched_off(model.network):
            off = forward(model, packed).logprobs
        base = forward(tiny_model(dropout=0.0), packed).logprobs
    assert packed.distinct < packed.logical
    torch.testing.assert_close(together.logprobs.sort().values, alone.sort().values, rtol=0, atol=1e-5)
    assert torch.equal(off, base)
    assert not torch.allclose(together.logprobs, base, atol=1e-3)


@each_method
def test_generation_says_what_transformers_says(method: Method) -> None:
    model = tiny_model(dropout=0.0)
    method.attach(model.network, dtype=torch.float32)
    shake(model.network, method)
    prompts = [[1, *range(3, 20)], [1, *range(3, 16), 5]]
    ours = [one.tokens for one in generate(model, prompts, max_new_tokens=6)]
    model.network.set_attn_implementation("sdpa")
    for prompt, said in zip(prompts, ours, strict=True):
        ids = torch.tensor([prompt])
        theirs = model.network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=6, do_sample=False)
        assert theirs[0, len(prompt) :].tolist()[: len(said)] == list(said)


def test_peft_opens_the_vectors_that_were_saved(make: Build, tmp_path: Path) -> None:
    ours = learned(IA3(), make)
    save(ours, IA3(), tmp_path)
    theirs = peft.PeftModel.from_pretrained(make(), str(tmp_path))
    agree(logits(theirs), logits(ours))
    assert peft.get_peft_model_state_dict(theirs).keys() == load_file(tmp_path / "adapter_model.safetensors").keys()


def test_the_vectors_that_peft_saved_open(make: Build, tmp_path: Path) -> None:
    theirs = peft.get_peft_model(make(), peft_config(make()))
    with torch.no_grad():
        draw = torch.Generator().manual_seed(2)
        for name, value in theirs.named_parameters():
            if "ia3" in name:
                value.add_(0.2 * torch.randn(value.shape, generator=draw))
    theirs.save_pretrained(str(tmp_path))
    network = make()
    restore(network, tmp_path)
    agree(logits(network), logits(theirs))
    assert adapted(network).keys() == {
        path for place in places(make()) for path in (*place.keys_and_values, place.mlp_output)
    }


@pytest.mark.parametrize("damage", ["foreign layer", "wrong length", "not all of it", "an option", "another tensor"])
def test_vectors_that_do_not_fit_are_refused_and_change_nothing(make: Build, tmp_path: Path, damage: str) -> None:
    saved = learned(IA3(), make)
    save(saved, IA3(), tmp_path)
    file, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    tensors = load_file(file)
    first = next(iter(tensors))
    tensors = {
        "foreign layer": {name.replace(".0.", ".7."): value for name, value in tensors.items()},
        "wrong length": tensors | {first: torch.ones(3, 1)},
        "not all of it": {name: value for name, value in tensors.items() if name != first},
        "another tensor": tensors | {f"{first}.x": torch.ones(3, 1)},
    }.get(damage, tensors)
    save_file(tensors, file)
    if damage == "an option":
        config.write_text(json.dumps(json.loads(config.read_text()) | {"modules_to_save": ["lm_head"]}))
    network = make()
    if damage == "not all of it":
        IA3().attach(network, dtype=torch.float32)
    before = logits(network)
    with pytest.raises(ModelError):
        restore(network, tmp_path)
    assert torch.equal(before, logits(network))


@pytest.mark.parametrize("method", [Bottleneck(width=3, activation="gelu"), BitFit()], ids=lambda m: type(m).__name__)
def test_our_layout_attaches_the_method_it_names(make: Build, tmp_path: Path, method: Method) -> None:
    network, fresh = learned(method, make), make()
    save(network, method, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["method.json", "trained.safetensors"]
    restore(fresh, tmp_path)
    assert torch.equal(logits(fresh), logits(network))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"name": "bottelneck"}, RunError, "'bottelneck' is not one of"),
        ({"name": "bottleneck", "depth": 2}, RunError, "'depth' is no setting"),
        ({"name": "bottleneck", "width": 4}, ModelError, "has shape"),
        ({"name": "antigravity:Class"}, ModelError, "attach the method first"),
    ],
)
def test_our_layout_refuses_what_it_cannot_compute_and_imports_nothing(
    llama: PreTrainedModel, make: Build, tmp_path: Path, change: dict[str, object], error: type[Exception], words: str
) -> None:
    save(learned(Bottleneck(width=3), lambda: llama), Bottleneck(width=3), tmp_path)
    file = tmp_path / "method.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"method": change}))
    fresh = make()
    with pytest.raises(error, match=words):
        restore(fresh, tmp_path)
    assert "antigravity" not in sys.modules


def test_merged_networks_are_of_the_bases_own_modules_in_bfloat16_too(make: Build) -> None:
    for method in (IA3(), BitFit()):
        network = make()
        method.attach(network, dtype=torch.bfloat16)
        shake(network, method)
        merge(network)
        assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}


def learned(method: Method, make: Build) -> PreTrainedModel:
    """A network with the method on it, moved from its start."""
    network = make()
    method.attach(network, dtype=torch.float32)
    shake(network, method)
    return network


def shake(network: PreTrainedModel, method: Method) -> None:
    """Moves all that learns off its start."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in method.trainable(network).values():
            noise: Tensor = torch.randn(parameter.shape, generator=draw)
            parameter.add_(0.2 * noise)


def agree(one: Tensor, other: Tensor) -> None:
    """Float32 rounding apart, relative to the largest value."""
    torch.testing.assert_close(one, other, rtol=0, atol=1e-6 * max(1.0, float(other.detach().abs().max())))


def peft_config(network: PreTrainedModel) -> peft.IA3Config:
    """PEFT's own IA3 on the same layers."""
    inner = [place.mlp_output for place in places(network)]
    outer = [path for place in places(network) for path in place.keys_and_values]
    return peft.IA3Config(target_modules=[*outer, *inner], feedforward_modules=inner, task_type="CAUSAL_LM")
