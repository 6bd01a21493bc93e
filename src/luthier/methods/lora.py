"""LoRA and its kin: a low-rank adapter beside each linear layer learns; the base is frozen in the compute dtype.

The network needs no autocast: base weights stand in the compute dtype, adapters are float32 and are cast once a call.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

import torch
from torch import nn
from transformers import PreTrainedModel

from luthier.errors import ModelError, RecipeError
from luthier.methods.linear import Linear, LoRALinear
from luthier.methods.method import Rate, lora_lr, replace
from luthier.model.layers import layer_list
from luthier.words import closest


@dataclass(frozen=True, slots=True)
class LoRA:
    """A low-rank adapter on linear layers. Source: Hu et al. 2021, arXiv:2106.09685."""

    rank: int = 16
    """Inner width of each adapter."""
    alpha: float = 32.0
    """Strength: the adapter's output is scaled by alpha / rank."""
    targets: Literal["all"] | tuple[str, ...] = "all"
    """Which layers: every linear layer but the output head, or names (`q_proj`, `self_attn.q_proj`, `*.mlp.*`)."""
    dropout: float = 0.0
    """Share of each adapter's inputs set to zero while training; drawn from torch's global generator."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) instead. Source: Kalajdzievski 2023, arXiv:2312.03732."""
    dora: bool = False
    """Learn how long each output's row of the weight is beside where it points. Source: Liu et al. 2024,
    arXiv:2402.09353."""
    init: Literal["zero", "pissa"] = "zero"
    """Where A and B start: drawn and zero, or pissa: the weight's own largest directions. The base stays as it is
    either way, and dropout and weight decay reach only what was learned on top. Source: Meng et al. 2024,
    arXiv:2404.02948."""
    ranks: Mapping[str, int] = field(default_factory=dict)
    """Other ranks for some layers, by the end of their name or a pattern: `{q_proj: 8, "*.mlp.*": 32}`; the first
    that fits a layer holds."""
    alphas: Mapping[str, float] = field(default_factory=dict)
    """Other alphas, likewise."""
    plus: float = 1.0
    """How many times as fast as A each B learns (LoRA+; its authors take 16), with train.lr for A. Source: Hayou et
    al. 2024, arXiv:2402.12354."""
    first_layer: int = 0
    """Lowest layer that carries adapters, counted from 0 at the input; what the layers below it compute never changes
    and is kept (`train.trunk`)."""

    def __post_init__(self) -> None:
        bounds = [
            ("rank", self.rank >= 1, "at least 1"),
            ("alpha", 0 < self.alpha < math.inf, "above 0"),
            ("dropout", 0 <= self.dropout < 1, "a share in [0, 1)"),
            ("first_layer", self.first_layer >= 0, "0 or more"),
            ("plus", 0 < self.plus < math.inf, "above 0"),
            ("ranks", all(rank >= 1 for rank in self.ranks.values()), "at least 1 each"),
            ("alphas", all(0 < alpha < math.inf for alpha in self.alphas.values()), "above 0 each"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))

    @property
    def starts_as_base(self) -> bool:
        """True: B is zero, or nothing was learned yet on top of A and B."""
        return True

    def usual_lr(self, network: PreTrainedModel) -> float:
        """About ten times that of full tuning, nearly whatever the rank; of LoRA+ that of A, so that A's and B's
        geometric mean is the same."""
        return lora_lr(network) / math.sqrt(self.plus)

    @property
    def removable(self) -> bool:
        """True: the base is frozen."""
        return True

    @property
    def mergeable(self) -> bool:
        """True: B A has the shape of the weight."""
        return True

    def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
        """Freezes the network in the compute dtype and puts an adapter beside each target.

        Raises ModelError if it carries adapters already, or if a target names no linear layer.
        """
        if adapters(network):
            raise ModelError("the network carries LoRA adapters already; merge them first, or restore into them")
        chosen = self._chosen(network)
        freeze_base(network, dtype)
        generator = torch.Generator().manual_seed(seed)
        for name, linear in chosen.items():
            made = self._made(name, linear)
            made.start_from_weight() if self.init == "pissa" else made.start(generator)
            replace(network, name, made)

    def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
        """A and B of every adapter, and its magnitude if it has one."""
        return {
            f"{path}.{name}": parameter
            for path, module in adapters(network).items()
            for name, parameter in module.named_parameters(recurse=False)
        }

    def rates(self, network: PreTrainedModel) -> dict[str, Rate]:
        """B's, where it is not A's."""
        if self.plus == 1:
            return {}
        return {name: Rate(self.plus) for name in self.trainable(network) if name.endswith(".lora_b")}

    def _chosen(self, network: PreTrainedModel) -> dict[str, Linear]:
        linears = self._reached(network, adaptable(network))
        if self.targets != "all":
            _check_names("targets", self.targets, linears)
            linears = {path: linear for path, linear in linears.items() if any(_fits(path, t) for t in self.targets)}
        _check_names("ranks", self.ranks, linears)
        _check_names("alphas", self.alphas, linears)
        return linears

    def _made(self, path: str, base: Linear) -> LoRALinear:
        return LoRALinear(
            base,
            rank=next((rank for name, rank in self.ranks.items() if _fits(path, name)), self.rank),
            alpha=next((alpha for name, alpha in self.alphas.items() if _fits(path, name)), self.alpha),
            dropout=self.dropout,
            rslora=self.rslora,
            dora=self.dora,
        )

    def _reached(self, network: PreTrainedModel, linears: dict[str, Linear]) -> dict[str, Linear]:
        """Those in the layers from the first one on; raises ModelError where the network has fewer layers."""
        if not self.first_layer:
            return linears
        layers = layer_list(network)
        if self.first_layer >= len(layers):
            raise ModelError(
                f"method.first_layer: {self.first_layer}, but {type(network).__name__} "
                f"has layers 0 to {len(layers) - 1}"
            )
        inside = {module for layer in layers[self.first_layer :] for module in layer.modules()}
        return {path: linear for path, linear in linears.items() if linear in inside}


