"""`luthier settings`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from luthier.cli.app import AsJson
from luthier.cli.ending import printed, told


@told
def settings(
    words: Annotated[list[str] | None, typer.Argument(help="Words that a setting's name or meaning holds.")] = None,
    as_json: AsJson = False,
) -> int:
    """List every setting of a recipe with its default and what it means."""
    from luthier.run.settings import settings as listed
    from luthier.run.settings import told as shown
    from luthier.search.options import SearchOptions

    found = listed(words or [], {"search": SearchOptions})
    if as_json:
        return printed({one.name: {"default": one.default, "meaning": one.meaning} for one in found}, as_json=True)
    Console(emoji=False, highlight=False, soft_wrap=False).print(shown(found))
    return 0 if found else 1
