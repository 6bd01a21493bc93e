"""From rows and perturbations to what is asked: each row once as it stands, and once for every change it can have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random

from luthier.evaluate.behaviour.perturbation import BAIT, Perturbation
from luthier.types import Example

WORD = "BANANA"
"""The wrong answer that an injected demand names where answers are texts."""


@dataclass(frozen=True, slots=True)
class Case:
    """One row under one perturbation."""

    row: Example
    """As it stands in the file."""
    name: str
    """Of the perturbation."""
    example: Example
    """The row with its last user message changed."""
    bait: str | None = None
    """The wrong answer that the changed text asks for."""


def cases(
    rows: Sequence[Example], perturbations: Mapping[str, Perturbation], *, labels: Sequence[str], seed: int
) -> list[Case]:
    """Every row under every perturbation that applies to it, row by row.

    labels: the possible answers; empty where answers are texts. Each case depends on seed, row and name alone.
    """
    made = (_case(row, name, one, labels, seed) for row in rows for name, one in perturbations.items())
    return [case for case in made if case is not None]


def draws(seed: int, row: str, name: str) -> Random:
    """The random numbers of one case."""
    return Random(f"{seed}/{row}/{name}")


def wish(row: Example) -> str | None:
    """The content of a row's last user message; None where nobody asked."""
    place = _last_user(row)
    return None if place is None else row.prompt[place].content


def changed(row: Example, text: str) -> Example:
    """The row with another last user message, and nothing else changed."""
    place = _last_user(row)
    assert place is not None, f"{row.id} has no user message to change"
    turns = list(row.prompt)
    turns[place] = replace(turns[place], content=text)
    return replace(row, prompt=tuple(turns))


def _case(row: Example, name: str, one: Perturbation, labels: Sequence[str], seed: int) -> Case | None:
    text = wish(row)
    if text is None or (one.facts and not _free_of_facts(row, labels)):
        return None
    rng = draws(seed, row.id, name)
    found = one.change(text, rng)
    if found is None:
        return None
    bait = _bait(row, labels, rng) if BAIT in found else None
    return Case(row, name, changed(row, found if bait is None else found.replace(BAIT, bait)), bait)


def _free_of_facts(row: Example, labels: Sequence[str]) -> bool:
    """Whether the answer is a label without a digit."""
    return bool(labels) and not any(sign.isdecimal() for sign in row.label or "")


def _bait(row: Example, labels: Sequence[str], rng: Random) -> str:
    """A wrong answer: another label, or a word that is no answer to anything."""
    wrong = [label for label in labels if label != row.label]
    return rng.choice(wrong) if wrong else WORD


def _last_user(row: Example) -> int | None:
    return next((at for at in reversed(range(len(row.prompt))) if row.prompt[at].role == "user"), None)
