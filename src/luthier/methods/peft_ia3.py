"""IA3 in PEFT's file layout.

adapter_config.json           which layers, and which of them are stretched before (`feedforward_modules`)
adapter_model.safetensors     base_model.model.<path>.ia3_l: (1, in) before a layer, (out, 1) after it
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from luthier.errors import ModelError
from luthier.methods.ia3 import ScaledLinear
from luthier.methods.linear import features
from luthier.methods.lora import adaptable, freeze_base
from luthier.methods.method import replace
from luthier.methods.peft import CONFIG, PREFIX, WEIGHTS, WITHOUT_EFFECT
from luthier.types import Json

TENSOR = re.compile(re.escape(PREFIX) + r"(?P<path>.+)\.ia3_l")
SAID_BY_THE_TENSORS = frozenset({"peft_type", "feedforward_modules", "init_ia3_weights"})


def save_ia3(network: PreTrainedModel, folder: Path) -> None:
    """Writes every vector of a network into an existing folder; float32."""
    found = _carried(network)
    if not found:
        raise ModelError("the network carries no IA3 vector to save")
    tensors = {
        f"{PREFIX}{path}.ia3_l": module.stretch.detach().view(_shape(module)).contiguous()
        for path, module in found.items()
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    said: dict[str, Json] = {
        "base_model_name_or_path": network.name_or_path,
        "fan_in_fan_out": any(isinstance(module.base, Conv1D) for module in found.values()),
        "feedforward_modules": [path for path, module in found.items() if module.inputs],
        "inference_mode": True,
        "peft_type": "IA3",
        "target_modules": cast(Json, list(found)),
        "task_type": "CAUSAL_LM",
    }
    (folder / CONFIG).write_text(json.dumps(said, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def restore_ia3(network: PreTrainedModel, folder: Path) -> None:
    """Loads saved vectors into those of the network, or attaches them to a network that has none.

    An attached network keeps its parameters; a fresh one is frozen in the dtype it was opened in. Raises ModelError,
    and leaves the network alone, if they do not fit or use an option that is not computed here.
    """
    tensors = _read(folder)
    present = _carried(network)
    made = present or _made(network, tensors, folder)
    _hold_fit(made, tensors, folder)
    if not present:
        freeze_base(network, network.dtype)
        for path, module in made.items():
            replace(network, path, module)
    with torch.no_grad():
        for path, module in made.items():
            module.stretch.copy_(tensors[path].flatten())


def _carried(network: PreTrainedModel) -> dict[str, ScaledLinear]:
    return {path: module for path, module in network.named_modules() if isinstance(module, ScaledLinear)}


def _shape(module: ScaledLinear) -> tuple[int, int]:
    size = len(module.stretch)
    return (1, size) if module.inputs else (size, 1)


def _read(folder: Path) -> dict[str, Tensor]:
    """The vectors by the paths of their layers."""
    try:
        config: dict[str, Json] = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        stored = load_file(folder / WEIGHTS)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{folder}: no readable adapter ({error})") from error
    for name, value in config.items():
        if value and name not in SAID_BY_THE_TENSORS | WITHOUT_EFFECT:
            raise ModelError(f"{folder / CONFIG}: {name} = {value!r} is not computed here; merge it with PEFT instead")
    matches = {name: TENSOR.fullmatch(name) for name in stored}
    if foreign := [name for name, match in matches.items() if match is None]:
        raise ModelError(f"{folder / WEIGHTS}: {foreign[0]!r} is no IA3 vector of a linear layer")
    return {match["path"]: stored[name] for name, match in matches.items() if match is not None}


def _made(network: PreTrainedModel, tensors: dict[str, Tensor], folder: Path) -> dict[str, ScaledLinear]:
    """Stand-ins for the saved vectors, made but not yet put into the network."""
    linears = adaptable(network)
    if foreign := [path for path in tensors if path not in linears]:
        raise ModelError(f"{folder}: {type(network).__name__} has no linear layer {foreign[0]!r}; is this its base?")
    return {path: ScaledLinear(linears[path], inputs=len(tensor) == 1) for path, tensor in tensors.items()}


def _hold_fit(made: dict[str, ScaledLinear], tensors: dict[str, Tensor], folder: Path) -> None:
    if odd := sorted(made.keys() ^ tensors.keys()):
        raise ModelError(f"{folder}: the saved vectors and the network's differ in {len(odd)} layers, first {odd[0]!r}")
    for path, module in made.items():
        if tuple(tensors[path].shape) != _shape(module):
            inputs, outputs = features(module.base)
            raise ModelError(
                f"{folder}: the vector of {path} has shape {tuple(tensors[path].shape)}; the layer has {inputs} inputs "
                f"and {outputs} outputs"
            )
