"""What an optimizer is here: made from groups of parameters, with the learning rate and the memory that suit it.

Every one steps float32 weights from float32 gradients, and comes back to the bit from its tensors and numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor, nn
from torch.nn import Parameter
from torch.optim import Optimizer

from luthier.errors import ModelError
from luthier.methods.method import Rate
from luthier.model.leaf import leaf_head
from luthier.train.options import Schedule, TrainOptions


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Parameters that are stepped alike."""

    parameters: tuple[Parameter, ...]
    inner: bool
    """Whether they are matrices inside the network: two-dimensional, of no embedding and not of the head."""
    decay: float
    rate: Rate

    def settings(self) -> dict[str, Any]:
        """As torch's optimizers take it; `set_rates` reads the rate."""
        return {"params": list(self.parameters), "weight_decay": self.decay, "rate": self.rate}


Make: TypeAlias = Callable[[Sequence[Group], TrainOptions], Optimizer]


@dataclass(frozen=True, slots=True)
class Family:
    """One that a recipe can name."""

    make: Make
    """Raises ModelError where it cannot run on this machine or on these parameters."""
    state_bytes: Callable[[Group], int]
    """Memory of its state beside the weights and gradients of a group."""
    factor: float = 1.0
    """Of the method's usual learning rate, where a recipe names none; each says where it is from."""
    schedule: Schedule = "cosine"
    """How the learning rate falls where a recipe does not say."""


@runtime_checkable
class Counting(Protocol):
    """An optimizer whose groups count something themselves, which a resumed run needs back."""

    counted: tuple[str, ...]
    """Entries of each of its groups."""


@runtime_checkable
class Averaging(Protocol):
    """An optimizer that steps other weights than those that are judged and saved."""

    def averaged(self, parameter: Parameter) -> Tensor:
        """What is judged in its place, computed anew."""


@runtime_checkable
class Laying(Protocol):
    """An optimizer that lays its state out itself, so that what was saved is copied into it."""

    def lay_out(self, parameter: Parameter) -> dict[str, Tensor | int]:
        """Makes the state of a parameter that has not been stepped yet."""


def trainable(network: nn.Module) -> dict[str, Parameter]:
    """The parameters that learn, by name, in the network's own order.

    Raises ModelError when there is none, or when one is not in float32 (or wider): moments in half precision lose
    small updates.
    """
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not named:
        raise ModelError("no parameter of the network is trainable; attach a method first")
    for name, parameter in named.items():
        if parameter.dtype not in (torch.float32, torch.float64):
            raise ModelError(f"{name} is trained in {parameter.dtype}; keep trained weights in float32")
    return named


def groups(
    network: nn.Module, options: TrainOptions, rates: Mapping[str, Rate] = MappingProxyType({})
) -> tuple[Group, ...]:
    """What is trainable; decays matrices (two dimensions or more) that are not an embedding's.

    A head tied to the embedding is the embedding, and is not decayed. rates: of parameters that do not learn as the
    rest do.
    """
    embeddings = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    outside = embeddings | {id(parameter) for parameter in _head(network)}
    found: dict[tuple[bool, bool, Rate], list[Parameter]] = {}
    for name, parameter in trainable(network).items():
        decayed = parameter.ndim >= 2 and id(parameter) not in embeddings
        inner = parameter.ndim == 2 and id(parameter) not in outside
        found.setdefault((inner, decayed, rates.get(name, Rate())), []).append(parameter)
    return tuple(
        Group(tuple(members), inner, options.weight_decay if decayed else 0.0, rate)
        for (inner, decayed, rate), members in found.items()
    )


def numbers_of(parts: Sequence[Parameter]) -> int:
    """Entries of all of them together."""
    return sum(parameter.numel() for parameter in parts)


def _head(network: nn.Module) -> list[Parameter]:
    """The output layer's own parameters, where the network tells which that is, and those of a head on a leaf."""
    told = getattr(network, "get_output_embeddings", None)
    layers = (told() if callable(told) else None, leaf_head(network))
    return [parameter for layer in layers if isinstance(layer, nn.Module) for parameter in layer.parameters()]
