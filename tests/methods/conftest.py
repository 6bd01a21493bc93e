"""Tiny random networks of four families: plain, transposed weights (Conv1D), fused and biased, soft-capped and tied."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    Gemma2Config,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
)

Build = Callable[[], PreTrainedModel]

SIZES = {"vocab_size": 61, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
BLOCK = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4}
DRY = {"attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0}

CONFIGS: dict[str, Callable[[], PretrainedConfig]] = {
    "llama": lambda: LlamaConfig(**SIZES, **BLOCK, num_key_value_heads=2, tie_word_embeddings=False),
    "gpt2": lambda: GPT2Config(**SIZES, **DRY, n_embd=16, n_layer=2, n_head=4, n_positions=32),
    "gpt_neox": lambda: GPTNeoXConfig(**SIZES, **BLOCK),
    "gemma2": lambda: Gemma2Config(**SIZES, **BLOCK, num_key_value_heads=2, head_dim=4, query_pre_attn_scalar=4),
}


def build(family: str) -> PreTrainedModel:
    """A network of a family, equal to the bit at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network: PreTrainedModel = AutoModelForCausalLM.from_config(CONFIGS[family](), dtype=torch.float32)
        # Larger than the usual 0.02, so that attention and the adapters matter to the logits.
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    return network.eval()


@pytest.fixture(params=sorted(CONFIGS))
def make(request: pytest.FixtureRequest) -> Build:
    """Builds a network of each family in turn."""
    return lambda: build(request.param)


@pytest.fixture
def llama() -> PreTrainedModel:
    """A fresh Llama."""
    return build("llama")


@pytest.fixture
def llamas() -> Build:
    """Builds a Llama, the same each time."""
    return lambda: build("llama")
