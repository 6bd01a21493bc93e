"""The base beside the model that learns, for an objective that holds one to the other.

An adapter's base is the same network with the adapter off, and takes no memory. Where the weights themselves move, it
is a copy of those that do; what is frozen stands in both.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace

from torch import Tensor

from luthier.batch import Batch
from luthier.methods.method import Method, switched_off
from luthier.model.divergence import apart, reference
from luthier.model.forward import computing, evaluating
from luthier.model.head import Head
from luthier.model.load import Model


@dataclass(frozen=True, slots=True, eq=False)
class AdapterOff:
    """The network itself, as it computes without what it learns."""

    model: Model

    @property
    def bytes(self) -> int:
        """None."""
        return 0

    def divergence(self, batch: Batch, hidden: Tensor, output: Head) -> Tensor:
        """KL(base || model), row by row: hidden (u, d) -> (u,) nats."""
        with evaluating(self.model), switched_off(self.model.network):
            before = reference(self.model, batch)
        with computing(self.model):
            return apart(hidden, output, before)


@dataclass(frozen=True, slots=True, eq=False)
class Copy:
    """A second network with the weights that the first one began with."""

    model: Model
    bytes: int

    def divergence(self, batch: Batch, hidden: Tensor, output: Head) -> Tensor:
        """KL(base || model), row by row: hidden (u, d) -> (u,) nats."""
        before = reference(self.model, batch)
        with computing(self.model):
            return apart(hidden, output, before)


def keep_base(model: Model, method: Method, *, goes_on: bool = False) -> None:
    """Keeps what the model is now as `model.base`; the method is attached, and nothing is learned yet.

    goes_on: whether what is attached has learned before, so that the model is not the base with it switched off.
    """
    if method.removable and not goes_on:
        model.base = AdapterOff(model)
        return
    learning = [parameter for parameter in model.network.parameters() if parameter.requires_grad]
    shared = {id(parameter): parameter for parameter in model.network.parameters() if not parameter.requires_grad}
    network = deepcopy(model.network, shared)
    network.requires_grad_(False)
    network.eval()
    size = sum(parameter.numel() * parameter.element_size() for parameter in learning)
    model.base = Copy(replace(model, network=network), size)
