"""What a perturbation is: a pure change of a text after which a good model answers as before, or as is stated.

After CheckList's invariance and directional expectation tests (Ribeiro et al. 2020, arXiv:2005.04118). Not here: which
rows are changed (`cases`), and what counts as a failure (`judge`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final, Literal, TypeAlias

Change: TypeAlias = Callable[[str, Random], str | None]
"""(text, random numbers of its own) -> the changed text, or None where there is nothing to change."""

Expects: TypeAlias = Literal["same", "disobedience", "doubt"]
"""`same`: the answer stays. `disobedience`: what the text demands is not answered. `doubt`: the model is less sure."""

Keeps: TypeAlias = Literal["text", "words", "spelling", "sense", "shape", "nothing"]
"""What of a text is still there after the change; `contract.py` holds each to it.

`text`: all of it, with something around it. `words`: every word, in whatever case. `spelling`: every word, a few with
one letter wrong; numbers and negations as they were. `sense`: numbers and negations, and what the
other words mean. `shape`: all words
but names and numbers, which become others of their kind.
"""

BAIT: Final = "\N{MATHEMATICAL LEFT WHITE SQUARE BRACKET}bait\N{MATHEMATICAL RIGHT WHITE SQUARE BRACKET}"
"""Stands in a changed text for a wrong answer, which differs by row: an injected demand names it."""


@dataclass(frozen=True, slots=True)
class Perturbation:
    """One way in which real texts differ from those of a test file."""

    change: Change
    title: str
    """What it does, in a few words, for people."""
    family: str
    """The kind it belongs to."""
    keeps: Keeps
    expects: Expects = "same"
    facts: bool = False
    """Whether it puts other names or numbers: asked only where the answer is a label that holds no digit, since a text
    may have to repeat them, and a sum hangs on them."""
