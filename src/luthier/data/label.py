"""Whether answers are labels from a small set, and where the label list goes into the instruction.

The rule, decided over a whole file: every answer is one line of at most 100 characters, there are at least 2
distinct ones, and either the column is named for it (`label`, `category`, `class`, `intent`) or there are at most
300, each on average on 3 rows or more. Numbers count as labels only up to 20 distinct ones: sums are no classes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from luthier.types import Example

_NAMES = frozenset({"label", "labels", "category", "class", "intent"})


def with_label(example: Example) -> Example:
    """The example with its answer, less surrounding space, as its label."""
    first, *others = example.completions
    *before, last = first.messages
    answer = replace(last, content=last.content.strip())
    completions = (replace(first, messages=(*before, answer)), *others)
    return replace(example, label=answer.content, completions=completions)


def are_labels(answers: Sequence[str], column: str = "") -> bool:
    """Whether the answers of a column are labels, by the rule at the top of this file."""
    distinct = set(answers)
    if len(distinct) < 2 or any(len(answer) > 100 or "\n" in answer for answer in distinct):
        return False
    if column.lower() in _NAMES:
        return True
    few = 20 if all(_is_number(answer) for answer in distinct) else 300
    return len(distinct) <= few and len(answers) >= 3 * len(distinct)


def label_set(examples: Iterable[Example]) -> tuple[str, ...] | None:
    """The sorted labels, or None where any example has none."""
    names = {example.label for example in examples}
    return None if None in names else tuple(sorted(name for name in names if name is not None))


def _is_number(answer: str) -> bool:
    try:
        float(answer.replace(",", ""))
    except ValueError:
        return False
    return True
