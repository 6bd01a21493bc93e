"""One opened model for many trials: what a trial attached or learned is taken out again before the next begins.

    base = Shared(prepared)
    with base.trial(recipe) as mine:      # attached, and nothing of an earlier trial in it
        fit(mine.model, ...)

The modules and parameters that stood there before are put back as the same objects. An adapter's base never moves, so
nothing is copied; where weights move, or an adapter goes on learning, a copy is kept once, and copied back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from luthier.recipe import Recipe
from luthier.run.parent import attached
from luthier.run.prepare import Prepared, attach
from luthier.run.show import Show
from luthier.run.trunk import kept


@dataclass(frozen=True, slots=True, eq=False)
class _Was:
    """A parameter as it was: the object, its values and whether it learned."""

    parameter: nn.Parameter
    data: Tensor
    learned: bool
    moves: bool
    """Whether a trial changes its values."""


class Shared:
    """What was prepared once, and how its network stood then."""

    def __init__(self, prepared: Prepared) -> None:
        """prepared: nothing is attached yet. Test rows, of other tasks too, are laid aside: no trial is handed any."""
        self.whole = prepared
        self._prepared = replace(prepared, splits={**prepared.splits, "test": ()}, mixed=(), earlier=())
        network = prepared.model.network
        self._modules = {module: _entries(module) for module in network.modules()}
        goes_on, removable = attached(prepared.recipe), prepared.recipe.method.removable
        self._parameters = [
            _was(one, moves=not removable or (goes_on and one.requires_grad)) for one in network.parameters()
        ]

    @contextmanager
    def trial(self, recipe: Recipe) -> Iterator[Prepared]:
        """The same rows and the same base under another recipe of the same method, which is attached."""
        mine = replace(self._prepared, recipe=recipe, model=replace(self._prepared.model))
        try:
            attach(mine, Show(silent=True))
            kept(mine.model, recipe)
            yield mine
        finally:
            self.put_back()

    @torch.no_grad()
    def put_back(self) -> None:
        """The network as it stood when it was opened, to the bit."""
        for module, entries in self._modules.items():
            module.__dict__.clear()
            module.__dict__.update({name: _copied(value) for name, value in entries.items()})
        for was in self._parameters:
            if was.moves:
                was.parameter.data.copy_(was.data)
            else:
                was.parameter.data = was.data
            was.parameter.grad = None
            was.parameter.requires_grad_(was.learned)


def _was(parameter: nn.Parameter, *, moves: bool) -> _Was:
    return _Was(parameter, parameter.data.clone() if moves else parameter.data, parameter.requires_grad, moves)


def _entries(module: nn.Module) -> dict[str, object]:
    """A module's own attributes; its lists of modules, parameters and hooks copied, what they hold not."""
    return {name: _copied(value) for name, value in module.__dict__.items()}


def _copied(value: object) -> object:
    return value.copy() if isinstance(value, dict) else value
