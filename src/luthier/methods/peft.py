"""LoRA adapters in PEFT's file layout: what vLLM, SGLang, the hub and PEFT itself read.

    adapter_config.json           ranks, alphas, which layers
    adapter_model.safetensors     base_model.model.<path>.lora_A.weight (rank, in), .lora_B.weight (out, rank)
                                  .lora_magnitude_vector (out,)   of DoRA

An adapter that PEFT wrote opens here if this code computes what PEFT would; any other option is refused by name.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from luthier.errors import ModelError
from luthier.methods.linear import LoRALinear
from luthier.methods.lora import adaptable, adapters, freeze_base, is_named
from luthier.methods.method import replace
from luthier.types import Json

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
PARTS = A, B, MAGNITUDE = "lora_A.weight", "lora_B.weight", "lora_magnitude_vector"
TENSOR = re.compile(re.escape(PREFIX) + rf"(?P<path>.+)\.(?P<part>{'|'.join(map(re.escape, PARTS))})")

HONOURED = frozenset(
    {"alpha_pattern", "lora_alpha", "lora_dropout", "peft_type", "r", "rank_pattern", "use_dora", "use_rslora"}
)
"""Options read from the configuration."""
WITHOUT_EFFECT = frozenset(
    {
        "auto_mapping",
        "base_model_name_or_path",
        "exclude_modules",
        "fan_in_fan_out",
        "inference_mode",
        "layers_pattern",
        "layers_to_transform",
        "megatron_core",
        "peft_version",
        "qalora_group_size",
        "revision",
        "runtime_config",
        "target_modules",
        "task_type",
    }
)
"""Options that say nothing the tensors do not say, or that take part only in training or in a mode refused by name."""
PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal")
"""Values of `init_lora_weights` that leave the base's weights alone; PiSSA, OLoRA and others change them."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What one adapter is, beside its tensors."""

    rank: int
    alpha: float
    dropout: float
    rslora: bool
    dora: bool


def save_adapter(network: PreTrainedModel, folder: Path) -> None:
    """Writes every adapter of a network into an existing folder; float32."""
    found = adapters(network)
    if not found:
        raise ModelError("the network carries no LoRA adapter to save")
    tensors: dict[str, Tensor] = {}
    for path, module in found.items():
        tensors |= {f"{PREFIX}{path}.{part}": tensor for part, tensor in _parts(module).items()}
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})
    (folder / CONFIG).write_text(json.dumps(_describe(network, found), indent=2, sort_keys=True) + "\n")


def restore_adapter(network: PreTrainedModel, folder: Path) -> None:
    """Loads a saved adapter into the network's adapters, or attaches it to a network that has none.

    An attached network keeps its parameters, so that an optimizer still holds them; a fresh one is frozen in the dtype
    it was opened in. Raises ModelError, and leaves the network alone, if the adapter does not fit or uses an option
    that is not computed here.
    """
    tensors = _read_tensors(folder / WEIGHTS)
    shapes = _read_shapes(folder / CONFIG, tensors)
    present = adapters(network)
    made = present or _attachable(network, shapes, folder)
    _check_fit(made, shapes, tensors, folder)
    if not present:
        freeze_base(network, network.dtype)
        for path, module in made.items():
            replace(network, path, module)
    for path, module in made.items():
        module.take(tensors[path, A], tensors[path, B], tensors.get((path, MAGNITUDE)))


def _parts(module: LoRALinear) -> dict[str, Tensor]:
    """What PEFT calls the tensors of one adapter."""
    a, b = module.factors()
    found = {A: a.detach().contiguous(), B: b.detach().contiguous()}
    if module.lora_magnitude is not None:
        found[MAGNITUDE] = module.lora_magnitude.detach()
    return found


def _described(module: LoRALinear) -> Shape:
    rank, alpha = module.stored
    return Shape(rank, alpha, module.dropout, module.rslora, module.lora_magnitude is not None)


def _describe(network: PreTrainedModel, found: dict[str, LoRALinear]) -> dict[str, Json]:
    shapes = {path: _described(module) for path, module in found.items()}
    rank, alpha = Counter((shape.rank, shape.alpha) for shape in shapes.values()).most_common(1)[0][0]
    first = next(iter(shapes.values()))
    return {
        "alpha_pattern": {re.escape(p): one.alpha for p, one in shapes.items() if one.alpha != alpha},
        "base_model_name_or_path": network.name_or_path,
        "bias": "none",
        "fan_in_fan_out": any(isinstance(module.base, Conv1D) for module in found.values()),
        "inference_mode": True,
        "lora_alpha": alpha,
        "lora_dropout": first.dropout,
        "peft_type": "LORA",
        "r": rank,
        "rank_pattern": {re.escape(p): one.rank for p, one in shapes.items() if one.rank != rank},
        "target_modules": cast(Json, _targets(network, found)),
        "task_type": "CAUSAL_LM",
        "use_dora": first.dora,
        "use_rslora": first.rslora,
    }


