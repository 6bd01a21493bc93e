"""`luthier probe`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from luthier.cli.app import AsJson, Run
from luthier.cli.ending import printed, told
from luthier.cli.words import refuse_missing


@told
def probe(
    run: Run,
    data: Annotated[str | None, typer.Option(help="Rows to perturb; the run's own test rows if left out.")] = None,
    input: Annotated[str | None, typer.Option(help="Column of the input.")] = None,
    output: Annotated[str | None, typer.Option(help="Column of the wanted answer.")] = None,
    rows: Annotated[int, typer.Option(help="Rows drawn, with the labels in proportion; 0 takes all.")] = 60,
    base_rows: Annotated[
        int,
        typer.Option(help="Of these, rows that the base model is asked, too: it is many times slower; 0 takes all."),
    ] = 20,
    only: Annotated[
        list[str] | None, typer.Option(help="Perturbation or family to ask, or module:function of your own.")
    ] = None,
    without: Annotated[list[str] | None, typer.Option(help="Perturbation or family to leave out.")] = None,
    slice: Annotated[list[str] | None, typer.Option(help="Column whose values are compared.")] = None,
    gate: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=RATE", help="Exit 1 where a failure rate is surely above this share."),
    ] = None,
    drop: Annotated[float, typer.Option(help="Share of the best score that a text may lose.")] = 0.1,
    base: Annotated[bool, typer.Option(help="Ask the base model, too.")] = True,
    seed: Annotated[int, typer.Option(help="Of the rows drawn and of every change.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder to write to; by default RUN/probe.")] = None,
    as_json: AsJson = False,
) -> int:
    """See whether answers survive typos, greetings, anger, injected demands and the like."""
    refuse_missing(data)
    from luthier.evaluate.behaviour.options import ProbeOptions
    from luthier.report.probe_terminal import summary
    from luthier.run.probe import gates, reading
    from luthier.run.probe import probe as carry_out
    from luthier.run.show import Show

    options = ProbeOptions(
        rows=rows or None,
        base_rows=base_rows or None,
        only=tuple(only or ()),
        without=tuple(without or ()),
        slices=tuple(slice or ()),
        drop=drop,
        seed=seed,
    )
    done = carry_out(
        run,
        data,
        options,
        reading=reading(run, input, output),
        gated=gates(gate or (), options),
        against_base=base,
        out=out,
        show=Show(silent=as_json),
    )
    if as_json:
        printed({**done.facts, "page": str(done.folder / "probe.html")}, as_json=True)
    else:
        Console(emoji=False, highlight=False).print(
            summary(done.found, page=done.folder / "probe.html", failed=done.failed)
        )
    return 1 if done.failed else 0
