"""The texts that forgetting is measured on; all are Luthier's own (`bundled/LICENSE`)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

Rule: TypeAlias = Literal["contains", "first", "number", "order", "cased"]

TEXTS = ("prose", "code", "dialogue")
_BETWEEN = "\n====\n"


@dataclass(frozen=True, slots=True)
class Question:
    """A short general question whose answer can be checked."""

    kind: str
    """What it asks for: `arithmetic`, `capitals`, `copying`."""
    rule: Rule
    """How an answer is marked (`marking.py`)."""
    question: str
    accept: tuple[str, ...]
    """Right answers; for `order` the items in their right order."""
    wrong: tuple[str, ...] = ()
    """What must not be said first, for the rule `first`."""


@dataclass(frozen=True, slots=True)
class Passage:
    """A part of a text, read behind the text's beginning."""

    kind: str
    head: str
    """What stands before it and is not scored."""
    text: str


@cache
def prompts() -> tuple[str, ...]:
    """Sixty requests of many kinds, as people make them."""
    return tuple(_file("prompts.txt").splitlines())


@cache
def questions() -> tuple[Question, ...]:
    """Two hundred short questions and instructions."""
    rows = map(json.loads, _file("probe.jsonl").splitlines())
    return tuple(
        Question(row["kind"], row["rule"], row["question"], tuple(row["accept"]), tuple(row.get("wrong", ())))
        for row in rows
    )


@cache
def passages() -> tuple[Passage, ...]:
    """About 3 KB each of prose, code and dialogue, cut where they pause."""
    found = []
    for kind in TEXTS:
        head, *parts = _file(f"{kind}.txt").strip().split(_BETWEEN)
        found += [Passage(kind, f"{head}\n\n", part) for part in parts]
    return tuple(found)


def _file(name: str) -> str:
    return resources.files("luthier.evaluate.forgetting").joinpath("bundled", name).read_text(encoding="utf-8")
