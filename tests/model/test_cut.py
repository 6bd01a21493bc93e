"""Beginning at the cut is computing whole, to the bit; where it is not, there is no cut, and the reason is told."""

from __future__ import annotations

from collections.abc import Callable

import families
import pytest
import torch
from torch import nn

from luthier.errors import ModelError
from luthier.methods import Freeze, Full, LoRA, Method
from luthier.methods.lora import adapters
from luthier.model.accept import accept, trial
from luthier.model.cut import find_cut
from luthier.model.forward import above, forward, trunk
from luthier.model.layers import begun, changed, layer_list
from luthier.model.load import Model
from luthier.model.plan import plan

FAMILIES = ("llama", "gemma", "gemma2", "gemma3_text", "cohere2", "gpt_neox", "gpt_oss", "smollm3")


def opened(family: str, method: Method, dtype: torch.dtype = torch.float32) -> Model:
    network = families.network(family, dtype=torch.float32)
    model = Model(network, None, family, torch.device("cpu"), dtype, frozenset({2}), max_length=128)
    accept(model)
    method.attach(network, dtype=torch.float32)
    return model


@pytest.mark.parametrize(
    ("family", "method"), zip(FAMILIES, [Freeze(layers=2), LoRA(rank=2, first_layer=2)] * 4, strict=True)
)
def test_begun_at_the_cut_a_network_computes_what_it_computes_whole(family: str, method: Method) -> None:
    model = opened(family, method)
    assert find_cut(model).layer == 2
    batch, layers = trial(model), layer_list(model.network)[:2]
    seen: list[torch.Tensor] = []
    with changed(layers[-1], lambda hidden: seen.append(hidden) or hidden):
        whole = trunk(model, batch)
    begun_there = above(model, batch, plan(batch), layers, seen[0][0])
    assert torch.equal(begun_there, whole)
    assert not torch.equal(above(model, batch, plan(batch), layers, seen[0][0] + 0.01), whole), "control"
    grads = [torch.autograd.grad(out.square().sum(), learning(model)) for out in (begun_there, whole)]
    assert all(torch.equal(one, other) for one, other in zip(*grads, strict=True))


def learning(model: Model) -> list[nn.Parameter]:
    """The parameters of the network that learn and that its hidden states depend on."""
    head = {id(p) for p in model.network.get_output_embeddings().parameters()}
    return [p for p in model.network.parameters() if p.requires_grad and id(p) not in head]


@pytest.mark.parametrize("name", ["q_proj", "input_layernorm"])
def test_below_the_cut_nothing_is_called_and_autograd_holds_nothing(name: str) -> None:
    model = opened("llama", LoRA(rank=2, first_layer=1))
    batch, layers = trial(model), layer_list(model.network)[:1]
    calls: list[str] = []
    for path, module in model.network.named_modules():
        if path.endswith(name):
            module.register_forward_hook(lambda *_, path=path: calls.append(path))
    seen: list[torch.Tensor] = []
    with changed(layers[-1], lambda hidden: seen.append(hidden) or hidden):
        trunk(model, batch)
    assert seen[0].grad_fn is None
    assert any("layers.0." in path for path in calls), "control: whole, the layer is called"
    calls.clear()
    above(model, batch, plan(batch), layers, seen[0][0])
    assert calls
    assert not any("layers.0." in path for path in calls)


def with_noise(model: Model) -> None:
    """What NEFTune does: noise on the embeddings, while training alone."""
    model.network.get_input_embeddings().register_forward_hook(
        lambda module, given, out: out + torch.rand_like(out) if module.training else out
    )


def with_dropout(model: Model) -> None:
    first = layer_list(model.network)[0]
    first.mlp = nn.Sequential(first.mlp, nn.Dropout(0.1))


def with_stretched_positions(model: Model) -> None:
    model.network.config.rope_parameters = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0}


def with_sharing_off(model: Model) -> None:
    model.shared, model.reason = False, "turned off"


def with_learned_embeddings(model: Model) -> None:
    model.network.get_input_embeddings().requires_grad_(True)


def with_a_memory(model: Model) -> None:
    """The last layer reads what the first one left behind, as families do that share keys between layers."""
    first, *_, last = layer_list(model.network)
    left: list[torch.Tensor] = []
    inner = first.mlp
    inner.register_forward_hook(lambda module, given, out: left.append(out))
    last.register_forward_hook(lambda module, given, out: out + left.pop())


SPOILED: dict[str, Callable[[Model], None]] = {
    "random while training": with_noise,
    "random while training (a dropout": with_dropout,
    "longest row": with_stretched_positions,
    "unshared, because turned off": with_sharing_off,
    "what goes into them learns": with_learned_embeddings,
    "does not run from there": with_a_memory,
}


@pytest.mark.parametrize("reason", SPOILED)
def test_there_is_no_cut_and_the_reason_is_told(reason: str) -> None:
    model = opened("llama", Freeze(layers=2))
    assert find_cut(model).layer == 2, "control"
    SPOILED[reason](model)
    found = find_cut(model)
    assert (found.layer, reason in found.reason) == (0, True), found.reason


@pytest.mark.parametrize("method", [Full(), LoRA(rank=2)], ids=["full", "lora"])
def test_where_every_layer_learns_there_is_no_cut_and_nothing_to_tell(method: Method) -> None:
    found = find_cut(opened("llama", method))
    assert (found.layer, found.reason) == (0, "")


def test_learned_positions_are_told_as_what_goes_into_them() -> None:
    assert "goes into them learns" in find_cut(opened("gpt2", Freeze(layers=2))).reason


def test_examining_leaves_the_network_as_it_was() -> None:
    model = opened("llama", LoRA(rank=2, first_layer=2))
    model.network.train()
    layer_list(model.network)[1].eval()
    state = torch.random.get_rng_state()
    find_cut(model)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert [layer.training for layer in layer_list(model.network)] == [True, False, True]
    assert all(p.grad is None for p in model.network.parameters())


def test_a_layer_is_itself_again_after_an_error() -> None:
    model = opened("llama", LoRA(rank=2, first_layer=2))
    batch = trial(model)
    before = forward(model, batch).logprobs
    with pytest.raises(ValueError, match="on the way"), begun(layer_list(model.network)[:2], torch.zeros(1, 1, 1)):
        raise ValueError("on the way")
    assert torch.equal(forward(model, batch).logprobs, before)


def test_lora_adapts_the_layers_from_the_first_one_on_alone() -> None:
    network = families.network("llama")
    LoRA(rank=2, first_layer=2).attach(network, dtype=torch.float32)
    assert len(adapters(network)) == 7
    assert all(".layers.2." in path for path in adapters(network))


def test_lora_refuses_a_first_layer_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"method\.first_layer: 3, but LlamaForCausalLM has layers 0 to 2"):
        LoRA(first_layer=3).attach(families.network("llama"), dtype=torch.float32)
