"""What stands behind a command: recipe files, files of rows, `key=value` words and flags, made into a recipe."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from luthier.errors import DataError, RecipeError

if TYPE_CHECKING:
    from luthier.recipe import Recipe
    from luthier.types import Json

_SHARE = re.compile(r"[\d.]+")
"""Of the rows, where a file might be named."""


def recipe_from(words: list[str], flags: Mapping[str, Json]) -> Recipe:
    """The recipe file among the words, if any, then `key=value` words, then flags.

    Raises DataError for a file of rows that is not there, with what the recipe file says of where to get it.
    """
    from luthier.recipe import load_recipe

    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise RecipeError(
            f"one recipe file at a time, not {', '.join(files)}; `luthier train ... --together` takes several"
        )
    settings = [word for word in words if "=" in word]
    made = load_recipe(Path(files[0]) if files else None, settings, flags=flags)
    try:
        refuse_missing(
            made.data.train, *(one for one in (made.data.validation, made.data.test) if isinstance(one, str))
        )
    except DataError as error:
        own = bool(files) and not any(word.startswith("data.") for word in [*settings, *flags])
        raise DataError(f"{error}{_says(Path(files[0]))}" if own else str(error)) from error
    return made


def _says(recipe: Path) -> str:
    """Where a recipe's paths begin, and the comment at its head, for whoever lacks a file that it names."""
    lines = recipe.read_text(encoding="utf-8").splitlines()
    head = "".join(f"\n  {line.lstrip('# ')}" for line in takewhile(lambda line: line.startswith("#"), lines))
    return f"\n{recipe} names it, as seen from {Path.cwd()}{'; at its head it says:' if head else ''}{head}"


def rows_or_recipe(words: list[str]) -> tuple[str | None, list[str]]:
    """The file of rows, if one is named, and the words that make a recipe."""
    rows = [word for word in words if "=" not in word and Path(word).suffix not in (".yaml", ".yml")]
    if len(rows) > 1:
        raise RecipeError(f"one file of training rows at a time, not {', '.join(rows)}; others: --validation, --test")
    return (rows[0] if rows else None), [word for word in words if word not in rows]


def refuse_missing(*named: str | None) -> None:
    """Raises DataError for a file that is not there, before what takes seconds is imported."""
    from luthier.data.hub import hub_name
    from luthier.data.read import existing

    for path in named:
        if path is not None and not _SHARE.fullmatch(path) and hub_name(path) is None:
            existing(path)
