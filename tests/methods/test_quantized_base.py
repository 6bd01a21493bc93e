"""An adapter over a base in few bits learns as one over that base unpacked, and no weight is kept whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from luthier.errors import ModelError
from luthier.methods import IA3, BitFit, Bottleneck, LoRA, Method, merge, switched_off
from luthier.methods.contract import LAWS, logits, loss
from luthier.methods.linear import LoRALinear
from luthier.model.load import ModelOptions, load
from luthier.model.quantize import QuantizedLinear, parameters, quantize

BITS = ("int8", "nf4")


def small() -> PreTrainedModel:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=96,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    return AutoModelForCausalLM.from_config(config)


def packed(bits: str) -> PreTrainedModel:
    network = small()
    quantize(network, bits, torch.float32)  # type: ignore[arg-type]
    return network


def unpacked(bits: str) -> PreTrainedModel:
    """A plain network with the very weights that the packed one computes with."""
    network = packed(bits)
    for name, module in list(network.named_modules()):
        if isinstance(module, QuantizedLinear):
            parent, _, leaf = name.rpartition(".")
            setattr(network.get_submodule(parent), leaf, module.unpacked())
    return network


@pytest.mark.parametrize(("bits", "most"), [("int8", 0.008), ("nf4", 0.11)])
def test_packing_moves_a_weight_by_little(bits: str, most: float) -> None:
    # int8, of 64 to 128 normal weights a row: their largest is about 2.7 deviations, 2.7 / 127 / sqrt(12) = 0.006
    before = dict(small().named_modules())
    for name, module in packed(bits).named_modules():
        if isinstance(module, QuantizedLinear):
            weight = before[name].weight  # type: ignore[union-attr]
            moved = (module.weight - weight).norm() / weight.norm()  # type: ignore[operator, union-attr]
            assert 0 < float(moved.detach()) < most


def test_int8_by_hand() -> None:
    network = small()
    layer = network.model.layers[0].self_attn.q_proj
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[0, :3] = torch.tensor([1.27, -0.5, 0.004])
    quantize(network, "int8", torch.float32)
    made = network.model.layers[0].self_attn.q_proj.weight
    torch.testing.assert_close(made[0, :3], torch.tensor([1.27, -0.5, 0.0]), atol=1e-6, rtol=0)
    assert not made[1:].any()


@pytest.mark.parametrize("bits", BITS)
def test_an_adapter_learns_as_it_would_over_the_unpacked_base(bits: str) -> None:
    gradients: list[dict[str, Tensor]] = []
    for build in (packed, unpacked):
        network, method = build(bits), LoRA(rank=4)
        method.attach(network, dtype=torch.float32, seed=1)
        for module in network.modules():
            if isinstance(module, LoRALinear):
                nn.init.constant_(module.lora_b, 0.01)
        loss(network.train()).backward()
        gradients.append({name: p.grad for name, p in method.trainable(network).items() if p.grad is not None})
    one, other = gradients
    assert one.keys() == other.keys()
    for name, gradient in one.items():
        torch.testing.assert_close(gradient, other[name], msg=name)


METHODS: dict[str, Method] = {
    "lora": LoRA(rank=4),
    "bottleneck": Bottleneck(width=4, placement="houlsby"),
    "ia3": IA3(),
    "bitfit": BitFit(),
}


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("law", sorted(LAWS))
@pytest.mark.parametrize("name", METHODS)
def test_a_method_over_few_bits_keeps_every_law_but_merging_into_the_same_modules(
    bits: str, law: str, name: str
) -> None:
    if law != "merging_changes_nothing" or not METHODS[name].mergeable:
        LAWS[law](METHODS[name], lambda: packed(bits))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(
    "method", [LoRA(rank=4), LoRA(rank=4, targets=("q_proj",)), IA3(), BitFit()], ids=lambda one: type(one).__name__
)
def test_merged_it_is_a_plain_network_that_computes_the_same(bits: str, method: Method) -> None:
    network = packed(bits)
    method.attach(network, dtype=torch.float32)
    with torch.no_grad():
        for parameter in method.trainable(network).values():
            parameter.add_(0.05)
    tuned = logits(network)
    merge(network)
    assert not any(isinstance(module, QuantizedLinear) for module in network.modules())
    torch.testing.assert_close(logits(network), tuned, atol=1e-4, rtol=0)
    with switched_off(network):
        assert not torch.equal(logits(network), logits(packed(bits)))


@pytest.mark.parametrize("bits", BITS)
def test_nothing_of_the_weight_is_kept_between_forward_and_backward(bits: str) -> None:
    kept: dict[Callable[[str], PreTrainedModel], int] = {}
    for build in (packed, unpacked):
        network = build(bits)
        LoRA(rank=4).attach(network, dtype=torch.float32)
        sizes = {p.data_ptr() for p in network.parameters()}
        total = 0

        def count(tensor: Tensor) -> Tensor:
            nonlocal total
            total += tensor.numel() * (tensor.data_ptr() not in sizes)  # noqa: B023
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss(network.train())
        kept[build] = total
    assert kept[packed] <= kept[unpacked] * 1.01


def test_weights_are_counted_though_they_are_packed() -> None:
    assert parameters(packed("int8")) == parameters(small()) == sum(p.numel() for p in small().parameters())


def test_the_packed_weights_take_an_eighth_or_a_quarter_of_float32() -> None:
    for bits, share in (("nf4", 0.14), ("int8", 0.27)):
        layers = [module for module in packed(bits).modules() if isinstance(module, QuantizedLinear)]
        whole = sum(4 * layer.in_features * layer.out_features for layer in layers)
        assert sum(layer.packed.bytes for layer in layers) < share * whole + 2000 * len(layers)


def test_weights_that_learn_cannot_be_packed(tmp_path: Path) -> None:
    small().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="cannot learn themselves"):
        load(ModelOptions(name=str(tmp_path), quantize="int8"), masters=True)
