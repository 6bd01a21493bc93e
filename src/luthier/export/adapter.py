"""The adapter alone, in float32 as it was trained; small, and of use only with its own base."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transformers import AutoTokenizer, GenerationConfig

from luthier.errors import ModelError, RunError
from luthier.export.base import BITS, base_of, bits_of
from luthier.export.format import FLOAT32, Tolerance, write_companions
from luthier.methods.store import adapter_files, restore
from luthier.methods.tuned import Tuned
from luthier.model.load import Model, ModelOptions, load, stop_tokens


@dataclass(frozen=True, slots=True)
class Adapter:
    """PEFT's layout, which PEFT, vLLM and SGLang load onto the base; ours for a method that PEFT does not have."""

    @property
    def name(self) -> str:
        """`adapter`."""
        return "adapter"

    def write(self, model: Model, tuned: Tuned, folder: Path) -> None:
        """Copies the checkpoint's adapter, bit for bit, with a base that a stranger can open in its configuration."""
        files = adapter_files(tuned.checkpoint)
        if files is None:
            raise RunError(f"{tuned.run}: learned the model's own weights, not an adapter; export the format merged")
        base = base_of(tuned.options)
        shutil.copyfile(files.weights, folder / files.weights.name)
        config = files.described() | {"base_model_name_or_path": base.name, "revision": base.revision}
        text = json.dumps(config, indent=2, sort_keys=True) + "\n"
        (folder / files.config.name).write_text(text, encoding="utf-8")
        if base.bits is not None:
            (folder / BITS).write_text(json.dumps({"quantize": base.bits}) + "\n", encoding="utf-8")
        write_companions(model, folder)

    def read(self, folder: Path, *, device: Literal["auto", "cpu", "cuda"] = "auto") -> Model:
        """The base that the configuration names, opened by transformers, with the adapter on it; float32."""
        files = adapter_files(folder)
        if files is None:
            raise ModelError(f"{folder}: holds no adapter")
        config = files.described()
        revision = config.get("revision")
        name = str(config["base_model_name_or_path"])
        revision = None if revision is None else str(revision)
        model = load(ModelOptions(name, revision, "float32", device, quantize=bits_of(folder)))
        restore(model.network, folder)
        model.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model.network.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
        model.stop = stop_tokens(model.network, model.tokenizer)
        return model

    def tolerance(self, folder: Path) -> Tolerance:
        """Float32: the tensors are the same bits, and only the order of summation differs."""
        return FLOAT32
