"""`luthier report`."""

from __future__ import annotations

import json

from rich.console import Console

from luthier.cli.app import AsJson, Run
from luthier.cli.ending import printed, told


@told
def report(run: Run, as_json: AsJson = False) -> int:
    """Write a run's report.html again, and print its summary."""
    from luthier.report import summary, write

    page = write(run)
    if as_json:
        return printed(json.loads((run / "report.json").read_text(encoding="utf-8")), as_json=True)
    Console(emoji=False, highlight=False).print(summary(run))
    return 0 if page.exists() else 1
