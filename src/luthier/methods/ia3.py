"""IA3: learned vectors stretch keys, values and the MLP's inner activations, element by element.

    keys, values: y = l * base(x)            the MLP's last layer: y = base(l * x)

Where keys and values come out of one matrix with the queries, the queries are stretched too, as in PEFT. The product is
taken in float32: l stays near one, and bfloat16 knows nothing between 1 and 1.008.
Source: Liu et al. 2022, arXiv:2205.05638.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from luthier.methods.beside import Beside
from luthier.methods.linear import Linear, features
from luthier.methods.places import places


@dataclass(frozen=True, slots=True)
class IA3(Beside):
    """Vectors that stretch keys, values and inner activations. Source: Liu et al. 2022, arXiv:2205.05638."""

    @property
    def mergeable(self) -> bool:
        """True: a vector stretches the weight's rows, or its columns."""
        return True

    def usual_lr(self, network: PreTrainedModel) -> float:
        """3e-3, the paper's."""
        return 3e-3

    def stand_ins(self, network: PreTrainedModel, generator: torch.Generator) -> dict[str, nn.Module]:
        """Vectors of ones on what makes keys and values, and before the last layer of every MLP."""
        reads = {path: False for place in places(network) for path in place.keys_and_values}
        reads |= {place.mlp_output: True for place in places(network)}
        return {
            path: ScaledLinear(cast(Linear, network.get_submodule(path)), inputs=inputs)
            for path, inputs in reads.items()
        }


class ScaledLinear(nn.Module):
    """Stands in for a linear layer, which it keeps as `base`, and stretches what that reads or what it returns."""

    def __init__(self, base: Linear, *, inputs: bool) -> None:
        """Starts at one. inputs: whether what the layer reads is stretched, not what it returns."""
        super().__init__()
        size = features(base)[0 if inputs else 1]
        self.base = base.requires_grad_(False)
        self.stretch = nn.Parameter(torch.ones(size, device=base.weight.device))
        self.inputs = inputs
        self.on = True
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out); with the adapter off, what the base returns."""
        if not self.on:
            return cast(Tensor, self.base(x))
        if self.inputs:
            return cast(Tensor, self.base(self._stretched(x)))
        return self._stretched(cast(Tensor, self.base(x)))

    @torch.no_grad()
    def merged(self) -> Linear:
        """The base with its rows or columns, and its bias with its rows, stretched and rounded once."""
        weight, bias = self.base.weight, self.base.bias
        across = self.inputs != isinstance(self.base, Conv1D)  # whether an element belongs to a column of `weight`
        weight.copy_(weight.float() * (self.stretch if across else self.stretch[:, None]))
        if bias is not None and not self.inputs:
            bias.copy_(bias.float() * self.stretch)
        return self.base

    def _stretched(self, of: Tensor) -> Tensor:
        return (of.float() * self.stretch).to(of.dtype)
