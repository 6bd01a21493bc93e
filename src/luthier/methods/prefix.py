"""Prefix tuning: in every layer, learned keys and values are the ancestors of every token.

In the forest they are one rectangle more, which all queries see and which no branch repeats; while decoding, they are
held once for all prompts. Source: Li & Liang 2021, arXiv:2101.00190, without its reparametrisation: what it folds into
is learned as it stands.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol, cast

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel

from luthier.errors import ModelError
from luthier.methods.method import lora_lr
from luthier.methods.virtual import Call, Virtual, VirtualTokens, put
from luthier.model.plan import Plan, Prefix, Step, behind


class PrefixKeys(Virtual):
    """Keys and values of p virtual tokens in every layer; `weight` (p, layers * 2 * heads * width), as PEFT has it."""

    def __init__(self, weight: Tensor, *, layers: int, heads: int) -> None:
        """heads: those of keys and values, whose width follows from the weight's."""
        super().__init__(weight)
        self.layers, self.heads = layers, heads

    def read(self, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
        """The keys and values of each layer: (1, heads, p, width) each."""
        whole = self.weight.to(dtype).view(self.count, self.layers, 2, self.heads, -1)
        return [(layer[0][None], layer[1][None]) for layer in whole.permute(1, 2, 3, 0, 4).unbind()]

    def in_forest(self, trunk: PreTrainedModel, call: Call, tokens: Tensor, forest: Plan | Step) -> None:
        """Every query of the plan or step sees them."""
        layers = dict(enumerate(self.read(trunk.dtype)))
        call["forest"] = behind(forest, Prefix(self.count, layers))

    def in_rows(self, trunk: PreTrainedModel, call: Call, tokens: Tensor) -> None:
        """They are what the cache holds first."""
        given = call.get("past_key_values")
        cache = given if isinstance(given, Cache) else DynamicCache()
        for at, pair in enumerate(self.read(trunk.dtype)):
            keys, values = (half.expand(len(tokens), -1, -1, -1) for half in pair)
            cache.update(keys, values, at)
        call["past_key_values"] = cache


@dataclass(frozen=True, slots=True)
class PrefixTuning(VirtualTokens):
    """Keys and values of virtual tokens learn, in every layer. Source: Li & Liang 2021, arXiv:2101.00190."""

    def usual_lr(self, network: PreTrainedModel) -> float:
        """Thirty times LoRA's: keys and values are numbers of size one, and a step moves each by about the rate."""
        return 30 * lora_lr(network)

    def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
        """Freezes the network in the compute dtype and puts a prefix before all that it reads.

        Raises ModelError if it has virtual tokens already, or layers without keys and values of one shape.
        """
        generator = torch.Generator().manual_seed(seed)
        pairs = keys_and_values(network, self.start(network, generator), dtype)
        shapes = {half.shape for pair in pairs for half in pair}
        layers = network.config.get_text_config().num_hidden_layers
        if len(shapes) != 1 or len(pairs) != layers:
            raise ModelError(
                f"{type(network).__name__}: prefix tuning needs keys and values of one shape in each of its {layers} "
                f"layers, and {len(pairs)} keep some, of {len(shapes)} shapes; use method prompt or lora"
            )
        both = torch.stack([torch.stack(pair) for pair in pairs])  # (layers, 2, heads, p, width)
        weight = both.permute(3, 0, 1, 2, 4).flatten(1)
        put(network, PrefixKeys(self.begun(weight, generator), layers=layers, heads=both.shape[2]), dtype=dtype)


class _Kept(Protocol):
    """What a layer of transformers' cache keeps: (b, heads, p, width) each."""

    keys: Tensor
    values: Tensor


def keys_and_values(network: PreTrainedModel, tokens: Tensor, dtype: torch.dtype) -> list[tuple[Tensor, Tensor]]:
    """What the layers keep of tokens (p,) at the beginning of a row: keys and values (heads, p, width), float32.

    Raises ModelError where transformers keeps none.
    """
    before, cache = network.config._attn_implementation, DynamicCache()
    network.set_attn_implementation("eager")
    try:
        with torch.no_grad(), _computing(network, dtype):
            network.base_model(input_ids=tokens[None].to(network.device), past_key_values=cache, use_cache=True)
        return [(layer.keys[0].float(), layer.values[0].float()) for layer in cast(list[_Kept], cache.layers)]
    except (TypeError, ValueError, AttributeError, LookupError) as error:
        raise ModelError(f"{type(network).__name__} keeps no keys and values to put others before: {error}") from error
    finally:
        network.set_attn_implementation(before)


def _computing(network: PreTrainedModel, dtype: torch.dtype) -> AbstractContextManager[None]:
    return nullcontext() if dtype.itemsize >= 4 else torch.autocast(network.device.type, dtype=dtype)
