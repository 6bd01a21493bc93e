"""A pull of the weights that learn to where they began: strength / 2 times their squared distance, added to the loss.

Of an adapter that is its own beginning, since its base does not move. It goes through the gradient, as the loss does.
Source: Li, Grandvalet and Davoine 2018, arXiv:1802.01483, eq. 1 (L2-SP), over all weights.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.nn import Parameter


class Pull:
    """Keeps the start in float32: as much memory again as the weights that learn."""

    def __init__(self, named: Mapping[str, Parameter], strength: float) -> None:
        """The start is what the parameters are now."""
        self.strength = strength
        self._start = [(parameter, parameter.detach().clone()) for parameter in named.values()]

    @torch.no_grad()
    def add(self) -> float:
        """Adds its gradient to that of every weight that has one; returns its loss."""
        total = 0.0
        for parameter, start in self._start:
            if parameter.grad is not None:
                away = parameter - start
                parameter.grad.add_(away, alpha=self.strength)
                total += float(away.square().sum(dtype=torch.float64))
        return self.strength / 2 * total
