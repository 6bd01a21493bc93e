"""Rows, and after them those of evaluation files, found by their prompt. Not here: prompts nearly alike (`twins`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np

from luthier.checks.check import Corpus, number
from luthier.checks.runs import Numbers, Places
from luthier.data.split import normalised
from luthier.types import Example

_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")


@dataclass(frozen=True, eq=False)
class Prompts:
    """The rows of a corpus and, after them, of the evaluation files it is held against, by prompt."""

    rows: Sequence[Example]
    keys: Numbers
    """(n,) equal where prompts say the same."""

    @cached_property
    def order(self) -> Places:
        """(n,) places by key, then place."""
        return np.argsort(self.keys, kind="stable")

    @cached_property
    def _sorted(self) -> Numbers:
        return self.keys[self.order]

    @cached_property
    def distinct(self) -> Places:
        """Of each prompt the place of its first row, ascending."""
        new = np.concatenate(([True], self._sorted[1:] != self._sorted[:-1]))[: len(self.order)]
        return np.sort(self.order[new])

    def same(self, place: int) -> list[int]:
        """The places of all rows with this row's prompt, ascending."""
        low, high = (int(np.searchsorted(self._sorted, self.keys[place], side)) for side in ("left", "right"))
        return [int(at) for at in self.order[low:high]]

    def repeated(self) -> Iterator[list[int]]:
        """The places of each prompt that stands in several rows, by the first of them."""
        _, counts = np.unique(self.keys, return_counts=True)
        for at in np.sort(self.order[np.cumsum(counts) - counts][counts > 1]):
            yield self.same(int(at))


_prompts: WeakKeyDictionary[Corpus, Prompts] = WeakKeyDictionary()
"""What several checks ask of one corpus; it goes when the corpus goes."""


def prompts(corpus: Corpus) -> Prompts:
    """The corpus' rows and those of `against`, file after file, found by prompt; made once."""
    if corpus not in _prompts:
        other = [row for name in sorted(corpus.against) for row in corpus.against[name]]
        keys = np.array([number(normalised(row.prompt)) for row in other], np.uint64)
        rows = (*corpus.rows, *other) if other else corpus.rows
        _prompts[corpus] = Prompts(rows, np.concatenate((corpus.keys, keys)))
    return _prompts[corpus]


def same_numbers(one: Example, other: Example) -> bool:
    """Whether two prompts name the same numbers, in whatever order."""
    return sorted(_digits(one)) == sorted(_digits(other))


def wording(example: Example) -> str:
    """Every completion's text but for white space: what makes two answers the same."""
    return "\n".join(" ".join(message.content.split()) for one in example.completions for message in one.messages)


def but_for(row: Example, others: Iterable[Example]) -> str:
    """` apart from case and punctuation` where the prompts of rows with one key differ in more than white space."""
    own = _asked(row)
    return " apart from case and punctuation" if any(_asked(other) != own for other in others) else ""


def _asked(row: Example) -> list[str]:
    return [" ".join(message.content.split()) for message in row.prompt]


def excerpt(text: str, width: int = 60) -> str:
    """The beginning of a text on one line, in quotes; it ends with a word, unless that is very long."""
    line = " ".join(text.split())
    if len(line) <= width:
        return repr(line)
    space = line.rfind(" ", width // 2, width - 2)
    return repr(f"{line[: space if space > 0 else width - 3]}...")


def _digits(example: Example) -> list[str]:
    return [digits for message in example.prompt for digits in _DIGITS.findall(message.content)]
