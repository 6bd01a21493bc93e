"""Bottleneck adapters: a narrow two-layer network, read from what a sublayer gives, is added to it before the residual.

    y = base(x)                              what the attention, or the MLP, would add to the residual
    z = y + W_up f(W_down y + b_down) + b_up

Where a network normalises a sublayer's output before it adds it (Gemma 2), the adapter stands before that norm.
Since f is no linear map, no weight of the base can hold what is learned: it stays beside the base.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from luthier.errors import RecipeError
from luthier.methods.beside import Beside, StandIn
from luthier.methods.linear import Linear, features
from luthier.methods.places import Places, places

Activation = Literal["relu", "gelu", "silu"]
ACTIVATIONS: Final[Mapping[str, Callable[[Tensor], Tensor]]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
}


@dataclass(frozen=True, slots=True)
class Bottleneck(Beside):
    """A small network after each sublayer. Source: Houlsby et al. 2019, arXiv:1902.00751."""

    width: int = 64
    """Inner width of each adapter."""
    placement: Literal["houlsby", "pfeiffer"] = "pfeiffer"
    """After the attention and after the MLP, or after the MLP alone (Pfeiffer et al. 2020, arXiv:2005.00247)."""
    activation: Activation = "relu"
    """What stands between its two layers."""

    def __post_init__(self) -> None:
        if self.width < 1:
            raise RecipeError(f"width is {self.width}; it must be at least 1")

    @property
    def mergeable(self) -> bool:
        """False: it is no linear map."""
        return False

    def usual_lr(self, network: PreTrainedModel) -> float:
        """3e-3, at the upper end of Houlsby's range.

        SmolLM2-135M after 40 steps on banking77, 64 validation rows: 0.92 nats at 1e-3, 0.67 at 3e-3, 0.97 at 1e-2.
        """
        return 3e-3

    def stand_ins(self, network: PreTrainedModel, generator: torch.Generator) -> Mapping[str, StandIn]:
        """An adapter on the output of every MLP, and of every attention in Houlsby's placement."""
        paths = [path for place in places(network) for path in self._outputs(place)]
        return {
            path: BottleneckLinear(
                cast(Linear, network.get_submodule(path)),
                width=self.width,
                activation=self.activation,
                generator=generator,
            )
            for path in paths
        }

    def _outputs(self, place: Places) -> tuple[str, ...]:
        return (place.attention_output, place.mlp_output) if self.placement == "houlsby" else (place.mlp_output,)


class BottleneckLinear(StandIn):
    """Stands in for a sublayer's output projection, which it keeps as `base`."""

    def __init__(self, base: Linear, *, width: int, activation: Activation, generator: torch.Generator) -> None:
        """Draws W_down uniformly in +-1/sqrt(d), on the CPU so that every device starts alike; all else is zero."""
        super().__init__(base)
        _, outputs = features(base)
        drawn = nn.init.kaiming_uniform_(torch.empty(width, outputs), a=math.sqrt(5), generator=generator)
        device = base.weight.device
        self.down = nn.Parameter(drawn.to(device))
        self.down_bias = nn.Parameter(torch.zeros(width, device=device))
        self.up = nn.Parameter(torch.zeros(outputs, width, device=device))
        self.up_bias = nn.Parameter(torch.zeros(outputs, device=device))
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in) -> (..., out); with the adapter off, what the base returns."""
        y = cast(Tensor, self.base(x))
        if not self.on:
            return y
        down, down_bias, up, up_bias = (p.to(y.dtype) for p in (self.down, self.down_bias, self.up, self.up_bias))
        inner = ACTIVATIONS[self.activation](functional.linear(y, down, down_bias))  # (..., width)
        return y + functional.linear(inner, up, up_bias)