def _targets(network: PreTrainedModel, found: dict[str, LoRALinear]) -> list[str]:
    """The short names of the layers where these name no other module, else their whole paths."""
    short = sorted({path.rpartition(".")[2] for path in found})
    inside = {id(module.base) for module in found.values()}
    others = [p for p, m in network.named_modules() if p not in found and id(m) not in inside]
    ambiguous = any(is_named(path, name) for name in short for path in others)
    return list(found) if ambiguous else short


def _read_tensors(file: Path) -> dict[tuple[str, str], Tensor]:
    try:
        stored = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{file}: no readable adapter weights ({error})") from error
    tensors: dict[tuple[str, str], Tensor] = {}
    for name, tensor in stored.items():
        match = TENSOR.fullmatch(name)
        if match is None:
            raise ModelError(f"{file}: {name!r} is no LoRA weight of a linear layer; only these can be loaded")
        tensors[match["path"], match["part"]] = tensor
    for path, _ in tensors:
        if not {(path, A), (path, B)} <= tensors.keys():
            raise ModelError(f"{file}: {path!r} has only one of lora_A and lora_B")
    return tensors


def _read_shapes(file: Path, tensors: dict[tuple[str, str], Tensor]) -> dict[str, Shape]:
    try:
        config: dict[str, Json] = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: no readable adapter configuration ({error})") from error
    _refuse_unknown(config, file)
    return {path: _shape(config, path) for path, part in tensors if part == A}


def _refuse_unknown(config: dict[str, Json], file: Path) -> None:
    """An option that is not honoured passes only if it is switched off."""
    if config.get("peft_type") != "LORA":
        raise ModelError(f"{file}: peft_type {config.get('peft_type')!r}; only LORA adapters can be loaded")
    for name, value in config.items():
        off = not value or (name == "bias" and value == "none")
        if name == "init_lora_weights":
            off = value in PLAIN_STARTS
        if not off and name not in HONOURED | WITHOUT_EFFECT:
            raise ModelError(f"{file}: {name} = {value!r} is not computed here; merge the adapter with PEFT instead")


def _shape(config: dict[str, Json], path: str) -> Shape:
    rank = _by_pattern(config.get("rank_pattern"), path, config.get("r", 8))
    alpha = _by_pattern(config.get("alpha_pattern"), path, config.get("lora_alpha", 8))
    dropout = config.get("lora_dropout", 0.0)
    if not (isinstance(rank, int) and isinstance(alpha, int | float) and isinstance(dropout, int | float)):
        raise ModelError(f"{CONFIG}: r, lora_alpha and lora_dropout are numbers; for {path} they are not")
    rslora, dora = bool(config.get("use_rslora", False)), bool(config.get("use_dora", False))
    return Shape(rank, float(alpha), float(dropout), rslora, dora)


def _by_pattern(patterns: Json, path: str, otherwise: Json) -> Json:
    """PEFT's rule: the first pattern that matches the path, or its end after a dot."""
    for pattern, value in (patterns if isinstance(patterns, dict) else {}).items():
        if re.match(rf"(.*\.)?({pattern})$", path):
            return value
    return otherwise


def _attachable(network: PreTrainedModel, shapes: dict[str, Shape], folder: Path) -> dict[str, LoRALinear]:
    """Adapters of the saved shapes, made but not yet put into the network."""
    linears = adaptable(network)
    for path in shapes:
        if path not in linears:
            raise ModelError(f"{folder}: {type(network).__name__} has no linear layer {path!r}; is this its base?")
    return {path: LoRALinear(linears[path], **asdict(shape)) for path, shape in shapes.items()}


def _check_fit(
    made: dict[str, LoRALinear], shapes: dict[str, Shape], tensors: dict[tuple[str, str], Tensor], folder: Path
) -> None:
    if made.keys() != shapes.keys():
        odd = sorted(made.keys() ^ shapes.keys())
        raise ModelError(f"{folder}: the saved adapter and the network's differ in {len(odd)} layers, first {odd[0]!r}")
    for path, module in made.items():
        saved = {part: tuple(tensor.shape) for (of, part), tensor in tensors.items() if of == path}
        wanted = {part: tuple(tensor.shape) for part, tensor in _parts(module).items()}
        if saved != wanted:
            raise ModelError(f"{folder}: the adapter of {path} has shapes {saved}; the network's takes {wanted}")
        _check_scale(path, _described(module), shapes[path], folder)


def _check_scale(path: str, own: Shape, saved: Shape, folder: Path) -> None:
    if own.rslora != saved.rslora or not math.isclose(own.alpha, saved.alpha, rel_tol=1e-12):
        raise ModelError(
            f"{folder}: the adapter of {path} was saved with alpha {saved.alpha}, rslora {saved.rslora}; "
            f"the network's has {own.alpha}, {own.rslora}"
        )
