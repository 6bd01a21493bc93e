"""Methods that train the network's own parameters: all of them, or all but a frozen lower part.

Both can let lower layers learn more slowly, or later, than upper ones:

    depth 0  head, norms outside the layers, top layer     lr                 from the start
          1  the layer below it                            lr x decay         from unfreeze x 1/deepest of the run
          .                                                ...                ...
    deepest  token embeddings, if they learn               lr x decay^deepest from unfreeze of the run

Every parameter becomes float32, frozen ones too, because one network computes in one way: where the compute dtype is
bfloat16 the forward runs under autocast, which casts each float32 weight as it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn
from transformers import PreTrainedModel

from luthier.errors import ModelError, RecipeError
from luthier.methods.method import Rate, lora_lr
from luthier.model.layers import layer_list


@dataclass(frozen=True, slots=True)
class _OwnWeights:
    """What holds of every method that moves the weights themselves.

    Source of its fields: Howard and Ruder 2018, arXiv:1801.06146, who decay by 1/2.6 and unfreeze a layer an epoch.
    """

    decay: float = 1.0
    """Learning rate of each layer, as a share of that of the layer above it; 1 lets all learn alike. Embeddings are
    the lowest, and with tied weights the output head with them."""
    unfreeze: float = 0.0
    """Share of the run by which all layers learn: they join one by one, the top layer first. 0 has all of them learn
    from the start."""

    def __post_init__(self) -> None:
        bounds = [
            ("decay", 0 < self.decay <= 1, "above 0, at most 1"),
            ("unfreeze", 0 <= self.unfreeze < 1, "a share in [0, 1)"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))

    @property
    def starts_as_base(self) -> bool:
        """True: nothing is added."""
        return True

    def usual_lr(self, network: PreTrainedModel) -> float:
        """A tenth of LoRA's: the weights themselves move."""
        return lora_lr(network) / 10

    @property
    def removable(self) -> bool:
        """False: the base's weights are the ones that change."""
        return False

    @property
    def mergeable(self) -> bool:
        """True: there is nothing beside them."""
        return True

    def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
        """What is not frozen; a tied parameter once."""
        return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}

    def rates(self, network: PreTrainedModel) -> dict[str, Rate]:
        """By depth, where lower layers learn more slowly or later; raises ModelError where there are no layers."""
        if self.decay == 1 and not self.unfreeze:
            return {}
        depths = _depths(network)
        learning = {name: depths.get(id(parameter), 0) for name, parameter in self.trainable(network).items()}
        deepest = max(1, *learning.values())
        return {
            name: Rate(factor=self.decay**depth, begins=self.unfreeze * depth / deepest)
            for name, depth in learning.items()
        }


@dataclass(frozen=True, slots=True)
class Full(_OwnWeights):
    """Every parameter learns."""

    def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
        """Holds every parameter in float32, trainable; draws nothing.

        Raises ModelError where layers are to learn each in its own way and there is no list of them.
        """
        _hold_masters(network)
        self.rates(network)


@dataclass(frozen=True, slots=True)
class Freeze(_OwnWeights):
    """Every parameter learns but those of the first layers, the embeddings, and whatever matches a pattern."""

    layers: int = 0
    """How many layers are frozen, counted from the input."""
    embeddings: bool = True
    """Whether the token embeddings are frozen; with tied weights the output head then is too."""
    patterns: tuple[str, ...] = ()
    """Further parameter names to freeze; `*` and `?` stand for any text (`*.mlp.*`)."""

    def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
        """Holds every parameter in float32 and freezes those named; draws nothing.

        Raises ModelError if there are fewer layers, or no list of them where one is needed, if a pattern matches
        nothing, or if nothing is left to learn.
        """
        _hold_masters(network)
        for name, parameter in network.named_parameters():
            if any(fnmatchcase(name, pattern) for pattern in self._checked(network)):
                parameter.requires_grad_(False)
        for module in self._frozen(network):
            module.requires_grad_(False)
        if not self.trainable(network):
            raise ModelError(f"{self} freezes every parameter of {type(network).__name__}; leave some to learn")
        self.rates(network)

    def _checked(self, network: PreTrainedModel) -> tuple[str, ...]:
        names = [name for name, _ in network.named_parameters()]
        for pattern in self.patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ModelError(
                    f"method.patterns: {pattern!r} matches no parameter; they look like {names[len(names) // 2]!r}"
                )
        return self.patterns

    def _frozen(self, network: PreTrainedModel) -> list[nn.Module]:
        layers = layer_list(network) if self.layers else nn.ModuleList()
        if not 0 <= self.layers <= len(layers):
            raise ModelError(f"method.layers: {self.layers} to freeze, but {type(network).__name__} has {len(layers)}")
        embeddings = [network.get_input_embeddings()] if self.embeddings else []
        return [*embeddings, *layers[: self.layers]]


def _depths(network: PreTrainedModel) -> dict[int, int]:
    """How far below the top each parameter stands, by its id: layers by their place, embeddings below all of them."""
    layers = layer_list(network)
    found = {id(p): len(layers) - 1 - at for at, layer in enumerate(layers) for p in layer.parameters()}
    tables = [module for module in network.modules() if isinstance(module, nn.Embedding)]
    return found | {id(p): len(layers) for table in tables for p in table.parameters()}


def _hold_masters(network: PreTrainedModel) -> None:
    for parameter in network.parameters():
        parameter.data = parameter.data.float()
        parameter.requires_grad_(True)