def adaptable(network: PreTrainedModel) -> dict[str, Linear]:
    """Every linear layer but the output head, by its dotted path, in the network's order; ModelError if none."""
    head = network.get_output_embeddings()
    found = {
        path: module for path, module in network.named_modules() if isinstance(module, Linear) and module is not head
    }
    if not found:
        raise ModelError(
            f"{type(network).__name__} has no linear layer to put an adapter on; use method full or freeze"
        )
    return found


def adapters(network: nn.Module) -> dict[str, LoRALinear]:
    """Every adapter a network carries, by the dotted path of the layer it stands for."""
    return {path: module for path, module in network.named_modules() if isinstance(module, LoRALinear)}


def freeze_base(network: nn.Module, dtype: torch.dtype) -> None:
    """Freezes every parameter and casts it; buffers keep theirs, since rotary tables need float32."""
    for parameter in network.parameters():
        parameter.data = parameter.data.to(dtype)
        parameter.requires_grad_(False)
        parameter.grad = None


def is_named(path: str, target: str) -> bool:
    """Whether a target names a layer: its whole path, or the end of it (`q_proj`), as PEFT reads names."""
    return path == target or path.endswith(f".{target}")


def _fits(path: str, pattern: str) -> bool:
    return is_named(path, pattern) or fnmatchcase(path, pattern)


def _check_names(setting: str, patterns: Iterable[str], linears: Mapping[str, Linear]) -> None:
    """Raises ModelError for a pattern that fits none of the layers."""
    names = sorted({path.rpartition(".")[2] for path in linears})
    for pattern in patterns:
        if not any(_fits(path, pattern) for path in linears):
            hint = closest(pattern, names)
            raise ModelError(f"method.{setting}: {pattern!r} names no linear layer; there are {', '.join(names)}{hint}")
