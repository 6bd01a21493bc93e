"""Methods that train the network's own parameters: all of them, or all but a frozen lower part.

Every parameter becomes float32, frozen ones too, because one network computes in one way: where the compute dtype is
bfloat16 the forward runs under autocast, which casts each float32 weight as it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import nn
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods.method import Rate, lora_lr


@dataclass(frozen=True, slots=True)
class _OwnWeights:
    """What holds of every method that moves the weights themselves."""

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

    def rates(self, network: PreTrainedModel) -> dict[str, Rate]:
        """None: all learn alike."""
        return {}


@dataclass(frozen=True, slots=True)
class Full(_OwnWeights):
    """Every parameter learns."""

    def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
        """Holds every parameter in float32, trainable; draws nothing."""
        _hold_masters(network)

    def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
        """All of them; a tied one once."""
        return dict(network.named_parameters())


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

        Raises ModelError if there are fewer layers, if a pattern matches nothing, or if nothing is left to learn.
        """
        _hold_masters(network)
        for name, parameter in network.named_parameters():
            if any(fnmatchcase(name, pattern) for pattern in self._checked(network)):
                parameter.requires_grad_(False)
        for module in self._frozen(network):
            module.requires_grad_(False)
        if not self.trainable(network):
            raise ModelError(f"{self} freezes every parameter of {type(network).__name__}; leave some to learn")

    def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
        """What is not frozen."""
        return {name: parameter for name, parameter in network.named_parameters() if parameter.requires_grad}

    def _checked(self, network: PreTrainedModel) -> tuple[str, ...]:
        names = [name for name, _ in network.named_parameters()]
        for pattern in self.patterns:
            if not any(fnmatchcase(name, pattern) for name in names):
                raise ModelError(
                    f"patterns: {pattern!r} matches no parameter; they look like {names[len(names) // 2]!r}"
                )
        return self.patterns

    def _frozen(self, network: PreTrainedModel) -> list[nn.Module]:
        layers = layer_list(network) if self.layers else nn.ModuleList()
        if not 0 <= self.layers <= len(layers):
            raise ModelError(f"layers: {self.layers} to freeze, but {type(network).__name__} has {len(layers)}")
        embeddings = [network.get_input_embeddings()] if self.embeddings else []
        return [*embeddings, *layers[: self.layers]]


def layer_list(network: PreTrainedModel) -> nn.ModuleList:
    """The network's layers, input first; raises ModelError where they are not one list."""
    count = network.config.get_text_config().num_hidden_layers
    for module in network.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ModelError(f"{type(network).__name__} does not keep its {count} layers in one list; freeze by `patterns`")


def _hold_masters(network: PreTrainedModel) -> None:
    for parameter in network.parameters():
        parameter.data = parameter.data.float()
        parameter.requires_grad_(True)
