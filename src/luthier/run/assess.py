"""Models and runs judged on rows of the user's choice, after the fact."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from luthier.data.read import ReadOptions, read
from luthier.errors import RecipeError
from luthier.evaluate import EvaluateOptions, Evaluation, Task, compare, evaluate, infer, merge_references
from luthier.evaluate.verdict import Verdict
from luthier.methods import switched_off
from luthier.methods.tuned import open_tuned
from luthier.model.accept import open_model
from luthier.model.load import Model, ModelOptions
from luthier.recipe import Recipe
from luthier.run.assistant import recipe_of
from luthier.run.prepare import read_splits
from luthier.run.show import Show
from luthier.types import Example


def assess(
    target: str,
    *,
    data: str | None = None,
    reading: ReadOptions | None = None,
    options: EvaluateOptions | None = None,
    against_base: bool = True,
    show: Show | None = None,
) -> tuple[Evaluation, Evaluation | None, Verdict | None]:
    """A run's tuned model, or any model by name, on the run's test rows or on those of a file.

    Returns how it did, how its base did, and the verdict; the last two only for a run, where `against_base`.
    Raises RecipeError for a model without a file, and what reading and opening raise.
    """
    show = show or Show()
    run = Path(target)
    if not (run / "recipe.yaml").is_file():
        return _of_model(target, data, reading or ReadOptions(), options or EvaluateOptions(), show), None, None
    recipe = recipe_of(run)
    options = options or recipe.evaluate
    model = open_tuned(run)
    rows, task = _rows(recipe, data, reading, options, model)
    tuned = _judged(model, rows, task, options, "tuned", show)
    if not against_base:
        return tuned, None, None
    base = _base(recipe, model, rows, task, options, show)
    return tuned, base, compare(base, tuned)


def _of_model(name: str, data: str | None, reading: ReadOptions, options: EvaluateOptions, show: Show) -> Evaluation:
    if data is None:
        raise RecipeError(f"{name}: is no run folder, so it needs rows to be judged on: --data FILE")
    model = open_model(ModelOptions(name=name))
    rows = merge_references(read(data, reading).examples)
    return _judged(model, rows, infer(rows, options, tokenizer=model.tokenizer), options, name, show)


def _rows(
    recipe: Recipe, data: str | None, reading: ReadOptions | None, options: EvaluateOptions, model: Model
) -> tuple[tuple[Example, ...], Task]:
    """The rows to ask, and the run's own task, with every label that the file brings besides."""
    readings, splits = read_splits(recipe.data)
    known = [example for part in splits.values() for example in part]
    asked: Sequence[Example] = splits["test"]
    if data is not None:
        labels = readings["train"].labels
        asked = read(data, reading or replace(recipe.data, limit=None), labels=labels).examples
    task = infer([*known, *asked], options, tokenizer=model.tokenizer)
    return merge_references(asked), task


def _base(
    recipe: Recipe, model: Model, rows: Sequence[Example], task: Task, options: EvaluateOptions, show: Show
) -> Evaluation:
    removable = recipe.method.removable
    with switched_off(model.network) if removable else nullcontext():
        return _judged(model if removable else open_model(recipe.model), rows, task, options, "base", show)


def _judged(
    model: Model, rows: Sequence[Example], task: Task, options: EvaluateOptions, title: str, show: Show
) -> Evaluation:
    found = evaluate(
        model,
        rows,
        task,
        budget=options.token_budget,
        resamples=options.resamples,
        seed=options.seed,
        progress=lambda stage, done, total: show.stage(f"{title}: {stage}", done, total),
    )
    show.rest()
    return found
