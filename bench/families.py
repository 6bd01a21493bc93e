"""Tiny random models of transformers' decoder families: what the acceptance tests and `docs/models.md` run over."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

SMALL = {
    "vocab_size": 61,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "attention_dropout": 0.0,
}

WINDOW = {"sliding_window": 7}
MIXED = {"sliding_window": 7, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": WINDOW,
    "ministral": MIXED,
    "qwen2": {},
    "qwen3": {},
    "gemma": {},
    "gemma2": {**MIXED, "query_pre_attn_scalar": 8, "attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0},
    "gemma3_text": {**MIXED, "query_pre_attn_scalar": 8},
    "phi": {"num_key_value_heads": 4},
    "phi3": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 1.0}},
    "olmo": {"clip_qkv": None},
    "olmo2": {},
    "olmo3": MIXED,
    "granite": {"attention_multiplier": 0.2, "logits_scaling": 2.0, "residual_multiplier": 0.5},
    "cohere": {"logit_scale": 0.25},
    "cohere2": {**MIXED, "logit_scale": 0.25},
    "gpt2": {
        "n_embd": 32,
        "n_layer": 3,
        "n_head": 4,
        "n_positions": 128,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    },
    "gpt_neox": {"rotary_pct": 0.5},
    "smollm3": {"no_rope_layers": [1, 0, 1]},
    "gpt_oss": {**MIXED, "num_local_experts": 4, "num_experts_per_tok": 2},
    "starcoder2": {},
    "stablelm": {},
    "glm": {},
    "glm4": {},
    "helium": {},
    "exaone4": {**MIXED},
    "seed_oss": {},
    "hunyuan_v1_dense": {},
    "ernie4_5": {},
    "nemotron": {},
    "arcee": {},
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32, "dropout": 0.0},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "qwen2_moe": {**EXPERTS, "shared_expert_intermediate_size": 16},
    "qwen3_moe": EXPERTS,
    "olmoe": EXPERTS,
    "bitnet": {},
    "apertus": {},
    "deepseek_v3": {
        "q_lora_rank": 8,
        "kv_lora_rank": 8,
        "qk_nope_head_dim": 8,
        "qk_rope_head_dim": 8,
        "v_head_dim": 8,
        "n_routed_experts": 4,
        "n_group": 2,
        "topk_group": 1,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 16,
        "n_shared_experts": 1,
        "num_key_value_heads": 4,
    },
    "gptj": {
        "n_embd": 32,
        "n_layer": 3,
        "n_head": 4,
        "n_positions": 128,
        "rotary_dim": 8,
        "resid_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "attn_pdrop": 0.0,
    },
    "gpt_neo": {
        "num_layers": 3,
        "num_heads": 4,
        "attention_types": [[["global"], 3]],
        "resid_dropout": 0.0,
        "embed_dropout": 0.0,
    },
    "mpt": {"d_model": 32, "n_layers": 3, "n_heads": 4, "max_seq_len": 128},
    "bloom": {"n_layer": 3, "n_head": 4},
    "falcon": {"head_dim": None, "num_kv_heads": 4, "new_decoder_architecture": False, "alibi": False},
    "mamba": {"state_size": 8},
    "mamba2": {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "expand": 2, "chunk_size": 8},
    "qwen3_next": {
        **EXPERTS,
        "shared_expert_intermediate_size": 16,
        "layer_types": ["linear_attention", "linear_attention", "full_attention"],
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    },
    "lfm2": {"layer_types": ["conv", "conv", "full_attention"], "block_multiple_of": 16},
    "jamba": {
        "num_experts": 2,
        "attn_layer_period": 3,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "use_mamba_kernels": False,
        "mamba_d_state": 8,
        "mamba_dt_rank": 4,
    },
    "rwkv": {"attention_hidden_size": 32},
    "recurrent_gemma": {
        "lru_width": 32,
        "block_types": ["recurrent", "recurrent", "attention"],
        "attention_window_size": 7,
    },
}
"""Family -> what differs from SMALL; names are transformers' `model_type`."""


def network(family: str, *, dtype: torch.dtype = torch.float32, seed: int = 0) -> PreTrainedModel:
    """A tiny random model of the family, its weights drawn large enough that a wrong mask shows."""
    torch.manual_seed(seed)
    settings = {**SMALL, **FAMILIES[family]}
    config = AutoConfig.for_model(family, **{name: value for name, value in settings.items() if value is not None})
    made = AutoModelForCausalLM.from_config(config, dtype=dtype)
    for name, parameter in made.named_parameters():
        if parameter.ndim >= 2 and "norm" not in name:
            torch.nn.init.normal_(parameter, std=0.7 * parameter.shape[-1] ** -0.5)
    return made.eval()


def every() -> Iterator[str]:
    """The families by name."""
    yield from FAMILIES
