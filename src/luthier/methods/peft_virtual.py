"""Virtual tokens in PEFT's file layout: prefix tuning (PREFIX_TUNING) and prompt tuning (PROMPT_TUNING).

    adapter_config.json           how many tokens, layers and heads
    adapter_model.safetensors     prompt_embeddings (p, layers * 2 * heads * width), or (p, d) input embeddings

A prefix that PEFT trained through its reparametrisation is saved folded, and opens here as any other.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods.peft import CONFIG, WEIGHTS
from luthier.methods.prefix import PrefixKeys, keys_and_values
from luthier.methods.prompt import PromptEmbeddings
from luthier.methods.virtual import Virtual, carried, put
from luthier.types import Json

TENSOR = "prompt_embeddings"

KNOWN = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "encoder_hidden_size",
        "inference_mode",
        "init_weights",
        "num_attention_heads",
        "num_layers",
        "num_transformer_submodules",
        "num_virtual_tokens",
        "peft_type",
        "peft_version",
        "prefix_projection",
        "prompt_tuning_init",
        "prompt_tuning_init_text",
        "revision",
        "task_type",
        "token_dim",
        "tokenizer_kwargs",
        "tokenizer_name_or_path",
    }
)
"""Options that are read, that say nothing the tensor does not say, or that take part only in training."""


def save_virtual(network: PreTrainedModel, folder: Path) -> None:
    """Writes a network's virtual tokens into an existing folder; float32. Raises ModelError where it has none."""
    found = carried(network, Virtual)
    if found is None:
        raise ModelError("the network carries no virtual tokens to save")
    save_file({TENSOR: found.weight.detach().contiguous()}, folder / WEIGHTS, metadata={"format": "pt"})
    said = _described(network) | _shape(network, found)
    (folder / CONFIG).write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def restore_prefix(network: PreTrainedModel, folder: Path) -> None:
    """Loads a saved prefix into the network's, or puts it before a network that has none; raises ModelError."""
    weight, config = _read(folder)
    present = carried(network, PrefixKeys)
    if present is None:
        layers, heads = config.get("num_layers"), config.get("num_attention_heads")
        if not isinstance(layers, int) or not isinstance(heads, int):
            raise ModelError(
                f"{folder / CONFIG}: num_layers and num_attention_heads are whole numbers, and are missing"
            )
        kept = keys_and_values(network, torch.zeros(1, dtype=torch.int64), network.dtype)
        own = {(len(kept), half.shape[0], half.shape[2]) for pair in kept for half in pair}
        given = (layers, heads, weight.shape[1] // (2 * layers * heads))
        if own != {given}:
            raise ModelError(
                f"{folder}: a prefix of {given[0]} layers, {given[1]} heads of keys and width {given[2]}; "
                f"{type(network).__name__} has (layers, heads, width) {sorted(own)}; is this its base?"
            )
        put(network, PrefixKeys(weight, layers=layers, heads=heads), dtype=network.dtype)
    else:
        _fill(present, weight, folder)


def restore_prompt(network: PreTrainedModel, folder: Path) -> None:
    """Loads a saved prompt into the network's, or puts it before a network that has none; raises ModelError."""
    weight, _ = _read(folder)
    present = carried(network, PromptEmbeddings)
    width = cast(nn.Embedding, network.get_input_embeddings()).embedding_dim
    if weight.shape[1] != width:
        raise ModelError(f"{folder}: a prompt of width {weight.shape[1]}; {type(network).__name__} has width {width}")
    if present is None:
        put(network, PromptEmbeddings(weight), dtype=network.dtype)
    else:
        _fill(present, weight, folder)


def _described(network: PreTrainedModel) -> dict[str, Json]:
    return {
        "base_model_name_or_path": network.name_or_path,
        "inference_mode": True,
        "num_layers": network.config.get_text_config().num_hidden_layers,
        "num_transformer_submodules": 1,
        "task_type": "CAUSAL_LM",
    }


def _shape(network: PreTrainedModel, found: Virtual) -> dict[str, Json]:
    """What PEFT has to know of the tensor."""
    if isinstance(found, PrefixKeys):
        width = found.weight.shape[1] // (2 * found.layers)
        own: dict[str, Json] = {"peft_type": "PREFIX_TUNING", "num_attention_heads": found.heads}
        own |= {"encoder_hidden_size": width, "prefix_projection": False}
    else:
        width = found.weight.shape[1]
        heads = network.config.get_text_config().num_attention_heads
        own = {"peft_type": "PROMPT_TUNING", "num_attention_heads": heads, "prompt_tuning_init": "RANDOM"}
    return own | {"num_virtual_tokens": found.count, "token_dim": width}


def _read(folder: Path) -> tuple[Tensor, dict[str, Json]]:
    """The tensor (p, ...) in float32 and the configuration; raises ModelError for what is not computed here."""
    try:
        config: dict[str, Json] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{folder}: no readable {CONFIG} and {WEIGHTS} ({error})") from error
    for name, value in config.items():
        if value and name not in KNOWN:
            raise ModelError(f"{folder / CONFIG}: {name} = {value!r} is not computed here; use the adapter with PEFT")
    if config.get("num_transformer_submodules") not in (1, None):
        raise ModelError(f"{folder / CONFIG}: virtual tokens of an encoder and a decoder; only a decoder's are read")
    if tensors.keys() != {TENSOR} or tensors[TENSOR].ndim != 2:
        raise ModelError(f"{folder / WEIGHTS}: holds {sorted(tensors)}, not the table {TENSOR!r} alone")
    return tensors[TENSOR].float(), config


def _fill(present: Virtual, weight: Tensor, folder: Path) -> None:
    if present.weight.shape != weight.shape:
        raise ModelError(
            f"{folder}: virtual tokens of shape {tuple(weight.shape)}; the network's have {tuple(present.weight.shape)}"
        )
    with torch.no_grad():
        present.weight.copy_(weight)
