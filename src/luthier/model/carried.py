"""What a model carries beside its network, as the engine knows it: its base, several adapters, a kept trunk."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from luthier.batch import Batch
from luthier.model.head import Head

if TYPE_CHECKING:
    from luthier.model.load import Model


class Base(Protocol):
    """What a model was before it was tuned, for an objective that holds it there."""

    @property
    def model(self) -> Model:
        """What computes it; the model that learns itself, where that can compute as it did before."""

    @property
    def bytes(self) -> int:
        """Memory it takes beside the network that learns."""

    def divergence(self, batch: Batch, hidden: Tensor, output: Head) -> Tensor:
        """KL(base || model) of each row of a batch that predicts: hidden (u, d) of the model -> (u,) nats.

        The base computes without gradients and without dropout; they reach `hidden` and the parameters of `output`.
        """


class Routing(Protocol):
    """Several adapters on one network, told before each forward whose the rows are."""

    def over(self, adapter: Tensor) -> AbstractContextManager[None]:
        """While it is open, row i of every layer's input goes through adapter[i]: (rows,), never decreasing."""


class Below(Protocol):
    """What is known of a batch's hidden states at the cut."""

    @property
    def hidden(self) -> Tensor | None:
        """(n, d) where every token's is known."""

    def completed(self, computed: Tensor) -> Tensor:
        """What is to be gone on from, where some had to be computed: (n, d) -> (n, d)."""


class Trunk(Protocol):
    """What frozen layers compute, kept: the hidden states of a token depend on its path alone."""

    @property
    def cut(self) -> int:
        """How many layers are below it."""

    def below(self, batch: Batch) -> Below:
        """What is known of a batch."""
