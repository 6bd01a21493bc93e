"""`luthier train ... --together`: several recipe files over one base."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from luthier.cli.ending import printed, stopped
from luthier.cli.words import recipe_from
from luthier.errors import RecipeError

if TYPE_CHECKING:
    from luthier.recipe import Recipe
    from luthier.run import Show
    from luthier.run.fleet import Member
    from luthier.types import Json


def fleet(words: list[str], flags: Mapping[str, Json], show: Show, *, dry_run: bool, as_json: bool) -> int:
    """Trains every recipe file, words and flags laid over each; 2 where a run was refused, 1 where a gate failed."""
    from luthier.run.fleet import foreseen, together

    settings = [word for word in words if "=" in word]
    files = [word for word in words if "=" not in word]
    if not files:
        raise RecipeError("--together takes recipe files: luthier train recipes/fleet/*.yaml --together")
    recipes = [recipe_from([file, *settings], flags) for file in files]
    if dry_run:
        return printed({"runs": list(foreseen(recipes, show))}, as_json=as_json)
    with _resumable(recipes):
        members = together(recipes, show=show)
    if len(members) < len(recipes) or any(one.outcome is not None and one.outcome.report is None for one in members):
        raise stopped(_left(recipes), 130)
    return _ended(members, as_json=as_json)


@contextmanager
def _resumable(recipes: Sequence[Recipe]) -> Iterator[None]:
    """Says to whoever stops a fleet which runs are finished, and how to go on with the others."""
    try:
        yield
    except KeyboardInterrupt:
        raise stopped(_left(recipes), 130) from None


def _left(recipes: Sequence[Recipe]) -> str:
    runs = [recipe.run for recipe in recipes]
    begun = [run for run in runs if (Path(run) / "recipe.yaml").exists()]
    going = [run for run in begun if not (Path(run) / "report.json").exists()]
    waiting = [run for run in runs if run not in begun]
    told = ["stopped; all that was saved is kept"]
    told += [f"go on: luthier train --resume {run}" for run in going]
    told += [f"not begun: {', '.join(waiting)}; train these with --together again"] if waiting else []
    return "\n".join(told)


def _ended(members: Sequence[Member], *, as_json: bool) -> int:
    from luthier.report.listing import listed
    from luthier.report.listing_terminal import Lines

    if as_json:
        printed({"runs": [_json(one) for one in members]}, as_json=True)
    else:
        done = [listed(Path(one.recipe.run)) for one in members if one.outcome is not None]
        if done:
            Console(emoji=False, highlight=False).print(Lines(done, pages=True))
    refused = [one for one in members if one.outcome is None]
    failed = [f"{one.recipe.run}: {one.outcome.failed}" for one in members if one.outcome and one.outcome.failed]
    told = [*(f"error: {one.recipe.run}: {one.refused}" for one in refused), *(f"failed: {one}" for one in failed)]
    if told:
        raise stopped("\n".join(told), 2 if refused else 1)
    return 0


def _json(one: Member) -> Json:
    if one.outcome is None:
        return {"run": one.recipe.run, "error": one.refused}
    return {"run": one.recipe.run, **(one.outcome.report or {})}
