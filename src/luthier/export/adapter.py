"""The adapter alone, in PEFT's layout, in float32 as it was trained; small, and of use only with its own base."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from transformers import AutoTokenizer, GenerationConfig

from luthier.errors import RunError
from luthier.export.base import base_of
from luthier.export.format import FLOAT32, Tolerance, write_companions
from luthier.methods.peft import CONFIG, WEIGHTS
from luthier.methods.store import restore
from luthier.methods.tuned import Tuned
from luthier.model.load import Model, ModelOptions, load, stop_tokens


@dataclass(frozen=True, slots=True)
class Adapter:
    """PEFT's layout: what PEFT, vLLM and SGLang load onto the base."""

    @property
    def name(self) -> str:
        """`adapter`."""
        return "adapter"

    def write(self, model: Model, tuned: Tuned, folder: Path) -> None:
        """Copies the checkpoint's adapter, bit for bit, with a base that a stranger can open in its configuration."""
        if not tuned.adapted:
            raise RunError(f"{tuned.run}: learned the model's own weights, not an adapter; export the format merged")
        base = base_of(tuned.options)
        shutil.copyfile(tuned.checkpoint / WEIGHTS, folder / WEIGHTS)
        config = json.loads((tuned.checkpoint / CONFIG).read_text(encoding="utf-8"))
        config |= {"base_model_name_or_path": base.name, "revision": base.revision}
        (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        write_companions(model, folder)

    def read(self, folder: Path, *, device: Literal["auto", "cpu", "cuda"] = "auto") -> Model:
        """The base that the configuration names, opened by transformers, with the adapter on it; float32."""
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        options = ModelOptions(config["base_model_name_or_path"], config.get("revision"), "float32", device)
        model = load(options)
        restore(model.network, folder)
        model.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        model.network.generation_config = GenerationConfig.from_pretrained(folder, local_files_only=True)
        model.stop = stop_tokens(model.network, model.tokenizer)
        return model

    def tolerance(self, folder: Path) -> Tolerance:
        """Float32: the tensors are the same bits, and only the order of summation differs."""
        return FLOAT32
