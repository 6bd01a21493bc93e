"""`luthier chat`."""

from __future__ import annotations

from typing import Annotated

import typer

from luthier.cli.app import AsJson, Run
from luthier.cli.ending import told


@told
def chat(
    run: Run,
    base: Annotated[bool, typer.Option(help="Show the base model's answer, too.")] = True,
    as_json: AsJson = False,
) -> None:
    """Type a message; see the base and the tuned model answer side by side."""
    from luthier.run.chat import chat as talk

    talk(run, base=base, as_json=as_json)
