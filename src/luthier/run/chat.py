"""`luthier chat`: a question in, the base's and the tuned model's answers out, side by side."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from luthier.run.assistant import load


def chat(run: Path, *, base: bool) -> None:
    """Reads questions line by line until the end of input or an empty line on a terminal."""
    console = Console(highlight=False)
    assistant = load(run)
    terminal = sys.stdin.isatty()
    if terminal:
        console.print("Type a message, as your users would. An empty line ends.", style="dim")
    while True:
        try:
            question = input("> " if terminal else "").strip()
        except EOFError:
            return
        if not question and terminal:
            return
        if question:
            before = assistant.before(question) if base else None
            console.print(_beside(None if terminal else question, before, assistant.answer(question)))


def _beside(question: str | None, base: str | None, tuned: str) -> Table:
    table = Table(show_header=True, header_style="dim", expand=False, title=question, title_justify="left")
    if base is not None:
        table.add_column("base", overflow="fold", ratio=1)
    table.add_column("tuned", overflow="fold", ratio=1)
    cells = [Text(text or "(empty)") for text in (base, tuned) if text is not None]
    table.add_row(*cells)
    return table
