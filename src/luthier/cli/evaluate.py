"""`luthier evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from luthier.cli.app import AsJson
from luthier.cli.ending import told


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
