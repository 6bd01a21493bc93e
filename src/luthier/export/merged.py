"""The whole model with what was learned in its weights, in the Hugging Face layout; needs neither base nor PEFT."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from transformers import AutoConfig

from luthier.export.adapter import FLOAT32
from luthier.export.base import base_of
from luthier.export.format import Tolerance, settings, write_companions
from luthier.methods.method import merge
from luthier.methods.tuned import Tuned
from luthier.model.load import Model, ModelOptions, load

HALF = Tolerance(mean=0.02, largest=0.5)
"""Of weights rounded once to bfloat16 or float16."""
STORED = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


@dataclass(frozen=True, slots=True)
class Merged:
    """Hugging Face layout: what `AutoModelForCausalLM.from_pretrained` and every server open."""

    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the written weights; auto is the base's own, bfloat16 where it says none."""

    @property
    def name(self) -> str:
        """`merged`."""
        return "merged"

    def write(self, model: Model, tuned: Tuned, folder: Path) -> None:
        """Adds what was learned to the weights in float32, rounds them once, and writes safetensors."""
        dtype = STORED[self.dtype] if self.dtype != "auto" else _dtype_of_base(tuned.options)
        merge(model.network)
        for parameter in model.network.parameters():
            parameter.data = parameter.data.to(dtype)
        model.network.generation_config = settings(model)
        model.network.save_pretrained(folder)
        write_companions(model, folder)

    def read(self, folder: Path, *, device: Literal["auto", "cpu", "cuda"] = "auto") -> Model:
        """The stored weights, computed with in float32, so that a difference is what their rounding costs."""
        return load(ModelOptions(str(folder), dtype="float32", device=device))

    def tolerance(self, folder: Path) -> Tolerance:
        """That of float32, or of weights rounded to 8 or 11 significant bits."""
        stored = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("dtype")
        return FLOAT32 if stored == "float32" else HALF


def _dtype_of_base(options: ModelOptions) -> torch.dtype:
    base = base_of(options)
    config = AutoConfig.from_pretrained(
        base.name, revision=base.revision or "main", local_files_only=base.kind != "hub", trust_remote_code=False
    )
    stated = str(config.get_text_config().dtype or config.dtype).removeprefix("torch.")
    return STORED.get(stated, torch.bfloat16)
