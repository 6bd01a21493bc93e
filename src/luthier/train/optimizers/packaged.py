"""Optimizers of other packages as one of ours: they share its groups and its state, and do the arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

from torch.optim import Optimizer


class Packaged(Optimizer):
    """One or several: their groups in a row, one state."""

    def __init__(self, *parts: Optimizer) -> None:
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._parts = parts
        for part in parts:
            part.state = self.state

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Each takes its step."""
        loss = None if closure is None else closure()
        for part in self._parts:
            self._stepped(part)
        return loss

    def _stepped(self, part: Optimizer) -> None:
        part.step()
