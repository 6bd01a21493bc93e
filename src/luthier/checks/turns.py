"""The texts of a row and where each stands: its turns, its answers, and what their other fields say.

Columns that are neither prompt nor answer are never learned, and are not here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from luthier.types import Example, Json, Message


class Said(NamedTuple):
    """One text of a row."""

    where: str
    """For people: `the prompt`, `turn 2`, `the answer`."""
    text: str


def said(row: Example) -> Iterator[Said]:
    """Every text of a row that is not empty, in the order in which it is read."""
    last = len(row.prompt) - 1
    for place, message in enumerate(row.prompt):
        where = "the prompt" if place == last else f"turn {place + 1}"
        if message.content:
            yield Said(where, message.content)
        if message.fields:
            yield from _fields(message, where)
    for rank, completion in enumerate(row.completions):
        name = "the answer" if rank == 0 else f"answer {rank + 1}"
        end = len(completion.messages) - 1
        for place, message in enumerate(completion.messages):
            where = name if place == end else f"turn {last + 2 + place} before {name}"
            if message.content:
                yield Said(where, message.content)
            if message.fields:
                yield from _fields(message, where)
    for rank, text in enumerate(row.references):
        yield Said(f"reference {rank + 1}", text)


def around(text: str, start: int, end: int, reach: int = 20) -> str:
    """A stretch of text with some characters on both sides, on one line."""
    before, after = "…" * (start > reach), "…" * (end + reach < len(text))
    return before + " ".join(text[max(0, start - reach) : end + reach].split()) + after


def _fields(message: Message, where: str) -> Iterator[Said]:
    for name, value in message.fields.items():
        for text in _strings(value):
            yield Said(f"{name} of {where}", text)


def _strings(value: Json) -> Iterator[str]:
    """The texts in a JSON value."""
    if isinstance(value, str) and value:
        yield value
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _strings(one)
