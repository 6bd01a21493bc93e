"""Half precision: the stream of hidden states stays float32, and that brings log-probabilities nearer to the truth."""

import copy

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from luthier.model.precision import keep_stream

TOKENS = torch.arange(48)[None] * 7 % 97


def networks(dtype: torch.dtype):
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=97,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=12,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.2,
    )
    exact = AutoModelForCausalLM.from_config(config).eval()
    exact.model.embed_tokens.weight.data *= 30  # trained streams are large beside what a layer adds to them
    rounded = copy.deepcopy(exact).to(dtype)
    exact.load_state_dict({name: value.float() for name, value in rounded.state_dict().items()})
    return exact, rounded


def logprobs(network: torch.nn.Module, *, autocast: bool) -> torch.Tensor:
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        return torch.log_softmax(network(input_ids=TOKENS).logits.float(), -1)


def test_what_enters_the_layers_is_float32_and_what_the_products_read_is_not():
    _, network = networks(torch.bfloat16)
    keep_stream(network, torch.bfloat16)
    seen = {}
    layer = network.model.layers[5]
    layer.register_forward_pre_hook(lambda m, given, named: seen.update(stream=given[0].dtype), with_kwargs=True)
    layer.mlp.register_forward_pre_hook(lambda m, given: seen.update(product=given[0].dtype))
    logprobs(network, autocast=True)
    assert seen == {"stream": torch.float32, "product": torch.bfloat16}


def test_it_is_nearer_to_float32_than_a_rounded_stream_is():
    exact, rounded = networks(torch.bfloat16)
    truth = logprobs(exact, autocast=False)
    plain = (logprobs(rounded, autocast=False) - truth).abs().mean()
    keep_stream(rounded, torch.bfloat16)
    kept = (logprobs(rounded, autocast=True) - truth).abs().mean()
    assert kept < 0.8 * plain


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_types_are_left_alone(dtype):
    _, network = networks(dtype)
    before = network.model(input_ids=TOKENS).last_hidden_state
    keep_stream(network, dtype)
    assert torch.equal(before, network.model(input_ids=TOKENS).last_hidden_state)
