"""`luthier check`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from luthier.cli.app import AsJson
from luthier.cli.ending import printed, told
from luthier.cli.words import recipe_from, refuse_missing, rows_or_recipe
from luthier.errors import RecipeError

if TYPE_CHECKING:
    from luthier.data.split import SplitOptions
    from luthier.recipe import Recipe
    from luthier.run.check import Checked
    from luthier.run.mend import MendOptions
    from luthier.types import Json


@told
def check(
    data: Annotated[
        list[str] | None, typer.Argument(help="Rows (a file or hub name) or a recipe, and section.key=value.")
    ] = None,
    validation: Annotated[str | None, typer.Option(help="Validation rows (data.validation).")] = None,
    test: Annotated[str | None, typer.Option(help="Test rows (data.test).")] = None,
    input: Annotated[str | None, typer.Option(help="Column of the input (data.input).")] = None,
    output: Annotated[str | None, typer.Option(help="Column of the wanted answer (data.output).")] = None,
    group: Annotated[str | None, typer.Option(help="Column of rows that belong together (data.group).")] = None,
    model: Annotated[str | None, typer.Option(help="Check by this model's tokenizer, too (model.name).")] = None,
    against: Annotated[list[str] | None, typer.Option(help="Evaluation file that may not stand in training.")] = None,
    slice: Annotated[list[str] | None, typer.Option(help="Column whose values are compared for bias.")] = None,
    gate: Annotated[list[str] | None, typer.Option(help="Check whose findings end with exit 1.")] = None,
    silent: Annotated[list[str] | None, typer.Option(help="Check to leave out.")] = None,
    fast: Annotated[bool, typer.Option("--fast", help="Leave out what builds a model of the rows.")] = False,
    fix: Annotated[Path | None, typer.Option(help="Folder to write mended files to.")] = None,
    redact: Annotated[bool, typer.Option("--redact", help="With --fix: replace personal data and secrets.")] = False,
    balance: Annotated[
        str | None, typer.Option(help="With --fix: cap=ROWS or cap=median rows a label may have, or weight.")
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="With --fix: divide the file into train, validation and test.")
    ] = False,
    undo: Annotated[
        Path | None, typer.Option(help="Folder that --fix wrote: give the originals back, to --out.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="A finished run, whose losses help to find wrong labels.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the audit; by default audits/NAME.")] = None,
    as_json: AsJson = False,
) -> int:
    """Say what is wrong with rows before anything is trained on them."""
    if undo is not None:
        return _undo(undo, out, data or [], as_json=as_json)
    flags: dict[str, Json] = {
        "data.validation": validation,
        "data.test": test,
        "data.input": input,
        "data.output": output,
        "data.group": group,
        "model.name": model,
        "checks.against": list(against) if against else None,
        "checks.slices": list(slice) if slice else None,
        "checks.gates": list(gate) if gate else None,
        "checks.silent": list(silent) if silent else None,
    }
    made = _recipe(data or [], flags, [validation, test, *(against or [])])
    from luthier.run import Show
    from luthier.run.check import check as carry_out
    from luthier.run.check import losses_of

    done = carry_out(
        made,
        Show(silent=as_json),
        out=out or _folder(made.data.train),
        model=model is not None or rows_or_recipe(data or [])[0] is None,
        fast=fast,
        mended=fix,
        mend=_mend(made, fix, redact=redact, balance=balance, split=split),
        losses=losses_of(run) if run is not None else None,
    )
    return _told(done, as_json=as_json)


def _recipe(words: list[str], flags: dict[str, Json], files: list[str | None]) -> Recipe:
    """The recipe of what was named. Raises RecipeError where no rows are, DataError for a file that is not there."""
    rows, settings = rows_or_recipe(words)
    if rows is None and all("=" in word and not word.startswith("data.train=") for word in settings):
        raise RecipeError("name the file of rows, or a recipe: luthier check FILE")
    refuse_missing(rows, *files)
    given = {"data.train": rows, **flags}
    return recipe_from(settings, {key: value for key, value in given.items() if value is not None})


def _mend(recipe: Recipe, fix: Path | None, *, redact: bool, balance: str | None, split: bool) -> MendOptions:
    """What is asked for beside what the checks find. Raises RecipeError where nothing is to be written."""
    from luthier.run.mend import MendOptions
    from luthier.run.mend.balance import balance as balanced

    for option, given in (("--redact", redact), ("--balance", balance), ("--split", split)):
        if given and fix is None:
            raise RecipeError(f"{option}: name the folder of the mended files with --fix")
    return MendOptions(
        redact=redact,
        balance=balanced(balance) if balance is not None else None,
        split=_shares(recipe) if split else None,
    )


def _told(done: Checked, *, as_json: bool) -> int:
    """Prints what was found, and mended; the exit code."""
    from luthier.run.check import told as shown
    from luthier.run.mend.told import as_json as fixed_as_json

    if as_json:
        mended: dict[str, Json] = {"mended": fixed_as_json(done.fixed)} if done.fixed is not None else {}
        printed({**done.facts, **mended, "page": str(done.page)}, as_json=True)
    else:
        Console(emoji=False, highlight=False).print(shown(done))
    return 130 if done.found.interrupted else 0 if done.passed else 1


def _undo(folder: Path, out: Path | None, beside: list[str], *, as_json: bool) -> int:
    """Gives back the files that a folder's mended ones were made of."""
    from luthier.run.mend import undo
    from luthier.run.mend.told import told_undone, undone_as_json

    if beside:
        raise RecipeError(f"--undo: reads the folder alone; leave out {' '.join(beside)}")
    done = undo(folder, out or folder / "undone")
    if as_json:
        return printed(undone_as_json(done), as_json=True)
    Console(emoji=False, highlight=False, soft_wrap=True).print(told_undone(done))
    return 0


def _shares(recipe: Recipe) -> SplitOptions:
    """The shares and seed by which `--split` divides. Raises RecipeError where a split is a file already."""
    from luthier.data.split import SplitOptions

    data = recipe.data
    if isinstance(data.validation, str) or isinstance(data.test, str):
        raise RecipeError("--split: divides one file; give --validation and --test as shares, or leave --split out")
    return SplitOptions(data.validation, data.test, data.seed)


def _folder(data: str) -> Path:
    """`audits/NAME`, or the next of that name, where an audit of other files is there already."""
    name = Path(data).name.split(".")[0] or "rows"
    tries = (Path("audits") / (name if n == 1 else f"{name}-{n}") for n in range(1, 10_000))
    return next(one for one in tries if _free(one / "audit.json", data))


def _free(facts: Path, data: str) -> bool:
    """Whether there is no audit, or one of the same file."""
    try:
        files: Json = json.loads(facts.read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return True
    return isinstance(files, list) and files[:1] == [data]
