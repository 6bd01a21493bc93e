"""The command line: `luthier COMMAND`. Exit 0 when done, 1 when a gate failed, 2 for bad input, 130 when interrupted.

A command says to a person on stderr what it does, and prints its result on stdout; with `--json` the result is JSON.
What takes seconds to import is imported by the command that needs it, so that help comes at once.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ParamSpec

import typer
from rich.console import Console
from safetensors import SafetensorError

from luthier.errors import GateError, LuthierError, RecipeError

if TYPE_CHECKING:
    from luthier.data.split import SplitOptions
    from luthier.recipe import Recipe
    from luthier.run import Outcome
    from luthier.types import Json

P = ParamSpec("P")
_SHARE = re.compile(r"[\d.]+")
"""Of the rows, where a file might be named."""

QUIET = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_VERBOSITY": "error",
}
"""What keeps the libraries' own bars and notices off the screen; read as they are imported. Errors still show."""

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
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    app()


def told(command: Callable[P, int | None]) -> Callable[P, None]:
    """Turns what Luthier raises, and what the machine lacks, into a sentence on stderr and an exit code."""

    @wraps(command)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except LuthierError as error:
            raise _stopped(f"error: {error}", 1 if isinstance(error, GateError) else 2) from None
        except (OSError, SafetensorError, MemoryError, RuntimeError) as error:
            if (why := _lack(error)) is None:
                raise
            raise _stopped(f"error: {why}", 2) from None
        except KeyboardInterrupt:
            raise _stopped("stopped", 130) from None
        raise typer.Exit(code or 0)

    return wrapped


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"luthier {version('luthier')}")
        raise typer.Exit()


