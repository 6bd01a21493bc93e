"""What methods share that leave the base frozen and put modules of their own in the place of some of its modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods.lora import freeze_base
from luthier.methods.method import Rate, adapted, replace


class StandIn(nn.Module):
    """A module in the place of one of the base's, which it keeps as `base`, frozen."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.on = True
        self.train(base.training)


@dataclass(frozen=True, slots=True)
class Beside:
    """Stand-ins that start as what they stand for, and keep it as their `base`."""

    @property
    def starts_as_base(self) -> bool:
        """True: a stand-in starts as what it stands for."""
        return True

    @property
    def removable(self) -> bool:
        """True: the base is frozen."""
        return True

    def attach(self, network: PreTrainedModel, *, dtype: torch.dtype, seed: int = 0) -> None:
        """Freezes the network in the compute dtype and puts every stand-in in its place.

        Raises ModelError if it carries adapters already, or if the network has no place for one.
        """
        if adapted(network):
            raise ModelError("the network carries adapters already; merge them first, or restore into them")
        made = self.stand_ins(network, torch.Generator().manual_seed(seed))
        freeze_base(network, dtype)
        for path, module in made.items():
            replace(network, path, module)

    def trainable(self, network: PreTrainedModel) -> dict[str, nn.Parameter]:
        """All that the stand-ins hold beside their bases."""
        return {
            f"{path}.{name}": parameter
            for path, module in network.named_modules()
            if isinstance(module, StandIn)
            for name, parameter in module.named_parameters()
            if not name.startswith("base.")
        }

    def rates(self, network: PreTrainedModel) -> dict[str, Rate]:
        """None: all learn alike."""
        return {}

    def stand_ins(self, network: PreTrainedModel, generator: torch.Generator) -> Mapping[str, StandIn]:
        """What is to stand where, by dotted path, on a network that is as it was opened; raises ModelError."""
        raise NotImplementedError
