"""What a tuning method is: which parameters of a network learn. Plus what can be done to any adapted network.

A method is a frozen dataclass that is its own configuration. After `attach`, its trainable parameters are float32 and
everything else is frozen; nothing here knows a loss, a batch or an optimizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import nn
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.model.quantize import QuantizedLinear


def lora_lr(network: PreTrainedModel) -> float:
    """A learning rate that suits LoRA on a network of this width: 1.05e-3 for 576, 2.3e-4 for 4096.

    Four fifths of the fit over model families of Schulman et al. 2025, "LoRA Without Regret", with its exponent for
    Llama: their optimum is flat, and the lower side is the stable one.
    """
    width = int(network.config.get_text_config().hidden_size)
    return float(4e-4 * (2000 / width) ** 0.775)


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast a parameter learns, and from when."""

    factor: float = 1.0
    """Of the run's learning rate."""
    begins: float = 0.0
    """Share of the run's steps before which it stays as it is."""


class Method(Protocol):
    """Which parameters learn."""

    @property
    def starts_as_base(self) -> bool:
        """Whether a network computes the same right after `attach` as before."""

    @property
    def removable(self) -> bool:
        """Whether what was learned can be switched off, because the base's weights stay as they were."""

    @property
    def mergeable(self) -> bool:
        """Whether the base's own modules can hold what was learned, after `merge`."""

    def usual_lr(self, network: PreTrainedModel) -> float:
        """The highest learning rate where a recipe names none."""

    def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
        """Readies a freshly opened network for training, in place.

        dtype: what matrix products compute in. seed: of whatever is drawn, independent of torch's global generator.
        Raises ModelError if the method does not fit the network.
        """

    def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
        """The parameters that learn, by name, in the network's order."""

    def rates(self, network: PreTrainedModel) -> dict[str, Rate]:
        """Those of them that learn at a rate of their own, or later than the rest; by name."""


@runtime_checkable
class Adapted(Protocol):
    """A module that stands in for one of the base's, and can act as if it were that; must also be an `nn.Module`."""

    on: bool
    """Whether the adapter takes part."""


@runtime_checkable
class Mergeable(Adapted, Protocol):
    """One that can give the base's module back."""

    def merged(self) -> nn.Module:
        """The base module with what was learned folded into its weights."""


def adapted(network: nn.Module) -> dict[str, Adapted]:
    """Every module that stands in for one of the base's, by its dotted path."""
    return {path: module for path, module in network.named_modules() if isinstance(module, Adapted)}


@contextmanager
def switched_off(network: nn.Module) -> Iterator[None]:
    """The base's behaviour, to the bit, while the context is open; a network without adapters is its own base."""
    before = [(module, module.on) for module in adapted(network).values()]
    try:
        for module, _ in before:
            module.on = False
        yield
    finally:
        for module, was in before:
            module.on = was


def merge(network: nn.Module) -> None:
    """Folds every adapter into the base's weights, in place, and puts the base's own modules back, none in few bits.

    Raises ModelError, and leaves the network alone, where one computes what no weight of the base can.
    """
    found = adapted(network)
    for path, module in found.items():
        if not isinstance(module, Mergeable):
            raise ModelError(
                f"{path}: {type(module).__name__} computes what no weight of the base can, so it cannot be merged; "
                "keep it beside its base, as the export format adapter does"
            )
    for path, module in found.items():
        if isinstance(module, Mergeable):
            replace(network, path, module.merged())
    for path, module in list(network.named_modules()):
        if isinstance(module, QuantizedLinear):
            replace(network, path, module.unpacked())


def replace(network: nn.Module, name: str, module: nn.Module) -> None:
    """Puts a module where the dotted name says, for whoever calls it from the parent."""
    parent, _, leaf = name.rpartition(".")
    setattr(network.get_submodule(parent), leaf, module)
