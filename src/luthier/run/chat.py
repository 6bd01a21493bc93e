"""`luthier chat`: a question in, the base's and the tuned model's answers out, side by side."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from luthier.run.assistant import load


def chat(run: Path, *, base: bool, as_json: bool = False) -> None:
    """Answers questions line by line until the end of input, or an empty line on a terminal; as JSON, a line each."""
    console = Console(emoji=False, highlight=False)
    assistant = load(run)
    terminal = sys.stdin.isatty() and not as_json
    if terminal:
        console.print("Type a message, as your users would. An empty line ends.", style="dim")
    for question in _questions(terminal=terminal):
        before, tuned = assistant.before(question) if base else None, assistant.answer(question)
        if as_json:
            print(json.dumps({"question": question, "base": before, "tuned": tuned}, ensure_ascii=False), flush=True)
        else:
            console.print(_beside(None if terminal else question, before, tuned))


def _questions(*, terminal: bool) -> Iterator[str]:
    while True:
        try:
            question = input("> " if terminal else "").strip()
        except EOFError:
            return
        if terminal and not question:
            return
        if question:
            yield question


def _beside(question: str | None, base: str | None, tuned: str) -> Table:
    table = Table(
        show_header=True,
        header_style="dim",
        expand=False,
        title=None if question is None else Text(question),
        title_justify="left",
    )
    if base is not None:
        table.add_column("base", overflow="fold", ratio=1)
    table.add_column("tuned", overflow="fold", ratio=1)
    cells = [Text(text or "(empty)") for text in (base, tuned) if text is not None]
    table.add_row(*cells)
    return table
