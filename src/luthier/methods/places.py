"""Where in a transformer's layers an adapter goes, found by structure, so that it holds for networks nobody named here.

    layer: attention (queries, keys, values) -> its output --+--> MLP (inner activations) -> its output --+-->
           residual ------------------------------------------+--------------------------------------------+

A layer's linear layers belong to its attention if a part of their path says so (`self_attn`, `attention`), else to its
MLP. The last one of each that gives the network's width writes what the residual adds.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from torch import nn
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods.linear import Linear, features
from luthier.model.layers import layer_list

KEYS_AND_VALUES: Final = re.compile(r"(k|v|key|value)(_?proj)?|w[kv]", re.IGNORECASE)
FUSED: Final = re.compile(r"c_attn|.*kv.*|.*query_key_value.*|in_proj", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Places:
    """The linear layers of one transformer layer, by their dotted paths in the network."""

    layer: str
    attention: Mapping[str, Linear]
    mlp: Mapping[str, Linear]
    width: int

    @property
    def attention_output(self) -> str:
        """What the residual adds after the attention; raises ModelError."""
        return self._last(self.attention, "attention")

    @property
    def mlp_output(self) -> str:
        """What the residual adds after the MLP, which reads its inner activations; raises ModelError."""
        return self._last(self.mlp, "MLP")

    @property
    def keys_and_values(self) -> tuple[str, ...]:
        """What makes keys and values, queries too where they are one matrix; raises ModelError."""
        for names in (KEYS_AND_VALUES, FUSED):
            if found := tuple(path for path in self.attention if names.fullmatch(path.rpartition(".")[2])):
                return found
        raise ModelError(f"{self.layer}: no linear layer makes its keys and values{_instead(self.attention)}")

    def _last(self, linears: Mapping[str, Linear], part: str) -> str:
        """Experts side by side have no such layer: each adds a share of its own."""
        found = [path for path, linear in linears.items() if features(linear)[1] == self.width]
        if not found or any(re.search(r"experts?\.", path) for path in found):
            raise ModelError(f"{self.layer}: no one linear layer writes what its {part} adds{_instead(linears)}")
        return found[-1]


def places(network: PreTrainedModel) -> tuple[Places, ...]:
    """The places of every layer, input first; raises ModelError where the layers are not one list."""
    stack = layer_list(network)
    start = next(path for path, module in network.named_modules() if module is stack)
    width = int(network.config.get_text_config().hidden_size)
    return tuple(
        Places(
            layer=f"{start}.{at}",
            attention=_linears(layer, f"{start}.{at}", _of_attention),
            mlp=_linears(layer, f"{start}.{at}", lambda path: not _of_attention(path)),
            width=width,
        )
        for at, layer in enumerate(stack)
    )


def _of_attention(path: str) -> bool:
    return any("attn" in part or "attention" in part for part in path.lower().split("."))


def _linears(layer: nn.Module, start: str, wanted: Callable[[str], bool]) -> dict[str, Linear]:
    return {
        f"{start}.{path}": module
        for path, module in layer.named_modules()
        if isinstance(module, Linear) and wanted(path)
    }


def _instead(linears: Mapping[str, Linear]) -> str:
    names = ", ".join(sorted({path.rpartition(".")[2] for path in linears}))
    return f"; there {'are ' + names if names else 'is none at all'}. Use method lora, freeze or full"
