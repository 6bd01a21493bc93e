"""`luthier search`."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from luthier.cli.app import AsJson
from luthier.cli.ending import printed, told
from luthier.cli.words import recipe_from, refuse_missing
from luthier.errors import RecipeError

if TYPE_CHECKING:
    from luthier.recipe import Recipe
    from luthier.run import Show
    from luthier.search.work import Searched
    from luthier.types import Json


@told
def search(
    recipe: Annotated[
        list[str] | None,
        typer.Argument(help="A recipe file, and settings as section.key=value; search.lr='log(1e-5, 1e-2)' is one."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Training rows: a file or hub name (data.train).")] = None,
    input: Annotated[str | None, typer.Option(help="Column of the input (data.input).")] = None,
    output: Annotated[str | None, typer.Option(help="Column of the wanted answer (data.output).")] = None,
    model: Annotated[str | None, typer.Option(help="Alias, hub id, folder or GGUF file (model.name).")] = None,
    trials: Annotated[int | None, typer.Option(help="Trials at most; 20 where no budget is named.")] = None,
    minutes: Annotated[float | None, typer.Option(help="No trial begins after so many minutes of trials.")] = None,
    tokens: Annotated[float | None, typer.Option(help="No trial begins after so many computed tokens.")] = None,
    objective: Annotated[
        list[str] | None, typer.Option(help="quality, time or size; several make a list instead of a winner.")
    ] = None,
    pruner: Annotated[str | None, typer.Option(help="asha, hyperband or none.")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Seeds of the confirmation on the test rows: 3 or more, or 0 for none.")
    ] = None,
    storage: Annotated[
        str | None, typer.Option(help="Database URL that machines share; by default a journal in the folder.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the search; by default RUN-search.")] = None,
    resume: Annotated[Path | None, typer.Option(help="Go on with the search of this folder.")] = None,
    lr_only: Annotated[
        bool, typer.Option("--lr-only", help="Only a quick look: some steps at each of a few learning rates.")
    ] = False,
    steps: Annotated[int, typer.Option(help="With --lr-only: steps at each rate.")] = 50,
    memory: Annotated[
        bool, typer.Option("--memory", help="Only measure which token budget fits this machine, and is fastest.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Try settings, keep what is best on validation rows, and confirm it on test rows with several seeds."""
    refuse_missing(data)
    from luthier.run import Show

    show = Show(silent=as_json)
    flags: dict[str, Json] = {
        "data.train": data,
        "data.input": input,
        "data.output": output,
        "model.name": model,
    }
    words = _words(recipe or [], {key: one for key, one in flags.items() if one is not None}, resume)
    made = recipe_from(words, {key: one for key, one in flags.items() if one is not None})
    if lr_only:
        return _rates(made, steps, show, as_json=as_json)
    if memory:
        return _memory(made, show, as_json=as_json)
    asked: dict[str, Json] = {
        "trials": trials,
        "minutes": minutes,
        "tokens": tokens,
        "objectives": list(objective) if objective else None,
        "pruner": pruner,
        "seeds": seeds,
        "storage": storage,
    }
    given: dict[str, Json] = {key: one for key, one in asked.items() if one is not None}
    if resume is not None and not given and (done := _finished(resume)) is not None:
        show.say(f"{resume} is finished: this is what it found; --trials MORE goes on")
        return _ended(done, as_json=as_json)
    return _searched(made, given, resume or out or Path(f"{made.run}-search"), show, as_json=as_json)


def _words(words: list[str], flags: dict[str, Json], resume: Path | None) -> list[str]:
    """What makes the recipe. Raises RecipeError for anything beside --resume that it would ignore."""
    if resume is None:
        return words
    if words or flags:
        beside = ", ".join([*words, *flags])
        raise RecipeError(f"--resume goes on with the search's own recipe; leave out {beside}, or name another --out")
    if not (resume / "recipe.yaml").is_file():
        raise RecipeError(f"{resume}: holds no search; begin one: luthier search RECIPE --out {resume}")
    return [str(resume / "recipe.yaml")]


def _finished(folder: Path) -> Searched | None:
    """A search that went to its end, as it ended."""
    if find_spec("optuna") is None:
        return None
    from luthier.search.work import Searched, finished

    found = finished(folder)
    return None if found is None else Searched(folder, found, interrupted=False)


def _searched(recipe: Recipe, given: dict[str, Json], folder: Path, show: Show, *, as_json: bool) -> int:
    if find_spec("optuna") is None:
        raise RecipeError("luthier search needs Optuna, which is not installed: pip install 'luthier[search]'")
    from luthier.search.space import stated
    from luthier.search.work import search as carry_out

    done = carry_out(recipe, stated(recipe, given), folder, show=show)
    return _ended(done, as_json=as_json)


def _ended(done: Searched, *, as_json: bool) -> int:
    from luthier.report.search import NAME
    from luthier.report.search_terminal import summary

    page = done.folder / NAME
    if done.found is None:
        return 130 if done.interrupted else 0
    if as_json:
        return printed({**asdict(done.found), "page": str(page)}, as_json=True)
    Console(emoji=False, highlight=False, soft_wrap=True).print(summary(done.found, page=page))
    return 0


def _rates(recipe: Recipe, steps: int, show: Show, *, as_json: bool) -> int:
    """A look at learning rates; needs no Optuna."""
    from luthier.search.rates import as_json as facts
    from luthier.search.rates import rates, told

    found = rates(recipe, steps=steps, show=show)
    if as_json:
        return printed(facts(found), as_json=True)
    Console(emoji=False, highlight=False).print(told(found))
    return 0


def _memory(recipe: Recipe, show: Show, *, as_json: bool) -> int:
    """A look at memory; needs no Optuna."""
    from luthier.search.memory import as_json as facts
    from luthier.search.memory import memory, told

    found = memory(recipe, show=show)
    if as_json:
        return printed(facts(found), as_json=True)
    Console(emoji=False, highlight=False).print(told(found))
    return 0
