"""The program, its options that every command has, and what keeps the libraries quiet."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

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


@contextmanager
def importing() -> Iterator[None]:
    """Looks for no garbage while large libraries load: hundreds of thousands of objects are made, and stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


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
