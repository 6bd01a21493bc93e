"""`luthier demo`."""

from __future__ import annotations

from pathlib import Path
from time import monotonic
from typing import Annotated

import typer
from rich.console import Console

from luthier.cli.app import AsJson
from luthier.cli.ending import ended, resumable, told


@told
def demo(
    settings: Annotated[list[str] | None, typer.Argument(help="Settings as section.key=value.")] = None,
    run: Annotated[str, typer.Option(help="Folder to write everything to.")] = "runs/demo",
    as_json: AsJson = False,
) -> int:
    """Tune SmolLM2-135M on the bundled help-desk messages: a few minutes, from rows to report."""
    began = monotonic()
    from luthier.demo import TEST, TRAIN
    from luthier.recipe import load_recipe
    from luthier.run import Show
    from luthier.run import train as carry_out
    from luthier.run.check import check as audit
    from luthier.run.check import told

    own = [f"data.train={TRAIN}", f"data.test={TEST}", "data.input=message", "data.output=intent", "train.epochs=6"]
    made = load_recipe(None, [*own, f"run={_free(Path(run))}", *(settings or [])])
    if not as_json:
        print("The rows first: `luthier check` on the bundled messages.\n")
        console = Console(emoji=False, highlight=False)
        console.print(told(audit(made, Show(), out=Path(made.run).with_name(f"{Path(made.run).name}-audit"))))
        print("\nThen the model: `luthier train`.\n", flush=True)
    with resumable(Path(made.run)):
        return ended(carry_out(made, show=Show(silent=as_json)), as_json=as_json, began=began)


def _free(folder: Path) -> str:
    """The folder, or the next of its name that holds no run."""
    tries = (folder if n == 1 else folder.with_name(f"{folder.name}-{n}") for n in range(1, 10_000))
    return str(next(one for one in tries if not (one / "recipe.yaml").exists()))
