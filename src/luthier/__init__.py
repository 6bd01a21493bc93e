"""Luthier: supervised fine-tuning of language models, with the evidence that it worked.

import luthier

recipe = luthier.recipe(data={"train": "train.csv", "input": "text", "output": "category"}, run="runs/bank")
luthier.train(recipe)
print(luthier.load("runs/bank").answer("My card was swallowed by the machine"))
"""

from luthier.recipe import Recipe, load_recipe, recipe
from luthier.run import Assistant, Outcome, Show, load, resume, train

__version__ = "0.1.0"

__all__ = ["Assistant", "Outcome", "Recipe", "Show", "load", "load_recipe", "recipe", "resume", "train"]
