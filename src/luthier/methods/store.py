"""What a method learned, on disk and back. safetensors and JSON; never pickle.

| the method | the folder | its layout |
|---|---|---|
| one that PEFT has | `adapter_config.json`, `adapter_model.safetensors` | PEFT's: `PEFT_LAYOUTS`, `tuner.py` |
| moves the base's own weights (full, freeze) | `config.json`, `model.safetensors` | Hugging Face's: a whole model |
| any other | `method.json`, `trained.safetensors` | ours: `trained.py`, docs/formats.md |

Weights stay float32, as they were trained, so that a resumed run goes on from the same bits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods.full import Freeze, Full
from luthier.methods.ia3 import IA3
from luthier.methods.lora import LoRA
from luthier.methods.method import Method
from luthier.methods.peft import CONFIG, WEIGHTS, restore_adapter, save_adapter
from luthier.methods.peft_ia3 import restore_ia3, save_ia3
from luthier.methods.peft_virtual import restore_prefix, restore_prompt, save_virtual
from luthier.methods.prefix import PrefixTuning
from luthier.methods.prompt import PromptTuning
from luthier.methods.trained import METHOD, TRAINED, fill, restore_trained, save_trained
from luthier.methods.tuner import Peft, restore_tuner, save_tuner
from luthier.model.leaf import restore_head, save_head, without_head
from luthier.types import Json


@dataclass(frozen=True, slots=True)
class Layout:
    """How PEFT keeps what one method learned."""

    method: type[Method]
    save: Callable[[PreTrainedModel, Path], None]
    """Writes what a network carries into an existing folder."""
    restore: Callable[[PreTrainedModel, Path], None]
    """Fills what a network carries, or attaches it to one that carries nothing; raises ModelError."""


PEFT_LAYOUTS: Final[Mapping[str, Layout]] = {
    "LORA": Layout(LoRA, save_adapter, restore_adapter),
    "PREFIX_TUNING": Layout(PrefixTuning, save_virtual, restore_prefix),
    "PROMPT_TUNING": Layout(PromptTuning, save_virtual, restore_prompt),
    "IA3": Layout(IA3, save_ia3, restore_ia3),
}
"""By the `peft_type` of adapter_config.json."""
ELSEWHERE: Final = Layout(Peft, save_tuner, restore_tuner)
"""Of every other type."""


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """An adapter in a folder: of use only with its base."""

    config: Path
    """What it is, and its base by name: `base_model_name_or_path`, `revision`."""
    weights: Path

    @property
    def peft(self) -> bool:
        """Whether PEFT opens it."""
        return self.config.name == CONFIG

    def described(self) -> dict[str, Json]:
        """What the configuration says; raises ModelError."""
        try:
            found = json.loads(self.config.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ModelError(f"{self.config}: cannot be read ({error})") from error
        if not isinstance(found, dict):
            raise ModelError(f"{self.config}: holds {type(found).__name__}, not what an adapter is")
        return cast("dict[str, Json]", found)


def adapter_files(folder: Path) -> AdapterFiles | None:
    """The adapter that lies in a folder, or None where there is none."""
    for config, weights in ((CONFIG, WEIGHTS), (METHOD, TRAINED)):
        if (folder / config).is_file():
            return AdapterFiles(folder / config, folder / weights)
    return None


def save(network: PreTrainedModel, method: Method, folder: Path) -> None:
    """Writes what the method learned into a folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    layout = next((one for one in (*PEFT_LAYOUTS.values(), ELSEWHERE) if isinstance(method, one.method)), None)
    if layout is not None:
        layout.save(network, folder)
    elif isinstance(method, Full | Freeze):
        network.save_pretrained(folder, state_dict=without_head(network))
    else:
        save_trained(network, method, folder)
    save_head(network, folder)


def restore(network: PreTrainedModel, folder: Path) -> None:
    """Loads what `save` wrote into a network, in place: its parameters stay the same objects and keep their dtype.

    An adapter, PEFT's own too, is attached where the network has none; a stranger's method has to be attached
    before. Raises ModelError if the folder holds nothing of the kind, or something for another network, and RunError
    where its method is none of this version's.
    """
    files = adapter_files(folder)
    if files is not None and files.peft:
        _layout(files).restore(network, folder)
    elif files is not None:
        restore_trained(network, folder)
    elif (folder / "config.json").is_file():
        fill(network, _opened(type(network), folder).state_dict(), folder)
    else:
        raise ModelError(f"{folder}: neither an adapter ({CONFIG}, {METHOD}) nor a model (config.json)")
    restore_head(network, folder)


def _layout(files: AdapterFiles) -> Layout:
    return PEFT_LAYOUTS.get(str(files.described().get("peft_type")), ELSEWHERE)


def _opened(kind: type[PreTrainedModel], folder: Path) -> PreTrainedModel:
    """The saved model beside the one being filled: transformers undoes whatever renaming it did in saving."""
    try:
        network: PreTrainedModel = kind.from_pretrained(
            folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{folder}: the saved model does not open: {error}") from error
    return network
