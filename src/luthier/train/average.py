"""An average that is judged and saved in place of the weights that are stepped.

    stepped   w1 ---- w2 ---- w3 ---- ...     stand in the network while it learns, and are kept for resuming
    judged    a1 ---- a2 ---- a3 ---- ...     stand in the network while it is judged and saved

The stepped weights are set aside, never computed back, so that looking at the average changes no bit of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from luthier.train.optimizers import Averaging
from luthier.train.options import TrainOptions

STEPPED: Final = "optimizer-weights.safetensors"
"""The stepped weights in a checkpoint whose model is the average: only for resuming, as the optimizer's state is."""


class Average(Protocol):
    """What is judged of each parameter that learns."""

    def follow(self, steps: int) -> None:
        """Takes up the weights after a step; `steps` were taken so far, this one included."""

    def judged(self) -> dict[str, Tensor]:
        """The average by name; what stands in the network is not touched."""

    def adopt(self) -> None:
        """Goes on from the average that was saved, which stands in the network now."""


class Moving:
    """An exponential moving average of the weights, float32 as they are: as much memory again.

    Early on it forgets faster, `(1 + steps) / (10 + steps)` of it stays, so that a short run is not held at its
    start. Source: Polyak and Juditsky 1992; the beginning as in TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, named: Mapping[str, Parameter], keep: float) -> None:
        """Starts at what the parameters are now; keep: share of the average that a step leaves."""
        self._named, self._keep = named, keep
        self._held = {name: parameter.detach().clone() for name, parameter in named.items()}

    def follow(self, steps: int) -> None:
        """Takes up the weights after a step."""
        new = 1 - min(self._keep, (1 + steps) / (10 + steps))
        for name, parameter in self._named.items():
            self._held[name].lerp_(parameter.detach(), new)

    def judged(self) -> dict[str, Tensor]:
        """The average itself."""
        return self._held

    def adopt(self) -> None:
        """Goes on from what stands in the network."""
        for name, parameter in self._named.items():
            self._held[name].copy_(parameter.detach())


class Own:
    """The average that the optimizer keeps by itself."""

    def __init__(self, named: Mapping[str, Parameter], optimizer: Averaging) -> None:
        self._named, self._optimizer = named, optimizer

    def follow(self, steps: int) -> None:
        """Nothing: the optimizer's step did."""

    def judged(self) -> dict[str, Tensor]:
        """Computed from the stepped weights and the optimizer's state."""
        return {name: self._optimizer.averaged(parameter) for name, parameter in self._named.items()}

    def adopt(self) -> None:
        """Nothing: it follows from the two."""


def average_of(options: TrainOptions, optimizer: Optimizer, named: Mapping[str, Parameter]) -> Average | None:
    """The average that the options ask for; None where the stepped weights are the ones that are judged."""
    if isinstance(optimizer, Averaging):
        return Own(named, optimizer)
    return None if options.ema is None else Moving(named, options.ema)


@contextmanager
def standing_in(average: Average | None, named: Mapping[str, Parameter]) -> Iterator[None]:
    """The average stands in the network while the context is open."""
    if average is None:
        yield
        return
    stepped = {name: parameter.data for name, parameter in named.items()}
    for name, value in average.judged().items():
        named[name].data = value
    try:
        yield
    finally:
        for name, value in stepped.items():
            named[name].data = value


def save_stepped(average: Average | None, named: Mapping[str, Parameter], folder: Path) -> None:
    """Writes the stepped weights beside the average, where there is one."""
    if average is not None:
        save_file({name: p.detach().cpu().contiguous() for name, p in named.items()}, folder / STEPPED)


def restore_stepped(average: Average | None, named: Mapping[str, Parameter], folder: Path) -> None:
    """Puts them back, once what was saved as the model stands in the network and was taken up as the average."""
    if average is None:
        return
    average.adopt()
    with torch.no_grad():
        for name, value in load_file(folder / STEPPED).items():
            named[name].copy_(value)
