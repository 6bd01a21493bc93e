"""What each method does to a network that no general law says."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel

from luthier.errors import ModelError, RecipeError
from luthier.methods import (
    IA3,
    BitFit,
    Bottleneck,
    Freeze,
    Full,
    LoRA,
    Peft,
    PrefixTuning,
    PromptTuning,
    Rate,
    merge,
    methods,
    restore,
    save,
    switched_off,
)
from luthier.methods.contract import logits, loss
from luthier.methods.full import layer_list
from luthier.methods.linear import LoRALinear
from luthier.methods.lora import adapters

Build = Callable[[], PreTrainedModel]


def test_the_methods_a_recipe_can_name_are_these() -> None:
    assert methods == {
        "full": Full,
        "freeze": Freeze,
        "lora": LoRA,
        "prefix": PrefixTuning,
        "prompt": PromptTuning,
        "bottleneck": Bottleneck,
        "ia3": IA3,
        "bitfit": BitFit,
        "peft": Peft,
    }


def test_a_method_is_its_own_frozen_configuration() -> None:
    with pytest.raises((FrozenInstanceError, AttributeError)):
        LoRA().rank = 3  # type: ignore[misc]
    assert LoRA() == LoRA(rank=16, alpha=32, targets="all", dropout=0.0, rslora=False)


def test_one_layer_agrees_with_values_computed_by_hand() -> None:
    base = nn.Linear(2, 1)
    base.weight.data, base.bias.data = torch.tensor([[1.0, 2.0]]), torch.tensor([0.5])
    module = LoRALinear(base, rank=1, alpha=3)
    module.lora_a.data, module.lora_b.data = torch.tensor([[1.0, -1.0]]), torch.tensor([[2.0]])
    x = torch.tensor([[3.0, 1.0]], requires_grad=True)
    y = module(x)
    y.backward()
    assert y.item() == 5.5 + 3 * 2 * 2
    assert x.grad.tolist() == [[1 + 3 * 2 * 1, 2 - 3 * 2 * 1]]
    assert module.lora_a.grad.tolist() == [[3 * 2 * 3.0, 3 * 2 * 1.0]]
    assert module.lora_b.grad.tolist() == [[3 * 2.0]]
    assert module.merged().weight.tolist() == [[1 + 3 * 2, 2 - 3 * 2]]


def test_rslora_divides_by_the_root_of_the_rank() -> None:
    base = nn.Linear(2, 2)
    assert LoRALinear(base, rank=4, alpha=8).scale == 2
    assert LoRALinear(base, rank=4, alpha=8, rslora=True).scale == 4


def test_lora_starts_with_b_zero_and_a_within_its_uniform_bound(make: Build) -> None:
    network = make()
    LoRA(rank=8).attach(network, dtype=torch.float32, seed=4)
    for module in adapters(network).values():
        bound = 1 / math.sqrt(module.lora_a.shape[1])
        assert not module.lora_b.any()
        assert 0.5 * bound < float(module.lora_a.detach().abs().max()) <= bound


def test_another_seed_draws_another_start(make: Build) -> None:
    one, other = make(), make()
    LoRA(rank=8).attach(one, dtype=torch.float32, seed=4)
    LoRA(rank=8).attach(other, dtype=torch.float32, seed=5)
    pairs = zip(adapters(one).values(), adapters(other).values(), strict=True)
    assert not any(torch.equal(a.lora_a, b.lora_a) for a, b in pairs)


def test_all_means_every_linear_layer_but_the_output_head(make: Build) -> None:
    network = make()
    head = network.get_output_embeddings()
    LoRA(rank=2).attach(network, dtype=torch.float32)
    assert network.get_output_embeddings() is head
    plain = [m for m in network.modules() if type(m).__name__ in ("Linear", "Conv1D")]
    assert len(plain) == len(adapters(network)) + 1


def test_targets_choose_layers_by_the_end_of_their_name(llama: PreTrainedModel) -> None:
    LoRA(rank=2, targets=("q_proj", "mlp.up_proj")).attach(llama, dtype=torch.float32)
    assert {path.rpartition(".")[2] for path in adapters(llama)} == {"q_proj", "up_proj"}
    assert len(adapters(llama)) == 4


@pytest.mark.parametrize(
    ("method", "says"),
    [
        (LoRA(targets=("q_porj",)), "did you mean 'q_proj'"),
        (LoRA(targets=("lm_head",)), "names no linear layer"),
        (Freeze(layers=3), "has 2"),
        (Freeze(patterns=("*.mpl.*",)), r"'\*.mpl.\*' matches no parameter"),
        (Freeze(layers=2, patterns=("*",)), "leave some to learn"),
    ],
)
def test_a_setting_that_does_not_fit_is_refused_with_the_remedy(
    llama: PreTrainedModel, method: LoRA | Freeze, says: str
) -> None:
    with pytest.raises(ModelError, match=says):
        method.attach(llama, dtype=torch.float32)


def test_a_second_adapter_is_refused(llama: PreTrainedModel) -> None:
    LoRA(rank=2).attach(llama, dtype=torch.float32)
    with pytest.raises(ModelError, match="already"):
        LoRA(rank=2).attach(llama, dtype=torch.float32)


def test_the_frozen_base_computes_in_bfloat16_and_rotary_tables_stay_float32(llama: PreTrainedModel) -> None:
    LoRA(rank=2).attach(llama, dtype=torch.bfloat16)
    assert llama.model.layers[0].mlp.up_proj.base.weight.dtype == torch.bfloat16
    assert llama.model.rotary_emb.inv_freq.dtype == torch.float32
    loss(llama).backward()
    assert all(p.grad.dtype == torch.float32 for p in LoRA().trainable(llama).values())


def test_bfloat16_gradients_stay_near_those_of_float32(make: Build) -> None:
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        network = make()
        LoRA(rank=2).attach(network, dtype=dtype, seed=1)
        loss(network).backward()
        found.append(torch.cat([m.lora_b.grad.flatten() for m in adapters(network).values()]))
    assert torch.cosine_similarity(found[0], found[1], dim=0) > 0.99


def test_nothing_is_sent_below_the_lowest_adapter(llama: PreTrainedModel) -> None:
    LoRA(rank=2, targets=("layers.1.self_attn.q_proj",)).attach(llama, dtype=torch.float32)
    seen: list[bool] = []
    llama.model.layers[1].register_forward_pre_hook(lambda _, given: seen.append(given[0].requires_grad))
    loss(llama).backward()
    assert seen == [False]


def test_layers_of_one_input_keep_it_once(llama: PreTrainedModel) -> None:
    LoRA(rank=2).attach(llama, dtype=torch.float32)
    kept: list[int] = []
    x = torch.randn(7, 16)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape == x.shape:
            kept.append(tensor.data_ptr())
        return tensor

    attention = llama.model.layers[0].self_attn
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        for layer in (attention.q_proj, attention.k_proj, attention.v_proj):
            layer(x)
    assert set(kept) == {x.data_ptr()}


def test_freeze_leaves_the_first_layers_and_the_embeddings_alone(llama: PreTrainedModel) -> None:
    method = Freeze(layers=1, patterns=("*.mlp.*",))
    method.attach(llama, dtype=torch.float32)
    names = method.trainable(llama)
    assert all(name.startswith(("model.layers.1.", "model.norm", "lm_head")) for name in names)
    assert not any(".mlp." in name for name in names)
    assert any("layers.1.self_attn" in name for name in names)


def test_lower_layers_learn_more_slowly_and_later(make: Build) -> None:
    network, method = make(), Full(decay=0.5, unfreeze=0.4)
    method.attach(network, dtype=torch.float32)
    names, rates = {id(p): name for name, p in network.named_parameters()}, method.rates(network)
    lower, upper = (next(layer.parameters()) for layer in layer_list(network))
    embedding = network.get_input_embeddings().weight
    found = [rates[names[id(p)]] for p in (upper, lower, embedding)]
    assert found == [Rate(1.0, 0.0), Rate(0.5, 0.2), Rate(0.25, 0.4)]
    assert rates.keys() == method.trainable(network).keys()
    head = network.get_output_embeddings().weight
    assert rates[names[id(head)]] == (found[2] if head is embedding else Rate(1.0, 0.0))


def test_what_is_frozen_takes_no_part_in_the_schedule(llama: PreTrainedModel) -> None:
    method = Freeze(layers=1, unfreeze=0.4)
    method.attach(llama, dtype=torch.float32)
    assert set(method.rates(llama).values()) == {Rate(1.0, 0.0)}
    assert Freeze().rates(llama) == {}


@pytest.mark.parametrize(("setting", "value"), [("decay", 0.0), ("decay", 1.1), ("unfreeze", 1.0), ("unfreeze", -0.1)])
def test_a_schedule_that_never_ends_is_refused(setting: str, value: float) -> None:
    with pytest.raises(RecipeError, match=f"{setting} is {value}"):
        Full(**{setting: value})


def test_full_tuning_learns_in_float32_and_computes_in_bfloat16_under_autocast(make: Build) -> None:
    network = make()
    network.load_state_dict({name: value.bfloat16().float() for name, value in network.state_dict().items()})
    Full().attach(network, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        loss(network).backward()
    assert all(p.dtype == p.grad.dtype == torch.float32 for p in Full().trainable(network).values())


def test_merging_rounds_once_to_the_base_own_dtype() -> None:
    base = nn.Linear(4, 4, bias=False).bfloat16()
    module = LoRALinear(base, rank=2, alpha=4)
    module.start(torch.Generator().manual_seed(0))
    module.lora_b.data.fill_(0.1)
    expected = (base.weight.float() + 2 * module.lora_b @ module.lora_a).bfloat16()
    assert torch.equal(module.merged().weight, expected)


def test_switching_off_ends_with_its_context_even_after_an_error(llama: PreTrainedModel) -> None:
    LoRA(rank=2).attach(llama, dtype=torch.float32)
    with pytest.raises(KeyError), switched_off(llama):
        raise KeyError
    assert all(module.on for module in adapters(llama).values())


def test_a_network_without_adapters_is_its_own_base(llama: PreTrainedModel) -> None:
    before = logits(llama)
    with switched_off(llama):
        assert torch.equal(before, logits(llama))
    merge(llama)
    assert torch.equal(before, logits(llama))


def test_a_fully_tuned_model_opens_with_transformers(make: Build, tmp_path: Path) -> None:
    network = make()
    Full().attach(network, dtype=torch.float32)
    save(network, Full(), tmp_path)
    opened = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
    assert torch.equal(logits(opened), logits(network))


def test_a_tied_embedding_stays_tied_through_saving(make: Build, tmp_path: Path) -> None:
    network, fresh = make(), make()
    Full().attach(network, dtype=torch.float32)
    network.get_input_embeddings().weight.data.add_(1)
    save(network, Full(), tmp_path)
    restore(fresh, tmp_path)
    tied = network.config.tie_word_embeddings
    assert (fresh.get_output_embeddings().weight is fresh.get_input_embeddings().weight) == tied
    assert torch.equal(logits(fresh), logits(network))


def test_a_folder_of_nothing_is_refused(llama: PreTrainedModel, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="neither an adapter"):
        restore(llama, tmp_path)


def test_a_model_of_another_size_is_refused_and_changes_nothing(make: Build, tmp_path: Path) -> None:
    other = make()
    other.resize_token_embeddings(64)
    save(other, Full(), tmp_path)
    network = make()
    before = logits(network)
    with pytest.raises(ModelError, match="shape"):
        restore(network, tmp_path)
    assert torch.equal(before, logits(network))


def test_nothing_pickled_is_written(make: Build, tmp_path: Path) -> None:
    network = make()
    LoRA(rank=2).attach(network, dtype=torch.float32)
    save(network, LoRA(rank=2), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"adapter_config.json", "adapter_model.safetensors"}
