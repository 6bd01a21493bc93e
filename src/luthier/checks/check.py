"""What a check is, and what it looks at: the rows of all splits, in one order whatever order they came in.

Not here: any check, and which are run (`luthier.checks`, `luthier.checks.audit`).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from luthier.data.split import PARTS, normalised
from luthier.errors import RecipeError
from luthier.types import Example, Issue, Json

T = TypeVar("T")

Progress: TypeAlias = Callable[[str, int, int], None]
"""(what is looked at, rows done, rows in all)."""


@dataclass(frozen=True, slots=True)
class CheckOptions:
    """How the rows are audited."""

    gates: tuple[str, ...] = ()
    """Checks that end a run, or `luthier check` with exit 1, when they find something; beside those that always do."""
    silent: tuple[str, ...] = ()
    """Checks that are not run."""
    slices: tuple[str, ...] = ()
    """Columns whose values are compared by how often each label stands there."""
    time: str | None = None
    """Column that says when a row was written; a test row from before training rows is then looked for."""
    against: tuple[str, ...] = ()
    """Evaluation files that must not stand in the training rows, read by the data's columns or by their own shape."""
    near: float = 0.8
    """Share of three-word runs (Jaccard) from which two texts count as nearly the same."""
    meaning: float = 0.95
    """Cosine of static embeddings from which two texts count as saying the same."""
    sample: int = 20_000
    """Rows that a check takes at most where its cost would grow out of hand; a fixed sample, and the check says so."""
    seed: int = 0
    """Of samples, folds and resamples."""

    def __post_init__(self) -> None:
        bounds = [
            ("near", 0 < self.near <= 1, "above 0 and at most 1"),
            ("meaning", 0 < self.meaning <= 1, "above 0 and at most 1"),
            ("sample", self.sample >= 100, "at least 100"),
            ("seed", self.seed >= 0, "0 or more"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))


@dataclass(frozen=True, eq=False)
class Corpus:
    """The rows under audit; place i of every sequence here is the same row."""

    splits: Mapping[str, Sequence[Example]]
    """The rows by split, as they were written: without what a recipe puts before every prompt."""
    options: CheckOptions = CheckOptions()
    tokenizer: PreTrainedTokenizerBase | None = None
    """The model's, for checks that count tokens; None where no model was named."""
    max_length: int | None = None
    """Tokens a row may have; None where no model was named."""
    against: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    """Evaluation files by name, for contamination."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """How much a tuned model is surprised by each row's answer, in nats by row id, once there is a run."""
    numbers: bool = False
    """Whether answers are numbers that are judged by their distance, in place of labels or text."""
    progress: Progress = lambda what, done, total: None

    @cached_property
    def rows(self) -> tuple[Example, ...]:
        """Every row: training, validation, test, each by file and line."""
        return tuple(row for part in PARTS for row in sorted(self.splits.get(part, ()), key=lambda row: _place(row.id)))

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The split of each row."""
        return tuple(part for part in PARTS for _ in self.splits.get(part, ()))

    @cached_property
    def keys(self) -> NDArray[np.uint64]:
        """(n,) one number for all rows whose prompts say the same but for case, punctuation and white space."""
        return np.array([number(normalised(row.prompt)) for row in self.each(self.rows, "prompts")], np.uint64)

    @cached_property
    def answers(self) -> NDArray[np.uint64]:
        """(n,) one number for all rows whose first answers are the same but for white space."""
        return np.array([number(" ".join(row.answer.split())) for row in self.rows], np.uint64)

    def of(self, part: str) -> range:
        """Places of a split's rows."""
        first = self.parts.index(part) if part in self.parts else len(self.parts)
        return range(first, first + len(self.splits.get(part, ())))

    def labelled(self, part: str | None = None) -> dict[str, list[str]]:
        """Ids of the rows of one split, or of all, by their label; rows without one are left out."""
        rows: defaultdict[str, list[str]] = defaultdict(list)
        for at in range(len(self.rows)) if part is None else self.of(part):
            row = self.rows[at]
            if row.label is not None:
                rows[row.label].append(row.id)
        return dict(rows)

    def sampled(self, places: Sequence[int]) -> list[int]:
        """At most `options.sample` of these places: those whose text hashes lowest, so that no order matters."""
        if len(places) <= self.options.sample:
            return list(places)
        drawn = sorted(places, key=lambda at: number(f"{self.options.seed} {int(self.keys[at])} {self.rows[at].id}"))
        return sorted(drawn[: self.options.sample])

    def each(self, some: Sequence[T], what: str) -> Iterator[T]:
        """The same, telling every thousandth, and the end, to whoever watches."""
        for done, one in enumerate(some):
            if done % 1000 == 0:
                self.progress(what, done, len(some))
            yield one
        self.progress(what, len(some), len(some))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an audit says of single rows, by which the better of two is told."""

    doubts: Mapping[str, int] = field(default_factory=dict)
    """How many findings name a row alone."""
    likelier: Mapping[str, str] = field(default_factory=dict)
    """The label that a model of the other rows finds likelier than the row's own."""
    judged: frozenset[str] = frozenset()
    """Rows whose label that model judged."""


@dataclass(frozen=True, slots=True)
class Spare:
    """A row that can go, since another says the same."""

    row: str
    kept: str
    """The row that stands for it."""
    why: str


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that can be wrong with rows."""

    find: Callable[[Corpus], Iterable[Issue]]
    title: str
    """What it looks for, in a few words."""
    gate: bool = False
    """Whether what it finds ends `luthier check` with exit 1 unless a recipe says otherwise."""
    thorough: bool = False
    """Whether it builds a model of the rows: not run before every training, nor with `--fast`."""
    needs: tuple[str, ...] = ()
    """Modules of the `audit` extra that it imports."""
    drop: Callable[[Issue], tuple[str, ...]] | None = None
    """Which of an issue's rows `--fix` leaves out; None where that is for people to decide."""
    spare: Callable[[Corpus, Evidence], Iterable[Spare]] | None = None
    """Which rows `--fix` leaves out because a better one stands for them, where that takes more than the issue."""
    rewrite: Callable[[Issue, str], str] | None = None
    """What `--fix` makes of each text in an issue's rows."""
    kind: Callable[[Issue], str] | None = None
    """Which sort of thing an issue is about, in a few words, where the check looks for several."""


@dataclass(frozen=True, slots=True)
class Table:
    """What a survey counted: for the page and for machines."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]
    note: str = ""
    """What it means, in a sentence."""
    chart: Literal["bars", "columns"] | None = None
    """How it is drawn: `bars` one bar a row, its last column the length; `columns` a histogram; None as a table."""


Survey: TypeAlias = Callable[[Corpus], Iterable[Table]]
"""Counts rows; finds no fault."""


def span(low: float, high: float) -> str:
    """`8 to 12`, or `8` where both ends are the same."""
    return f"{low:,.0f}" if low == high else f"{low:,.0f} to {high:,.0f}"


def number(text: str) -> int:
    """64 bits of a text's hash: the same on every machine and in every run."""
    return int.from_bytes(blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


def _place(name: str) -> tuple[str, int, str]:
    """An id in the order of its file's lines."""
    file, _, line = name.rpartition(":")
    digits = re.match(r"\d+", line)
    return file, int(digits.group()) if digits else 0, name
