"""What a method learned, on disk and back. safetensors and JSON; never pickle.

| the network after `attach` | the folder |
|---|---|
| carries LoRA adapters | PEFT's layout (`peft.py`) |
| carries layers that PEFT built (`peft:NAME`) | PEFT's own layout (`tuner.py`) |
| has the modules it was opened with (full, freeze) | Hugging Face layout: a whole model in float32 |
| carries modules of a stranger's method | `trained.safetensors`: the trainable parameters by name |

Weights stay float32, as they were trained, so that a resumed run goes on from the same bits.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods.full import Freeze, Full
from luthier.methods.lora import LoRA
from luthier.methods.method import Method
from luthier.methods.peft import CONFIG, restore_adapter, save_adapter
from luthier.methods.tuner import Peft, built_in, kind_in, restore_tuner, save_tuner

TRAINED = "trained.safetensors"


def save(network: PreTrainedModel, method: Method, folder: Path) -> None:
    """Writes what the method learned into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    match method:
        case LoRA():
            save_adapter(network, folder)
        case Peft():
            save_tuner(network, folder)
        case Full() | Freeze():
            network.save_pretrained(folder)
        case _:
            learned = {name: value.detach().contiguous() for name, value in method.trainable(network).items()}
            save_file(learned, folder / TRAINED, metadata={"format": "pt"})


def restore(network: PreTrainedModel, folder: Path) -> None:
    """Loads what `save` wrote into a network, in place: its parameters stay the same objects and keep their dtype.

    A LoRA adapter, and any of PEFT's own, is attached where the network has none; a stranger's method has to be
    attached before. Raises ModelError if the folder holds nothing of the kind, or something for another network.
    """
    if (folder / CONFIG).is_file():
        lora = kind_in(folder) == "LORA" and built_in(network) is None
        restore_adapter(network, folder) if lora else restore_tuner(network, folder)
    elif (folder / "config.json").is_file():
        _fill(network, _opened(type(network), folder).state_dict(), folder)
    elif (folder / TRAINED).is_file():
        _fill(network, _stored(folder / TRAINED), folder)
    else:
        raise ModelError(f"{folder}: neither an adapter ({CONFIG}), a model (config.json) nor {TRAINED}")


def _opened(kind: type[PreTrainedModel], folder: Path) -> PreTrainedModel:
    """The saved model beside the one being filled: transformers undoes whatever renaming it did in saving."""
    try:
        network: PreTrainedModel = kind.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: the saved model does not open: {error}") from error
    return network


def _stored(file: Path) -> dict[str, Tensor]:
    try:
        return load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file}: not readable as safetensors ({error})") from error


def _fill(network: PreTrainedModel, saved: dict[str, Tensor], folder: Path) -> None:
    """Copies tensors over the network's own by name, after all of them were found to fit."""
    own = network.state_dict()
    for name, tensor in saved.items():
        if name not in own or own[name].shape != tensor.shape:
            there = f"shape {tuple(own[name].shape)}" if name in own else "none of that name; attach the method first"
            raise ModelError(f"{folder}: {name} has shape {tuple(tensor.shape)}; {type(network).__name__} has {there}")
    with torch.no_grad():
        for name, tensor in saved.items():
            own[name].copy_(tensor)
