"""A run that goes on from a finished one: the model it begins with, and the rows that were learned before.

What was before such a run, in every table and report of it, is its parent's model, not the untuned base.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from luthier.data.split import normalised
from luthier.errors import RecipeError
from luthier.methods import merge, restore
from luthier.methods.tuned import Tuned, find_tuned, open_found
from luthier.model.accept import open_model
from luthier.model.load import Model
from luthier.recipe import Recipe
from luthier.run.assistant import recipe_of
from luthier.run.files import read_json
from luthier.run.headed import has_head
from luthier.run.lineage import ancestors
from luthier.types import Example


def begun(recipe: Recipe, model: Model | None = None) -> Model:
    """The model that a run begins with: the recipe's, or what its parent made of it, its adapter on where that goes on.

    model: the recipe's, where it is open already.
    Raises RecipeError where the method does not fit the parent's, RunError where there is no such run.
    """
    if not recipe.parent:
        return model or open_model(recipe.model, masters=not recipe.method.removable)
    parent = _fitting(recipe)
    if recipe.method.removable:
        model = model or open_model(recipe.model)
        recipe.method.attach(model.network, dtype=model.dtype, seed=recipe.train.seed)
        restore(model.network, parent.checkpoint)
        return model
    if not parent.adapted:
        return open_found(replace(parent, options=recipe.model))
    model = open_model(recipe.model, masters=True)
    restore(model.network, parent.checkpoint)
    merge(model.network)
    return model


def check_parent(recipe: Recipe) -> None:
    """Raises RecipeError where the run that the recipe goes on from does not fit, RunError where there is none."""
    if recipe.parent:
        _fitting(recipe)


def attached(recipe: Recipe) -> bool:
    """Whether `begun` attached the method already."""
    return bool(recipe.parent) and recipe.method.removable


def comes_off(recipe: Recipe) -> bool:
    """Whether the model before the run is this one with its adapter switched off."""
    return recipe.method.removable and not recipe.parent


def opened_before(recipe: Recipe) -> Model:
    """The model before the run, opened beside the one that was tuned."""
    if not recipe.parent:
        return open_model(recipe.model, masters=True)
    return open_found(replace(find_tuned(Path(recipe.parent)), options=recipe.model))


def learned_before(parent: str) -> Iterator[Example]:
    """The training rows of a run and of those that it went on from, each prompt once, the latest first.

    Raises RunError where a file has changed since, DataError where one cannot be read.
    """
    from luthier.run.folder import same_data
    from luthier.run.prepare import read_splits

    seen: set[object] = set()
    for run in ancestors(parent):
        readings, splits = read_splits(recipe_of(run).data)
        same_data(run, {role: reading.file for role, reading in readings.items()})
        for row in splits["train"]:
            if (said := normalised(row.prompt)) not in seen:
                seen.add(said)
                yield replace(row, id=f"replay/{run.name}/{row.id}")


def told(recipe: Recipe) -> str:
    """What a person should know of the parent."""
    run = Path(recipe.parent)
    verdict = read_json(run / "report.json")["verdict"]
    said = f"goes on from {run} ({verdict['word']}); 'base' and 'before' below are that run's model"
    if recipe.forgetting.measure:
        return said
    return f"{said}\nwhat it forgets is not watched, the test rows of {run} neither (forgetting.measure is false)"


def _fitting(recipe: Recipe) -> Tuned:
    """The parent's checkpoint. Raises RecipeError naming all that does not fit."""
    run = Path(recipe.parent)
    parent = find_tuned(run)
    own, theirs = _named(recipe), _named(recipe_of(run))
    headed = [name for name, one in ((str(run), recipe_of(run)), ("this run", recipe)) if has_head(one)][:1]
    problems = [f"{one} answers by a linear head, which does not go on to other rows; train anew" for one in headed]
    problems += [
        f"model.{name} is {getattr(recipe.model, name)!r}, and {getattr(parent.options, name)!r} in {run}; "
        "leave it out, and it is the same"
        for name in ("name", "revision")
        if getattr(recipe.model, name) != getattr(parent.options, name)
    ]
    if recipe.method.removable and not parent.adapted:
        problems.append(
            f"method: {own[0]} cannot go on from {run}, which holds a whole model and no adapter; use method="
            f"{theirs[0]}, or put a new adapter on what `luthier export {run} --format merged` writes"
        )
    elif recipe.method.removable and own != theirs:
        apart = [f"{k}={v!r} (there {theirs[1].get(k)!r})" for k, v in own[1].items() if theirs[1].get(k) != v]
        problems.append(
            f"method: the adapter of {run} goes on as it is, so {', '.join([own[0], *apart])} does not fit "
            f"{theirs[0]}; leave `method` out, and it is the same"
        )
    if not (run / "report.json").exists():
        problems.append(f"{run} is not finished; `luthier train --resume {run}` finishes it")
    if problems:
        raise RecipeError("\n".join(f"from: {one}" for one in problems))
    return parent


def _named(recipe: Recipe) -> tuple[str, dict[str, object]]:
    return type(recipe.method).__name__.lower(), asdict(recipe.method)  # type: ignore[call-overload]
