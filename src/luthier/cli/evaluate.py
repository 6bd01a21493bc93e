"""`luthier evaluate`."""

from __future__ import annotations

from typing import Annotated

import typer

from luthier.cli.app import AsJson
from luthier.cli.ending import told


@told
def evaluate(
    targets: Annotated[list[str], typer.Argument(help="Run folders, models, or adapters (FOLDER, or BASE+FOLDER).")],
    data: Annotated[str | None, typer.Option(help="Rows to judge on; a run's own test rows if left out.")] = None,
    task: Annotated[
        str | None, typer.Option(help="What is asked: a YAML file (mode, metrics, slices) or module:name.")
    ] = None,
    slice: Annotated[
        list[str] | None, typer.Option(help="Divide the rows by length, class, language or a column.")
    ] = None,
    input: Annotated[str | None, typer.Option(help="Column of the input.")] = None,
    output: Annotated[str | None, typer.Option(help="Column of the wanted answer.")] = None,
    base: Annotated[
        bool | None, typer.Option(help="Ask the base model of each run, too; without it, of a run that stands alone.")
    ] = None,
    lm_eval: Annotated[
        str | None, typer.Option(help="Run these tasks of lm-evaluation-harness instead; commas between.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Compare runs, models and adapters on held-out rows, with intervals and differences from the first."""
    if lm_eval is not None:
        from luthier.run.harness import harness

        return harness(targets, lm_eval.split(","), as_json=as_json)
    from luthier.run.judged import Asked
    from luthier.run.standings import judged

    asked = Asked(data=data, task=task, slices=tuple(slice or ()), input=input, output=output, base=base)
    return judged(targets, asked, machine=as_json)
