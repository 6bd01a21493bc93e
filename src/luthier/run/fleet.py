"""Several recipes over one base, which is opened once: each run is what it is alone, folder, report and all.

The runs go one after the other. In one forward for all, an adapter's rows would be computed with those of others, so
that its figures were equal to those of its solo run within rounding instead of to the bit; and it is faster only where
steps are small: 1.27 times at 200 computed tokens a step, 1.04 at 680 (two adapters; `bench/several.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

from luthier.errors import LuthierError, RecipeError
from luthier.methods.several import as_opened
from luthier.model.accept import open_model
from luthier.model.load import Model
from luthier.recipe import Recipe
from luthier.run.dry import dry
from luthier.run.show import Show
from luthier.run.train import Outcome, free, train
from luthier.train.interrupt import wishes
from luthier.types import Json
from luthier.words import counted


@dataclass(frozen=True, slots=True)
class Member:
    """One run of a fleet."""

    recipe: Recipe
    outcome: Outcome | None
    """None where it was refused."""
    refused: str = ""
    """Why."""


def together(recipes: Sequence[Recipe], *, show: Show | None = None) -> tuple[Member, ...]:
    """Trains every recipe over one loaded base. A run that is refused is told and does not stop the others.

    Ends early where a person interrupts a run, which is the last member then. Raises RecipeError, before anything is
    opened, naming all that keeps the recipes from standing on one base, and RunError for a folder that is taken.
    """
    show, members = show or Show(), list[Member]()
    for recipe, model in _in_turn(recipes, show):
        before = wishes()
        members.append(_member(recipe, show, model))
        if ((made := members[-1].outcome) is not None and made.report is None) or wishes() > before:
            break
    return tuple(members)


def foreseen(recipes: Sequence[Recipe], show: Show) -> Iterator[dict[str, Json]]:
    """What each run would do, as `dry` tells it; raises what `together` raises, and what keeps a run from starting."""
    for recipe, model in _in_turn(recipes, show):
        yield dry(recipe, show, model=model)


def _in_turn(recipes: Sequence[Recipe], show: Show) -> Iterator[tuple[Recipe, Model]]:
    """Each recipe with the one base, from which what was attached before has been taken off."""
    _one_base(recipes)
    for recipe in recipes:
        free(Path(recipe.run))
    base = open_model(recipes[0].model)
    show.say(f"{counted(len(recipes), 'run')} over one {base.name}, which is opened once")
    for at, recipe in enumerate(recipes, start=1):
        show.say(f"\n{recipe.run} ({at} of {len(recipes)})")
        with as_opened(base.network):
            yield recipe, replace(base)


def _member(recipe: Recipe, show: Show, model: Model) -> Member:
    try:
        return Member(recipe, train(recipe, show=show, model=model))
    except LuthierError as error:
        show.say(f"{recipe.run}: {error}")
        return Member(recipe, None, str(error))


def _one_base(recipes: Sequence[Recipe]) -> None:
    """Raises RecipeError naming all that keeps the recipes apart."""
    first, *others = recipes
    problems = [
        f"{one.run}: model.{field.name} is {theirs!r}, and {ours!r} in {first.run}; "
        "on one base all recipes name the same model"
        for one in others
        for field in fields(first.model)
        if (theirs := getattr(one.model, field.name)) != (ours := getattr(first.model, field.name))
    ]
    problems += [
        f"{one.run}: method {type(one.method).__name__.lower()} moves the weights of the base, which the others stand "
        "on; use method=lora, or train it alone"
        for one in recipes
        if not one.method.removable
    ]
    folders = [Path(one.run).resolve() for one in recipes]
    taken = sorted({one.run for one, folder in zip(recipes, folders, strict=True) if folders.count(folder) > 1})
    problems += [f"{run}: several recipes would write there; give each a `run:` of its own" for run in taken]
    if problems:
        raise RecipeError("\n".join(problems))
