"""A laid-out weight multiplies as the weight does, adapter included, and is gone afterwards."""

from __future__ import annotations

import families
import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from luthier.methods import switched_off
from luthier.methods.lora import LoRA
from luthier.model import laid
from luthier.model.laid import laid_out

pytestmark = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN multiplies no bfloat16 here"
)


def adapted(method: LoRA | None, family: str = "llama") -> PreTrainedModel:
    network = families.network(family, dtype=torch.bfloat16)
    if method is not None:
        method.attach(network, dtype=torch.bfloat16)
        torch.manual_seed(1)
        for name, parameter in method.trainable(network).items():
            parameter.data += 0.3 * torch.randn_like(parameter) * ("magnitude" not in name)
    return network


def hidden(network: PreTrainedModel) -> Tensor:
    tokens = torch.arange(80).remainder(60)[None]
    found: Tensor = network.base_model(input_ids=tokens, use_cache=False).last_hidden_state.float()
    return found


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
@pytest.mark.parametrize("method", [None, LoRA(rank=4), LoRA(rank=4, dora=True), LoRA(rank=4, init="pissa")])
@torch.no_grad()
def test_it_computes_what_the_layers_compute(method: LoRA | None, family: str) -> None:
    network = adapted(method, family)
    plain = hidden(network)
    with laid_out(network, laid.WORTH):
        here = hidden(network)
    assert (here - plain).norm() < 0.03 * plain.norm()
    assert torch.equal(hidden(network), plain)
    assert not any("forward" in module.__dict__ for module in network.modules())


@torch.no_grad()
def test_it_is_the_adapters_part_that_is_in_it_or_left_out() -> None:
    network = adapted(LoRA(rank=4))
    with laid_out(network, laid.WORTH):
        tuned = hidden(network)
    with switched_off(network), laid_out(network, laid.WORTH):
        base = hidden(network)
    with switched_off(network):
        plain = hidden(network)
    assert (tuned - plain).norm() > 0.3 * plain.norm()
    assert (base - plain).norm() < 0.03 * plain.norm()


@torch.no_grad()
def test_every_layer_below_the_head_is_laid_out_and_for_few_none() -> None:
    network = adapted(None)
    with laid_out(network, laid.WORTH):
        still = [module for module in network.modules() if type(module) is nn.Linear and "forward" not in vars(module)]
        assert still == [network.get_output_embeddings()]
    with laid_out(network, laid.WORTH - 1):
        assert not any("forward" in module.__dict__ for module in network.modules())


def test_nothing_is_laid_out_where_something_learns() -> None:
    network = adapted(None)
    with laid_out(network, laid.WORTH):
        assert not any("forward" in module.__dict__ for module in network.modules())


@torch.no_grad()
def test_layers_come_back_after_an_error() -> None:
    network = adapted(None)
    with pytest.raises(ZeroDivisionError), laid_out(network, laid.WORTH):
        raise ZeroDivisionError
    assert not any("forward" in module.__dict__ for module in network.modules())
