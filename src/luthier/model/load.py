"""Opens a model: its network, its tokenizer, and what generation stops on.

Never runs a checkpoint's code (transformers asks on the terminal unless it is told no), never unpickles, and asks the
network only for a hub id. How attention is computed is not decided here: it opens with a plain implementation.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from jinja2 import TemplateError
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from luthier.data.template import ensure_template
from luthier.errors import ModelError, RecipeError
from luthier.model.carried import Base, Routing, Trunk
from luthier.model.find import Place, find
from luthier.model.gated import gate_mlps
from luthier.model.gguf import converted
from luthier.model.normed import keep_norms_small
from luthier.model.precision import keep_stream
from luthier.model.quantize import Bits, quantize

UNBOUNDED = 2**31
"""A context length that stands for "none stated"."""

KERNELS_KEPT = 64
"""Kernels that oneDNN keeps, and torch beside it; a step of one shape needs some tens.

Left alone they keep 1,024, and every new number of rows brings a step's worth: in bfloat16 0.7 MB a product (over 400
products of each of six shapes of SmolLM2's, AMD EPYC with AVX512-BF16); in float32 nothing.
"""
KERNEL_CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")
"""Where the two are told so; read at a process's first product."""


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Which model, and how it computes."""

    name: str = "smollm2-135m"
    """An alias, a folder in the Hugging Face layout, a GGUF file, or a hub id (`owner/model`)."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; a commit makes a run repeatable."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of the computing; auto is bfloat16 where the machine is fast at it, else float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it computes; auto is the GPU if there is one."""
    max_length: int | None = None
    """Longest prompt with completion; None is what the model's own context holds."""
    dropout: float | None = None
    """Dropout of the base's own hidden states while training; None keeps the checkpoint's. With a number, attention
    itself drops nothing out, so that beginnings can be shared: one mask is drawn for all rows of a beginning."""
    quantize: Bits | None = None
    """Bits the frozen base is kept in under an adapter: `int8`, or `nf4` (4 bits; needs bitsandbytes). None keeps it as
    it computes."""
    shared: Literal["auto"] | bool = "auto"
    """Whether a beginning that several rows share is computed once; auto is yes where the model allows it."""

    def __post_init__(self) -> None:
        bounds = [
            ("max_length", self.max_length is None or self.max_length >= 2, "at least 2, or none"),
            ("dropout", self.dropout is None or 0 <= self.dropout < 1, "a share in [0, 1), or none"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))


@dataclass(slots=True, eq=False)
class Model:
    """A network with what belongs to it; the only thing the engine needs to know of a checkpoint."""

    network: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    """As it was asked for."""
    device: torch.device
    dtype: torch.dtype
    """What matrix products compute in; the network's parameters may be float32 masters of it."""
    stop: frozenset[int]
    """Tokens that generation stops on; none of them is part of an answer."""
    max_length: int
    """Longest prompt with completion."""
    plain: str = "sdpa"
    """The attention that transformers opened it with."""
    shared: bool = False
    """Whether shared beginnings are computed once."""
    reason: str = "not examined"
    """Why it is not shared; empty where it is."""
    base: Base | None = None
    """What it was before it was tuned, where an objective needs that."""
    routing: Routing | None = None
    """Where the network carries several adapters."""
    trunk: Trunk | None = None
    """What its lowest layers compute, where that never changes and is kept."""


def load(options: ModelOptions, *, masters: bool = False) -> Model:
    """Opens the model that the options name.

    masters: keep parameters in float32 even where bfloat16 computes; a float32 checkpoint that is trained in full
    would lose its low bits otherwise.
    Raises ModelError with the remedy if there is no such model, device or safe format.
    """
    if options.quantize is not None and masters:
        raise ModelError(
            f"model.quantize: weights in {options.quantize} cannot learn themselves; use method=lora, or leave it out"
        )
    bound_kernel_caches()
    place = find(options.name)
    folder = converted(place.path) if place.path is not None and place.is_gguf else place.path
    _refuse_unsafe(folder)
    device = choose_device(options.device)
    dtype = choose_dtype(options.dtype, device)
    tokenizer = _open_tokenizer(Place(folder, place.hub), options)
    ensure_template(tokenizer)
    network = _open_network(Place(folder, place.hub), options, torch.float32 if masters else dtype)
    if options.dropout is not None:
        set_dropout(network, options.dropout)
    keep_norms_small(network, dtype)
    keep_stream(network, dtype)
    gate_mlps(network)
    network.to(device)  # type: ignore[arg-type]  # transformers wraps Module.to and loses its overloads
    if options.quantize is not None:
        quantize(network, options.quantize, dtype)
    network.eval()
    stop = stop_tokens(network, tokenizer)
    length = options.max_length or _context(network.config)
    return Model(network, tokenizer, options.name, device, dtype, stop, max_length=length)


def bound_kernel_caches() -> None:
    """Keeps the CPU's kernel caches from growing with every new shape; what the environment says already, stands."""
    for name in KERNEL_CACHES:
        os.environ.setdefault(name, str(KERNELS_KEPT))


def load_tokenizer(options: ModelOptions) -> tuple[PreTrainedTokenizerBase, int]:
    """The model's tokenizer with its template, and how many tokens a row may have, without its weights.

    Raises ModelError as `load` does.
    """
    place = find(options.name)
    folder = converted(place.path) if place.path is not None and place.is_gguf else place.path
    _refuse_unsafe(folder)
    tokenizer = _open_tokenizer(Place(folder, place.hub), options)
    ensure_template(tokenizer)
    try:
        config = AutoConfig.from_pretrained(_where(Place(folder, place.hub)), revision=options.revision or "main")
    except (ImportError, OSError, ValueError) as error:
        raise ModelError(f"{options.name}: its config.json does not open: {error}") from error
    return tokenizer, options.max_length or _context(config)


