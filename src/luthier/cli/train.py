"""`luthier train`."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Annotated

import typer

from luthier.cli.app import AsJson, importing
from luthier.cli.ending import ended, printed, resumable, told
from luthier.cli.words import recipe_from, refuse_missing
from luthier.errors import RecipeError

if TYPE_CHECKING:
    from luthier.types import Json


@told
def train(
    recipe: Annotated[
        list[str] | None,
        typer.Argument(help="A recipe file, and settings as section.key=value (`luthier settings` lists them)."),
    ] = None,
    data: Annotated[str | None, typer.Option(help="Training rows: a file or hub name (data.train).")] = None,
    validation: Annotated[
        str | None, typer.Option(help="Validation rows: a file, or a share (data.validation).")
    ] = None,
    test: Annotated[str | None, typer.Option(help="Test rows: a file, or a share (data.test).")] = None,
    input: Annotated[str | None, typer.Option(help="Column of the input (data.input).")] = None,
    output: Annotated[str | None, typer.Option(help="Column of the wanted answer (data.output).")] = None,
    group: Annotated[str | None, typer.Option(help="Column of rows that belong together (data.group).")] = None,
    instruction: Annotated[str | None, typer.Option(help="Text before every input (data.instruction).")] = None,
    model: Annotated[str | None, typer.Option(help="Alias, hub id, folder or GGUF file (model.name).")] = None,
    method: Annotated[
        str | None, typer.Option(help="lora, full, freeze, bottleneck, prefix, prompt, ia3, bitfit, peft:NAME.")
    ] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows (train.epochs).")] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate (train.lr).")] = None,
    run: Annotated[str | None, typer.Option(help="Folder to write everything to.")] = None,
    parent: Annotated[
        str | None, typer.Option("--from", help="A finished run whose tuned model is gone on from (from).")
    ] = None,
    add: Annotated[str | None, typer.Option(help="New rows to go on with, beside --from (data.train).")] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Leave bad rows out, by name.")] = False,
    verify: Annotated[
        bool, typer.Option("--verify", help="Compute the first step twice, once plainly; differ, and it won't start.")
    ] = False,
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run.")] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Train several recipe files over one base, which is opened once.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    as_json: AsJson = False,
) -> int:
    """Tune a model on labelled rows, and report before and after."""
    began = monotonic()
    refuse_missing(data, validation, test, add)
    _refuse_alone(add, data, parent, recipe or [])
    with importing():
        from luthier.run import Show
        from luthier.run import resume as go_on
        from luthier.run import train as carry_out

    flags: dict[str, tuple[str, Json]] = {
        "--data": ("data.train", data),
        "--validation": ("data.validation", validation),
        "--test": ("data.test", test),
        "--input": ("data.input", input),
        "--output": ("data.output", output),
        "--group": ("data.group", group),
        "--instruction": ("data.instruction", instruction),
        "--model": ("model.name", model),
        "--method": ("method", method),
        "--epochs": ("train.epochs", epochs),
        "--lr": ("train.lr", lr),
        "--run": ("run", run),
        "--from": ("from", parent),
        "--add": ("data.train", add),
        "--skip-bad-rows": ("data.skip_bad_rows", skip_bad_rows or None),
        "--verify": ("train.verify", verify or None),
    }
    given = {option: (key, value) for option, (key, value) in flags.items() if value is not None}
    show = Show(silent=as_json)
    if resume is not None:
        _refuse_beside_resume(
            [*(recipe or []), *given, *(["--together"] if together else []), *(["--dry-run"] if dry_run else [])]
        )
        with resumable(resume):
            return ended(go_on(resume, show=show), as_json=as_json)
    if together:
        from luthier.cli.fleet import fleet

        return fleet(recipe or [], dict(given.values()), show, dry_run=dry_run, as_json=as_json)
    made = recipe_from(recipe or [], dict(given.values()))
    if dry_run:
        from luthier.run.dry import dry

        return printed(dry(made, show), as_json=as_json)
    with resumable(Path(made.run)):
        return ended(carry_out(made, show=show), as_json=as_json, began=began)


def _refuse_alone(add: str | None, data: str | None, parent: str | None, words: list[str]) -> None:
    """Raises RecipeError for new rows without a run to add them to, or with a second file of them."""
    if add is None:
        return
    if data is not None:
        raise RecipeError(f"--add {add} and --data {data} both name the rows to learn; leave one out")
    if parent is None and not any(word.startswith("from=") or "=" not in word for word in words):
        raise RecipeError(f"--add {add} goes on with a finished run: name it with --from RUN, or use --data")


def _refuse_beside_resume(given: list[str]) -> None:
    """Raises RecipeError if anything stands beside --resume that it would ignore."""
    if given:
        raise RecipeError(
            f"--resume goes on with the run's own recipe; leave out {', '.join(given)}, or start a new run"
        )
