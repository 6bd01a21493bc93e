"""Our own layout, for methods that neither PEFT nor a plain model has a place for; docs/formats.md describes it.

method.json            the method's name and fields, and the base it stands on
trained.safetensors    its trainable parameters by name, float32
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods.known import described, method_name, method_of
from luthier.methods.method import Method
from luthier.types import Json

METHOD = "method.json"
TRAINED = "trained.safetensors"


def save_trained(network: PreTrainedModel, method: Method, folder: Path) -> None:
    """Writes what a method learned into an existing folder."""
    learned = {name: value.detach().contiguous() for name, value in method.trainable(network).items()}
    save_file(learned, folder / TRAINED, metadata={"format": "pt"})
    said: Json = {"base_model_name_or_path": network.name_or_path, "revision": None, "method": described(method)}
    (folder / METHOD).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def restore_trained(network: PreTrainedModel, folder: Path) -> None:
    """Fills the trainable parameters of a network, after attaching the method to one that carries none of it.

    A method that is attached here freezes the network in the dtype it was opened in. Raises ModelError if it does not
    fit, or is a stranger's and was not attached before; RunError where no such method is known.
    """
    try:
        saved = load_file(folder / TRAINED)
        said = json.loads((folder / METHOD).read_text(encoding="utf-8"))["method"]
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{folder}: no readable {METHOD} and {TRAINED} ({error!r}); restore them from a copy"
        ) from error
    if not saved.keys() <= network.state_dict().keys() and ":" not in method_name(said):
        method_of(said, f"{folder / METHOD}: method").attach(network, dtype=network.dtype)
    fill(network, saved, folder)


def fill(network: PreTrainedModel, saved: Mapping[str, Tensor], folder: Path) -> None:
    """Copies tensors over the network's own by name, after all of them were found to fit; raises ModelError."""
    own = network.state_dict()
    for name, tensor in saved.items():
        if name not in own or own[name].shape != tensor.shape:
            there = f"shape {tuple(own[name].shape)}" if name in own else "none of that name; attach the method first"
            raise ModelError(f"{folder}: {name} has shape {tuple(tensor.shape)}; {type(network).__name__} has {there}")
    with torch.no_grad():
        for name, tensor in saved.items():
            own[name].copy_(tensor)
