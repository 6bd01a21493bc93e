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


@runtime_checkable
class PeftLayer(Protocol):
    """A layer of PEFT's own, which stands in for one of the base's too; must also be an `nn.Module`."""

    @property
    def disable_adapters(self) -> bool:
        """Whether it computes what its base does."""

    def enable_adapters(self, enabled: bool) -> None:
        """Lets it take part, or not."""

    def get_base_layer(self) -> nn.Module:
        """The module it stands for."""

    def merge(self) -> None:
        """Folds what was learned into that module's weights."""


class _OfPeft:
    """A layer of PEFT as `Adapted` has it."""

    def __init__(self, layer: PeftLayer) -> None:
        self.layer = layer

    @property
    def on(self) -> bool:
        """Whether it takes part."""
        return not self.layer.disable_adapters

    @on.setter
    def on(self, wanted: bool) -> None:
        """Without PEFT's opening and freezing of parameters on the way."""
        assert isinstance(self.layer, nn.Module)
        learns = {parameter: parameter.requires_grad for parameter in self.layer.parameters()}
        self.layer.enable_adapters(wanted)
        for parameter, was in learns.items():
            parameter.requires_grad_(was)

    def merged(self) -> nn.Module:
        """The base's module, changed; raises ModelError where PEFT cannot fold what was learned into its weights."""
        try:
            self.layer.merge()
        except (NotImplementedError, ValueError) as error:
            kind = f"{type(self.layer).__module__}.{type(self.layer).__name__}"
            raise ModelError(f"{kind} cannot be merged ({error}); export the format adapter") from error
        return self.layer.get_base_layer()


def adapted(network: nn.Module) -> dict[str, Adapted]:
    """Every adapter of a network by its dotted path, PEFT's own layers too."""
    found: dict[str, Adapted] = {}
    for name, module in network.named_modules():
        if isinstance(module, Adapted):
            found[name] = module
        elif isinstance(module, PeftLayer):
            found[name] = _OfPeft(module)
    return found


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
