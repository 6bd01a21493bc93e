"""`luthier models`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from luthier.cli.app import AsJson
from luthier.cli.ending import printed, told


@told
def models(
    folder: Annotated[Path, typer.Argument(help="A folder of run folders.")] = Path("runs"),
    as_json: AsJson = False,
) -> int:
    """List runs: task, base, metric with its interval, size, what each goes on from."""
    from luthier.report import listing

    found = listing.listing(folder)
    if as_json:
        return printed(listing.as_json(found), as_json=True)
    Console(emoji=False, highlight=False).print(listing.table(found))
    return 0
