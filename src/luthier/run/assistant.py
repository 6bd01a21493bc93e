"""A finished run, opened to be asked: the tuned model, and the base beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from luthier.data.read import ask
from luthier.data.render import continuations, prompt_tokens
from luthier.errors import RecipeError, RunError
from luthier.evaluate.headed import headed_text
from luthier.methods import switched_off
from luthier.methods.tuned import open_tuned
from luthier.model.accept import open_model
from luthier.model.choose import choose
from luthier.model.generate import generate
from luthier.model.leaf import leaf_head
from luthier.model.load import Model
from luthier.recipe import Recipe, load_recipe
from luthier.run.files import read_json
from luthier.types import Completion, Example, Message


@dataclass(slots=True, eq=False)
class Assistant:
    """What a run made, answering as it was trained to: with its instruction, and by choice where answers are labels."""

    recipe: Recipe
    tuned: Model
    labels: tuple[str, ...]
    """The possible answers; empty where answers are text."""
    shown_labels: tuple[str, ...]
    """What `{labels}` in the instruction stands for."""
    max_new_tokens: int
    base: Model | None = None
    """A model of its own where the tuned one cannot switch off what it learned; opened when first asked."""

    def answer(self, question: str) -> str:
        """What the tuned model says."""
        return self._said(self.tuned, question)

    def before(self, question: str) -> str:
        """What the base model says to the same prompt."""
        if self.recipe.method.removable:
            with switched_off(self.tuned.network):
                return self._said(self.tuned, question)
        self.base = self.base or open_model(self.recipe.model)
        return self._said(self.base, question)

    def _said(self, model: Model, question: str) -> str:
        example = self._example(question)
        prompt = prompt_tokens(example, model.tokenizer)
        head = leaf_head(model.network)
        if head is not None:
            return headed_text(model, head, example, prompt)
        if self.labels:
            (choice,) = choose(model, [prompt], continuations(example, self.labels, model.tokenizer))
            return self.labels[choice.best]
        (said,) = generate(model, [prompt], max_new_tokens=self.max_new_tokens)
        return str(model.tokenizer.decode(said.tokens, skip_special_tokens=True)).strip()

    def _example(self, question: str) -> Example:
        prompt = ask(question, self.recipe.data, labels=self.shown_labels or None)
        return Example("question", prompt, (Completion((Message("assistant", "-"),)),))


def load(run: Path | str, *, checkpoint: str = "best") -> Assistant:
    """Opens a finished run. Raises RunError for a folder that holds none."""
    folder = Path(run)
    recipe = recipe_of(folder)
    if not (folder / "report.json").exists():
        raise RunError(f"{folder}: is not finished; `luthier train --resume {folder}` finishes it")
    task = read_json(folder / "report.json")["task"]
    shown = read_json(folder / "data.json").get("shown_labels")
    tuned = open_tuned(folder, checkpoint=checkpoint)
    return Assistant(recipe, tuned, tuple(task["labels"] or ()), tuple(shown or ()), task["max_new_tokens"])


def recipe_of(folder: Path) -> Recipe:
    """The recipe a run was made by. Raises RunError where there is none or it is damaged."""
    path = folder / "recipe.yaml"
    if not path.is_file():
        raise RunError(f"{folder}: holds no run (no recipe.yaml); `luthier train` makes one")
    try:
        return load_recipe(path)
    except RecipeError as error:
        raise RunError(f"{path}: does not open as a recipe; restore it from a copy: {error}") from error
