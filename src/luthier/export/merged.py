"""The whole model with what was learned in its weights, in the Hugging Face layout; needs neither base nor PEFT."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from luthier.errors import RunError
from luthier.export.base import base_of
from luthier.export.format import BFLOAT16, FLOAT16, FLOAT32, Tolerance, settings, write_companions
from luthier.methods.method import merge
from luthier.methods.tuned import Tuned
from luthier.model.leaf import NAME, without_head
from luthier.model.load import Model, ModelOptions, load

STORED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
TOLERANCES = {"float32": FLOAT32, "bfloat16": BFLOAT16, "float16": FLOAT16}

BIASES = ("attention_bias", "mlp_bias")
"""Settings of configurations that give linear layers a bias."""


@dataclass(frozen=True, slots=True)
class Merged:
    """Hugging Face layout: what `AutoModelForCausalLM.from_pretrained` and every server open."""

    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Number format of the written weights; auto is the base's own after an adapter, and float32 after tuning the
    weights themselves, whose small updates bfloat16 would round away."""

    @property
    def name(self) -> str:
        """`merged`."""
        return "merged"

    def write(self, model: Model, tuned: Tuned, folder: Path) -> None:
        """Adds what was learned to the weights in float32, rounds them once, and writes safetensors.

        Raises RunError where no weight of the base can hold what was learned, or where its architecture has no place
        for a bias that it was given.
        """
        if not tuned.method.mergeable:
            raise RunError(
                f"{tuned.run}: what {type(tuned.method).__name__} learns cannot be folded into the weights; "
                "export the format adapter"
            )
        dtype = STORED[self.dtype] if self.dtype != "auto" else _own_dtype(tuned)
        merge(model.network)
        _make_room(model.network)
        for name, parameter in model.network.named_parameters():
            if not name.startswith(f"{NAME}."):  # a head lies beside the weights, in float32 as it was learned
                parameter.data = parameter.data.to(dtype)
        model.network.generation_config = settings(model)
        model.network.save_pretrained(folder, state_dict=without_head(model.network))
        write_companions(model, folder)

    def read(self, folder: Path, *, device: Literal["auto", "cpu", "cuda"] = "auto") -> Model:
        """The stored weights, computed with in float32, so that a difference is what their rounding costs."""
        return load(ModelOptions(str(folder), dtype="float32", device=device))

    def tolerance(self, folder: Path) -> Tolerance:
        """That of the number format in which the weights are stored."""
        return TOLERANCES[json.loads((folder / "config.json").read_text(encoding="utf-8"))["dtype"]]


def _make_room(network: PreTrainedModel) -> None:
    """Has the configuration say that there are biases where merging has put some."""
    for setting in BIASES if _homeless(network) else ():
        if hasattr(network.config, setting):
            setattr(network.config, setting, True)
    if odd := _homeless(network):
        raise RunError(
            f"{type(network).__name__} has no place for what was merged into it, such as {odd[0]}: transformers would "
            "open the model without it; export the format adapter"
        )


def _homeless(network: PreTrainedModel) -> list[str]:
    """Tensors that a network of this configuration has not, or that it has and this one lacks."""
    with torch.device("meta"):
        stranger = AutoModelForCausalLM.from_config(network.config, trust_remote_code=False)
    return sorted(without_head(network).keys() ^ stranger.state_dict().keys())


def _own_dtype(tuned: Tuned) -> torch.dtype:
    if not tuned.adapted:
        return torch.float32
    base = base_of(tuned.options)
    config = AutoConfig.from_pretrained(
        base.name, revision=base.revision or "main", local_files_only=base.kind != "hub", trust_remote_code=False
    )
    stated = str(config.get_text_config().dtype or config.dtype).removeprefix("torch.")
    return STORED.get(stated, torch.bfloat16)
