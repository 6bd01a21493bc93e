"""What is wrong with the data; each check yields Issues and changes nothing.

A check takes the splits by name and goes in `checks`; a proof takes one rendered row, goes in `proofs`, and must hold
of every row before the first step (see `gate`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from luthier.checks.proof import Case, answer, beginning, end, serving, supervised
from luthier.checks.splits import labels_alike, leak, unseen
from luthier.types import Example, Issue

Check: TypeAlias = "Callable[[Mapping[str, Sequence[Example]]], Iterable[Issue]]"
"""Finds what is wrong with examples, given by split."""

Proof: TypeAlias = "Callable[[Case], str | None]"
"""Says why a rendered row cannot be trained on, or None."""

checks: dict[str, Check] = {"leak": leak, "unseen": unseen, "labels_alike": labels_alike}
"""Checks of the examples by name."""

proofs: dict[str, Proof] = {
    "gate-supervised": supervised,
    "gate-serving": serving,
    "gate-beginning": beginning,
    "gate-answer": answer,
    "gate-end": end,
}
"""Proofs by name."""

__all__ = ["Check", "Proof", "checks", "proofs"]
