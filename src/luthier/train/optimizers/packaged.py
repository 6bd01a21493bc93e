"""A package's optimizer as one of ours: it shares its groups and its state, and does the arithmetic."""

from __future__ import annotations

from collections.abc import Callable
from typing import overload

from torch.optim import Optimizer


class Packaged(Optimizer):
    """Another package's optimizer, to which a family adds what the package leaves out."""

    def __init__(self, inner: Optimizer) -> None:
        super().__init__(inner.param_groups, {})
        self._inner = inner
        inner.state = self.state

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One step."""
        loss = None if closure is None else closure()
        self._stepped()
        return loss

    def _stepped(self) -> None:
        self._inner.step()
