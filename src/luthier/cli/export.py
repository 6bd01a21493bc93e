"""`luthier export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from luthier.cli.app import AsJson, Run
from luthier.cli.ending import printed, told
from luthier.errors import GateError, RecipeError

if TYPE_CHECKING:
    from luthier.types import Json


@told
def export(
    run: Run,
    format: Annotated[str, typer.Option(help="merged (a whole model) or adapter (PEFT's layout, or ours).")] = "merged",
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
        return printed(facts, as_json=True)
    print(f"{done.folder} ({done.bytes / 2**20:,.0f} MiB): {done.parity.sentence}\n\n{done.use}")
    return 0
