"""`luthier cache`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from luthier.cli.app import AsJson
from luthier.cli.ending import printed, told

if TYPE_CHECKING:
    from luthier.types import Json


@told
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove the hidden states of frozen layers.")] = False,
    as_json: AsJson = False,
) -> int:
    """Show what is kept to save computing, and remove it."""
    from luthier.run.cache import cleared, kept, told_kept

    found, freed = kept(), cleared() if clear else 0
    facts: dict[str, Json] = {"folder": str(found.folder), "trunks": [one.json() for one in found.trunks]}
    if as_json:
        models: list[Json] = [{"model": one.name, "bytes": one.bytes} for one in found.models]
        return printed({**facts, "models": models, "freed": freed}, as_json=True)
    print(told_kept(found, cleared=clear))
    if clear:
        print(f"removed: {freed / 1e6:,.1f} MB of hidden states, which are computed again when they are needed")
    return 0
