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
    matrix: Annotated[
        bool, typer.Option("--matrix", help="Ask each run's model the test rows of every other, too, and write a page.")
    ] = False,
    rows: Annotated[int, typer.Option(help="Most test rows of each task in the matrix.", min=1)] = 200,
    out: Annotated[Path, typer.Option(help="The page of the matrix to write.")] = Path("models.html"),
    as_json: AsJson = False,
) -> int:
    """List runs: task, base, metric with its interval, size, parent; or what each does on every other's task."""
    from luthier.report import listing
    from luthier.report.listing_terminal import Lines

    if matrix:
        return _crossed(folder, rows, out, as_json=as_json)
    found, searched = listing.listing(folder), listing.searches(folder)
    if as_json:
        return printed(listing.as_json(found, searched), as_json=True)
    Console(emoji=False, highlight=False).print(Lines(found, searched))
    return 0


def _crossed(folder: Path, rows: int, out: Path, *, as_json: bool) -> int:
    from luthier.report import listing, matrix
    from luthier.run import Show
    from luthier.run.matrix import crossed

    runs = [Path(one.run) for one in listing.listing(folder)]
    found = crossed(runs, rows=rows, show=Show(silent=as_json))
    page = matrix.write(found, out)
    if as_json:
        return printed({**matrix.as_json(found), "page": str(page)}, as_json=True)
    console = Console(emoji=False, highlight=False)
    console.print(matrix.table(found))
    console.print(f"page  {page}", markup=False)
    return 0
