"""`luthier compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from luthier.cli.app import AsJson
from luthier.cli.ending import printed, told


@told
def compare(
    runs: Annotated[list[Path], typer.Argument(help="Run folders, two or more; the first is what others are held to.")],
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("compare"),
    as_json: AsJson = False,
) -> int:
    """Compare finished runs on the test rows they share: paired differences, curves, settings, cost."""
    from luthier.run.compare import compared

    shown, found = compared(runs, out)
    if as_json:
        return printed(found, as_json=True)
    Console(emoji=False, highlight=False).print(shown)
    return 0