def set_dropout(network: PreTrainedModel, share: float) -> None:
    """Sets every dropout of hidden states to a share, and attention's to 0.

    Raises ModelError for a share out of range, or above 0 where the network has no such place.
    """
    if not 0 <= share < 1:
        raise ModelError(f"model.dropout: {share} is no share in [0, 1)")
    layers = {name: module for name, module in network.named_modules() if isinstance(module, nn.Dropout)}
    hidden = {name: module for name, module in layers.items() if "attn_dropout" not in name}
    if share and not hidden:
        raise ModelError(f"{type(network).__name__} drops no hidden state out; use method.dropout with lora instead")
    for name, module in layers.items():
        module.p = share if name in hidden else 0.0
    for layer in network.modules():
        if isinstance(getattr(layer, "attention_dropout", None), float):
            setattr(layer, "attention_dropout", 0.0)  # noqa: B010  # a plain float, which Module's annotation forgets


def choose_device(wanted: Literal["auto", "cpu", "cuda"]) -> torch.device:
    """The device asked for; raises ModelError for a GPU that torch does not see."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ModelError(
            "model.device: cuda was asked for, but torch sees no GPU; use model.device=cpu or a CUDA build of torch"
        )
    return torch.device("cuda" if wanted != "cpu" and torch.cuda.is_available() else "cpu")


def choose_dtype(wanted: Literal["auto", "float32", "bfloat16"], device: torch.device) -> torch.dtype:
    """The number format asked for; auto is bfloat16 only where the machine multiplies it natively."""
    if wanted != "auto":
        return torch.float32 if wanted == "float32" else torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    able = torch.cpu.get_capabilities()
    return torch.bfloat16 if able.get("amx_bf16") or able.get("avx512_bf16") else torch.float32


def stop_tokens(network: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Every token that ends an answer: end of text, the generation settings', and the chat template's end of turn.

    Raises ModelError if there is none, since generation would never stop.
    """
    settings = network.generation_config.eos_token_id if network.generation_config else None
    stop = {*ends(tokenizer), *_ids(settings), *_ids(network.config.eos_token_id)}
    if not stop:
        raise ModelError("the model names no token that ends an answer; set `eos_token` in tokenizer_config.json")
    return frozenset(stop)


def ends(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """What the tokenizer alone tells of `stop_tokens`: end of text, and the chat template's end of turn."""
    return frozenset({*_ids(tokenizer.eos_token_id), *_end_of_turn(tokenizer)})


def _end_of_turn(tokenizer: PreTrainedTokenizerBase) -> set[int]:
    """The first special token after an assistant's words, as the chat template writes them."""
    words = "luthier answer"
    turns = [{"role": "user", "content": "?"}, {"role": "assistant", "content": words}]
    try:
        rendered = str(tokenizer.apply_chat_template(turns, tokenize=False))
    except (TemplateError, TypeError, ValueError) as error:
        raise ModelError(f"the chat template cannot render a question and its answer: {error}") from error
    _, found, after = rendered.rpartition(words)
    if not found:
        raise ModelError("the chat template leaves out what the assistant says; the tokenizer needs another template")
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return set([token for token in tokenizer.encode(after, add_special_tokens=False) if token in special][:1])


def _ids(value: int | Iterable[int] | None) -> tuple[int, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, int) else tuple(value)


def _context(config: PreTrainedConfig) -> int:
    return int(getattr(config.get_text_config(), "max_position_embeddings", None) or UNBOUNDED)


def _refuse_unsafe(folder: Path | None) -> None:
    """Says before anything opens why a local folder cannot be used."""
    if folder is None or (any(folder.glob("*.safetensors")) and (folder / "config.json").is_file()):
        return
    if (folder / "adapter_config.json").is_file():
        base = _adapted(folder / "adapter_config.json")
        raise ModelError(f"{folder}: an adapter, not a model; name its base ({base}) and load the adapter onto it")
    if not (folder / "config.json").is_file():
        raise ModelError(f"{folder}: no config.json, so no model in the Hugging Face layout")
    raise ModelError(
        f"{folder}: no *.safetensors; weights in pickle files (.bin, .pt) can run code when opened and are not read. "
        "Convert them once where you trust them: AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)"
    )


def _adapted(config: Path) -> str:
    """The base that an adapter's configuration names, or why it names none."""
    try:
        named = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return f"{config.name} cannot be read"
    base = named.get("base_model_name_or_path") if isinstance(named, dict) else None
    return str(base or f"{config.name} names none")


def _open_tokenizer(place: Place, options: ModelOptions) -> PreTrainedTokenizerBase:
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            _where(place),
            revision=options.revision or "main",
            local_files_only=place.hub is None,
            trust_remote_code=False,
        )
    except (ImportError, OSError, ValueError) as error:
        raise ModelError(f"{options.name}: its tokenizer does not open: {error}") from error
    return tokenizer


def _open_network(place: Place, options: ModelOptions, dtype: torch.dtype) -> PreTrainedModel:
    try:
        with _no_progress_bar():
            network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                _where(place),
                revision=options.revision or "main",
                dtype=dtype,
                use_safetensors=True,
                local_files_only=place.hub is None,
                trust_remote_code=False,
                attn_implementation="sdpa",
            )
    except (ImportError, OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(f"{options.name}: its network does not open: {error}") from error
    return network


@contextmanager
def _no_progress_bar() -> Iterator[None]:
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _where(place: Place) -> str:
    return place.hub or str(place.path)