@app.callback()
def everywhere(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Tune a language model on labelled examples, and see the evidence that it worked."""


@app.command()
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
    _refuse_missing(data, validation, test)
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
        "--skip-bad-rows": ("data.skip_bad_rows", skip_bad_rows or None),
    }
    given = {option: (key, value) for option, (key, value) in flags.items() if value is not None}
    show = Show(silent=as_json)
    if resume is not None:
        _refuse_beside_resume([*(recipe or []), *given, *(["--dry-run"] if dry_run else [])])
        with _resumable(resume):
            return _ended(go_on(resume, show=show), as_json=as_json)
    made = _recipe(recipe or [], dict(given.values()))
    if dry_run:
        from luthier.run.dry import dry

        return _print(dry(made, show), as_json=as_json)
    with _resumable(Path(made.run)):
        return _ended(carry_out(made, show=show), as_json=as_json)


@app.command()
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
    rows, words = _rows_or_recipe(data or [])
    if undo is None and rows is None and all("=" in word and not word.startswith("data.train=") for word in words):
        raise RecipeError("name the file of rows, or a recipe: luthier check FILE")
    _refuse_missing(rows, validation, test, *(against or []))
    from luthier.run import Show
    from luthier.run.check import check as carry_out
    from luthier.run.check import losses_of, told
    from luthier.run.mend import MendOptions
    from luthier.run.mend.balance import balance as balanced
    from luthier.run.mend.told import as_json as fixed_as_json

    if undo is not None:
        return _undo(undo, out, data or [], as_json=as_json)
    for option, given in (("--redact", redact), ("--balance", balance), ("--split", split)):
        if given and fix is None:
            raise RecipeError(f"{option}: name the folder of the mended files with --fix")
    flags: dict[str, Json] = {
        "data.train": rows,
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
    made = _recipe(words, {key: value for key, value in flags.items() if value is not None})
    done = carry_out(
        made,
        Show(silent=as_json),
        out=out or Path("audits") / _stem(made.data.train),
        model=model is not None or rows is None,
        fast=fast,
        mended=fix,
        mend=MendOptions(
            redact=redact,
            balance=balanced(balance) if balance is not None else None,
            split=_shares(made) if split else None,
        ),
        losses=losses_of(run) if run is not None else None,
    )
    if as_json:
        mended: dict[str, Json] = {"mended": fixed_as_json(done.fixed)} if done.fixed is not None else {}
        _print({**done.facts, **mended, "page": str(done.page)}, as_json=True)
    else:
        Console(highlight=False).print(told(done))
    return 130 if done.found.interrupted else 1 if done.found.failed else 0


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
    as_json: AsJson = False,
) -> None:
    """Type a message; see the base and the tuned model answer side by side."""
    from luthier.run.chat import chat as talk

    talk(run, base=base, as_json=as_json)


@app.command()
@told
def export(
    run: Run,
    format: Annotated[str, typer.Option(help="merged (a whole model) or adapter (PEFT).")] = "merged",
    out: Annotated[Path | None, typer.Option(help="Folder to write; by default RUN/export/FORMAT.")] = None,
    as_json: AsJson = False,
) -> int:
    """Write a run's model for others to load, and prove that it is the one that was trained."""
    from luthier.export import Merged, formats
    from luthier.export import export as write

    if format not in formats:
        raise RecipeError(f"--format {format}: there are {', '.join(formats)}")
    folder = out or run / "export" / format
    try:
        done = write(run, folder, format=formats[format]())
    except GateError as error:
        if format != "merged":
            raise
        print(f"{error}\nwritten in float32 instead, which holds all that was learned", file=sys.stderr)
        done = write(run, folder, format=Merged("float32"))
    facts: dict[str, Json] = {
        "folder": str(done.folder),
        "format": done.format,
        "bytes": done.bytes,
        "parity": done.parity.sentence,
        "use": done.use,
    }
    if as_json:
        return _print(facts, as_json=True)
    print(f"{done.folder} ({done.bytes / 2**20:,.0f} MiB): {done.parity.sentence}\n\n{done.use}")
    return 0


CONVERT = """Write rows in a format of others, and list what it cannot hold.

OUT ends in .jsonl, .json, .csv, .tsv (each also with .gz) or .parquet. What was written is read back and compared row
by row. A row that would teach something else is left out and named, and the exit code is 1; a column that cannot be
held is named. Formats, and other names they go by:

messages: conversations for OpenAI's fine-tuning (openai, trl)

openai_preference: pairs for OpenAI's preference fine-tuning

sharegpt: ShareGPT conversations

alpaca: instruction, input, output

prompt: prompt and completion, as TRL and others read them (trl-prompt-completion)

label: text and label (csv, classification)

pair: prompt, chosen, rejected, as TRL reads them (dpo, trl-preference)

unpaired: prompt, completion, and label true or false, as TRL reads them (kto, trl-unpaired-preference)

hh: chosen and rejected Human/Assistant transcripts

labelstudio, argilla, doccano, prodigy: what these tools export and import
"""


@app.command(help=CONVERT)
@told
def convert(
    source: Annotated[str, typer.Argument(metavar="IN", help="Rows: a file or hub name.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The file to write.")],
    to: Annotated[str, typer.Option(help="Format to write, of those above.")],
    from_: Annotated[
        str, typer.Option("--from", help="Format of IN, where it is not recognised (data.format).")
    ] = "auto",
    input: Annotated[str | None, typer.Option(help="Column of the input.")] = None,
    output: Annotated[str | None, typer.Option(help="Column of the wanted answer.")] = None,
    group: Annotated[
        str | None, typer.Option(help="Column of rows that belong together; it must be held, too.")
    ] = None,
    skip_bad_rows: Annotated[bool, typer.Option("--skip-bad-rows", help="Leave bad rows out, by name.")] = False,
    allow_loss: Annotated[bool, typer.Option("--allow-loss", help="Write rows with what can be held of them.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it is there.")] = False,
    as_json: AsJson = False,
) -> int:
    """Write rows in a format of others, and list what it cannot hold."""
    from luthier.data.convert import convert as carry_out
    from luthier.data.read import ReadOptions
    from luthier.report.convert import as_json as facts
    from luthier.report.convert import told

    options = ReadOptions(format=from_, input=input, output=output, group=group, skip_bad_rows=skip_bad_rows)
    done = carry_out(source, target, to, options, allow_loss=allow_loss, overwrite=overwrite)
    if as_json:
        _print(facts(done), as_json=True)
    else:
        Console(highlight=False).print(told(done))
    return 1 if done.unheld and not allow_loss else 0


@app.command()
@told
def settings(
    words: Annotated[list[str] | None, typer.Argument(help="Words that a setting's name or meaning holds.")] = None,
    as_json: AsJson = False,
) -> int:
    """List every setting of a recipe with its default and what it means."""
    from luthier.run.settings import settings as listed
    from luthier.run.settings import told as shown

    found = listed(words or [])
    if as_json:
        return _print({one.name: {"default": one.default, "meaning": one.meaning} for one in found}, as_json=True)
    Console(highlight=False, soft_wrap=False).print(shown(found))
    return 0 if found else 1


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
    from luthier.run.check import check as audit
    from luthier.run.check import told

    own = [f"data.train={TRAIN}", f"data.test={TEST}", "data.input=message", "data.output=intent", "train.epochs=6"]
    made = load_recipe(None, [*own, f"run={_free(Path(run))}", *(settings or [])])
    if not as_json:
        print("The rows first: `luthier check` on the bundled messages.\n")
        console = Console(highlight=False)
        console.print(told(audit(made, Show(), out=Path(made.run).with_name(f"{Path(made.run).name}-audit"))))
        print("\nThen the model: `luthier train`.\n", flush=True)
    with _resumable(Path(made.run)):
        return _ended(carry_out(made, show=Show(silent=as_json)), as_json=as_json)


def _undo(folder: Path, out: Path | None, beside: list[str], *, as_json: bool) -> int:
    """Gives back the files that a folder's mended ones were made of."""
    from luthier.run.mend import undo
    from luthier.run.mend.told import told_undone, undone_as_json

    if beside:
        raise RecipeError(f"--undo: reads the folder alone; leave out {' '.join(beside)}")
    done = undo(folder, out or folder / "undone")
    if as_json:
        return _print(undone_as_json(done), as_json=True)
    Console(highlight=False, soft_wrap=True).print(told_undone(done))
    return 0


def _shares(recipe: Recipe) -> SplitOptions:
    """The shares and seed by which `--split` divides. Raises RecipeError where a split is a file already."""
    from luthier.data.split import SplitOptions

    data = recipe.data
    if isinstance(data.validation, str) or isinstance(data.test, str):
        raise RecipeError("--split: divides one file; give --validation and --test as shares, or leave --split out")
    return SplitOptions(data.validation, data.test, data.seed)


def _recipe(words: list[str], flags: Mapping[str, Json]) -> Recipe:
    """The recipe file among the words, if any, then `key=value` words, then flags."""
    from luthier.recipe import load_recipe

    files = [word for word in words if "=" not in word]
    if len(files) > 1:
        raise RecipeError(f"one recipe file at a time, not {', '.join(files)}")
    settings = [word for word in words if "=" in word]
    return load_recipe(Path(files[0]) if files else None, settings, flags=flags)


def _rows_or_recipe(words: list[str]) -> tuple[str | None, list[str]]:
    """The file of rows, if one is named, and the words that make a recipe."""
    rows = [word for word in words if "=" not in word and Path(word).suffix not in (".yaml", ".yml")]
    if len(rows) > 1:
        raise RecipeError(f"one file of training rows at a time, not {', '.join(rows)}; others: --validation, --test")
    return (rows[0] if rows else None), [word for word in words if word not in rows]


def _refuse_missing(*named: str | None) -> None:
    """Raises DataError for a file that is not there, before what takes seconds is imported."""
    from luthier.data.hub import hub_name
    from luthier.data.read import existing

    for path in named:
        if path is not None and not _SHARE.fullmatch(path) and hub_name(path) is None:
            existing(path)


def _stem(path: str) -> str:
    """A name for what belongs to a file."""
    return Path(path).name.split(".")[0] or "rows"


def _refuse_beside_resume(given: list[str]) -> None:
    """Raises RecipeError if anything stands beside --resume that it would ignore."""
    if given:
        raise RecipeError(
            f"--resume goes on with the run's own recipe; leave out {', '.join(given)}, or start a new run"
        )


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """Says to whoever stops a run between its steps what is kept, and how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        kept = f"stopped; all that was saved is kept; go on: luthier train --resume {folder}"
        raise _stopped(
            kept if (folder / "recipe.yaml").exists() else "stopped before anything was saved", 130
        ) from None


def _lack(error: Exception) -> str | None:
    """What the machine lacks, in a sentence; None where the error is a defect of ours, which keeps its traceback."""
    if isinstance(error, BrokenPipeError):
        return None
    if isinstance(error, OSError):
        why = error.strerror or str(error) or type(error).__name__
        return f"{error.filename}: cannot be read or written ({why})" if error.filename else why
    if isinstance(error, SafetensorError):
        return f"weights cannot be read or written ({error})"
    if _is_out_of_memory(error):
        remedy = "halve train.token_budget (4096 if never set) or evaluate.token_budget, which decide memory alone"
        return f"out of memory: {remedy}; for a run to resume, in its recipe.yaml"
    return None


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    # PyTorch gives the CPU's no class of its own.
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)


def _stopped(why: str, code: int) -> typer.Exit:
    """Says on stderr why a command ends."""
    style = "red" if code != 130 else None
    Console(stderr=True, soft_wrap=True, highlight=False).print(why, markup=False, style=style)
    return typer.Exit(code)


def _ended(outcome: Outcome, *, as_json: bool) -> int:
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
