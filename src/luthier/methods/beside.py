"""What methods share that leave the base frozen and put modules of their own in the place of some of its modules."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from transformers import PreTrainedModel

from luthier.errors import ModelError
from luthier.methods.lora import freeze_base
from luthier.methods.method import Rate, adapted, replace


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
            for path in adapted(network)
            for name, parameter in network.get_submodule(path).named_parameters()
            if not name.startswith("base.")
        }

    def rates(self, network: PreTrainedModel) -> dict[str, Rate]:
        """None: all learn alike."""
        return {}

    def stand_ins(self, network: PreTrainedModel, generator: torch.Generator) -> dict[str, nn.Module]:
        """What is to stand where, by dotted path, on a network that is as it was opened; raises ModelError."""
        raise NotImplementedError
