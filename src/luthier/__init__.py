"""Luthier: supervised fine-tuning of language models, with the evidence that it worked.

import luthier

recipe = luthier.recipe(data={"train": "train.csv", "input": "text", "output": "category"}, run="runs/bank")
luthier.train(recipe)
print(luthier.load("runs/bank").answer("My card was swallowed by the machine"))
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from luthier.recipe import Recipe, load_recipe, recipe
    from luthier.run import Assistant, Outcome, Show, load, resume, train

__version__ = "0.1.0"

__all__ = ["Assistant", "Outcome", "Recipe", "Show", "load", "load_recipe", "recipe", "resume", "train"]

_OF_RECIPE = frozenset({"Recipe", "load_recipe", "recipe"})
"""Names that live in `luthier.recipe`; the others live in `luthier.run`."""


class _Package(ModuleType):
    """This module: a public name is imported when it is first used, so that `luthier --help` need not wait for torch.

    `train` and `recipe` are rooms, too, and Python binds a room to its name here as it is imported. That binding is
    left out, so that `luthier.train` is the function in whatever order things are imported.
    """

    def __getattr__(self, name: str) -> object:
        if name not in __all__:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        found: object = getattr(import_module("luthier.recipe" if name in _OF_RECIPE else "luthier.run"), name)
        setattr(self, name, found)
        return found

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *__all__})


sys.modules[__name__].__class__ = _Package
