"""The command line: `luthier COMMAND`. Exit 0 when done, 1 when a gate failed, 2 for bad input, 130 when interrupted.

A command says to a person on stderr what it does, and prints its result on stdout; with `--json` the result is JSON.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, ParamSpec

import typer
from rich.console import Console

from luthier.errors import GateError, LuthierError
from luthier.types import Json

P = ParamSpec("P")

app = typer.Typer(
    name="luthier",
    help="Tune a language model on labelled examples, and see the evidence that it worked.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON, and say nothing else.")]
Run = Annotated[Path, typer.Argument(help="A run folder.")]


def main() -> None:
    """The entry point."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    app()


def told(command: Callable[P, int | None]) -> Callable[P, None]:
    """Turns what Luthier raises into a sentence on stderr and an exit code."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        _quiet()
        try:
            code = command(*args, **kwargs)
        except LuthierError as error:
            Console(stderr=True, soft_wrap=True, highlight=False).print(f"error: {error}", markup=False, style="red")
            raise typer.Exit(1 if isinstance(error, GateError) else 2) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None
        raise typer.Exit(code or 0)

    return wrapped


@app.command()
@told
def train(
    recipe: Annotated[
        list[str] | None, typer.Argument(help="A recipe file, and settings as section.key=value.")
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
    method: Annotated[str | None, typer.Option(help="lora, freeze or full.")] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes over the rows (train.epochs).")] = None,
    lr: Annotated[float | None, typer.Option(help="Highest learning rate (train.lr).")] = None,
    run: Annotated[str | None, typer.Option(help="Folder to write everything to.")] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Leave bad rows out, by name.")] = False,
    resume: Annotated[Path | None, typer.Option(help="Go on with an interrupted run.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    as_json: AsJson = False,
) -> int:
    """Tune a model on labelled rows, and report before and after."""
    from luthier.run import Show
    from luthier.run import resume as go_on
    from luthier.run import train as carry_out

    show = Show(silent=as_json)
    if resume is not None:
        return _ended(go_on(resume, show=show), as_json=as_json)
    flags = {
        "data.train": data,
        "data.validation": validation,
        "data.test": test,
        "data.input": input,
        "data.output": output,
        "data.group": group,
        "data.instruction": instruction,
        "data.skip_bad_rows": skip_bad_rows or None,
        "model.name": model,
        "train.epochs": epochs,
        "train.lr": lr,
        "method": method,
        "run": run,
    }
    made = _recipe(recipe or [], flags)
    if dry_run:
        from luthier.run.dry import dry

        return _print(dry(made, show), as_json=as_json)
    return _ended(carry_out(made, show=show), as_json=as_json)


@app.command()
@told
def evaluate(
    targets: Annotated[list[str], typer.Argument(help="Run folders or models.")],
    data: Annotated[str | None, typer.Option(help="Rows to judge on; a run's own test rows if left out.")] = None,
    input: Annotated[str | None, typer.Option(help="Column of the input.")] = None,
    output: Annotated[str | None, typer.Option(help="Column of the wanted answer.")] = None,
    base: Annotated[bool, typer.Option(help="Ask a run's base model, too.")] = True,
    as_json: AsJson = False,
) -> int:
    """Judge runs and models on held-out rows, with intervals."""
    from luthier.run.judged import judged

    return judged(targets, data=data, input=input, output=output, base=base, as_json=as_json)


@app.command()
@told
def report(run: Run, as_json: AsJson = False) -> int:
    """Write a run's report.html again, and print its summary."""
    from luthier.report import summary, write

    page = write(run)
    if as_json:
        return _print(json.loads((run / "report.json").read_text(encoding="utf-8")), as_json=True)
    Console(highlight=False).print(summary(run))
    return 0 if page.exists() else 1


@app.command()
@told
def chat(
    run: Run,
    base: Annotated[bool, typer.Option(help="Show the base model's answer, too.")] = True,
) -> None:
    """Type a message; see the base and the tuned model answer side by side."""
    from luthier.run.chat import chat as talk

    talk(run, base=base)


@app.command()
@told
def export(
    run: Run,
    format: Annotated[str, typer.Option(help="merged (a whole model) or adapter (PEFT).")] = "merged",
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default RUN/export/FORMAT.")] = None,
    as_json: AsJson = False,
) -> int:
    """Write a run's model for others to load, and prove that it is the one that was trained."""
    from luthier.errors import RecipeError
    from luthier.export import export as write
    from luthier.export import formats

    if format not in formats:
        raise RecipeError(f"--format {format}: there are {', '.join(formats)}")
    done = write(run, out or run / "export" / format, format=formats[format]())
    facts: dict[str, Json] = {
        "folder": str(done.folder),
        "format": done.format,
        "bytes": done.bytes,
        "parity": str(done.parity),
        "use": done.use,
    }
    if as_json:
        return _print(facts, as_json=True)
    print(f"{done.folder} ({done.bytes / 2**20:,.0f} MiB): {done.parity}\n\n{done.use}")
    return 0


@app.command()
@told
def demo(
    settings: Annotated[list[str] | None, typer.Argument(help="Settings as section.key=value.")] = None,
    run: Annotated[str, typer.Option(help="Folder to write everything to.")] = "runs/demo",
    as_json: AsJson = False,
) -> int:
    """Tune SmolLM2-135M on the bundled help-desk messages: a few minutes, from rows to report."""
    from luthier.demo import TEST, TRAIN
    from luthier.recipe import load_recipe
    from luthier.run import Show
    from luthier.run import train as carry_out

    own = [f"data.train={TRAIN}", f"data.test={TEST}", "data.input=message", "data.output=intent", "train.epochs=6"]
    made = load_recipe(None, [*own, f"run={_free(Path(run))}", *(settings or [])])
    return _ended(carry_out(made, show=Show(silent=as_json)), as_json=as_json)


def _recipe(words: list[str], flags: dict[str, str | float | bool | None]):  # type: ignore[no-untyped-def]
    """The recipe file among the words, if any, then `key=value` words, then flags."""
    from luthier.recipe import load_recipe

    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise typer.BadParameter(f"one recipe file at a time, not {', '.join(files)}")
    settings = [word for word in words if "=" in word]
    settings += [f"{key}={json.dumps(value)}" for key, value in flags.items() if value is not None]
    return load_recipe(Path(files[0]) if files else None, settings)


def _ended(outcome, *, as_json: bool) -> int:  # type: ignore[no-untyped-def]
    """Tells how a run ended."""
    from luthier.report import summary

    if outcome.report is None:
        return 130
    if as_json:
        return _print({"run": str(outcome.folder), **outcome.report}, as_json=True)
    Console(highlight=False).print(summary(outcome.folder))
    print(f"\nUse it without Luthier:\n\n{outcome.report['use']}\n\nor: luthier chat {outcome.folder}")
    return 0


def _print(result: dict[str, Json], *, as_json: bool) -> int:
    if as_json:
        json.dump(result, sys.stdout, ensure_ascii=False, indent=1)
        print()
    return 0


def _free(folder: Path) -> str:
    """The folder, or the next of its name that holds no run."""
    tries = (folder if n == 1 else folder.with_name(f"{folder.name}-{n}") for n in range(1, 10_000))
    return str(next(one for one in tries if not (one / "recipe.yaml").exists()))


def _quiet() -> None:
    """Keeps the libraries' own bars and notices off the screen; errors still show."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
