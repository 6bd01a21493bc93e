"""Defects put into real rows, each with the ids of the rows that now have it, so that a check can be held to them.

A plant makes a corpus in which some rows are broken; all else stays as it was. Plants of rows name them; plants of the
whole (labels skewed, the longer side preferred) are seen or not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from random import Random
from typing import Literal

from audit_values import Make

from luthier.checks.check import Corpus
from luthier.types import Example

K = 200
"""Rows planted at a time where so many can have the defect, and rows given what only looks like it."""
TRAIN, TEST = 4_000, 600
"""Rows of a set that are planted in; wrong labels are looked for in all of them."""
Side = Literal["prompt", "answer"]
Copy = Callable[[Example, str, Random], Example]
"""(row, name of the new row, draws) -> the new row."""
Maker = Callable[["Rows", Random], "Planted"]


@dataclass(frozen=True, eq=False)
class Rows:
    """A real data set, or some rows of it."""

    train: tuple[Example, ...]
    test: tuple[Example, ...]
    foreign: tuple[Example, ...] = ()
    """Rows of another set."""

    @cached_property
    def corpus(self) -> Corpus:
        """The rows as they are."""
        return Corpus({"train": self.train, "test": self.test})


@dataclass(frozen=True, slots=True)
class Planted:
    """A corpus with a defect, and the one without."""

    broken: Corpus
    clean: Corpus
    ids: frozenset[str] = frozenset()
    """Rows that must be told, and nothing else; empty where the whole has the defect."""


@dataclass(frozen=True, slots=True)
class Plant:
    """One kind of defect."""

    check: str
    what: str
    data: str
    """Name of the real set."""
    make: Maker
    bar: float = 0.95
    """Recall and precision to be reached; 0 where they are only told."""


def over(sets: Sequence[str], check: str, what: str, make: Maker, *, bar: float = 0.95) -> tuple[Plant, ...]:
    """One defect in several sets."""
    return tuple(Plant(check, what, name, make, bar) for name in sets)


def drawn(rows: Rows, seed: int, foreign: Sequence[Example] = (), *, whole: bool = False) -> Rows:
    """Rows by chance, in another order and with new names, so that nothing hangs on where they stood.

    Of a set without a test file some training rows are held out.
    """
    rng = Random(seed)
    train = rng.sample(rows.train, len(rows.train))
    test = rng.sample(rows.test, len(rows.test)) if rows.test else [train.pop() for _ in range(TEST)]
    some = (train, test) if whole else (train[:TRAIN], test[:TEST])
    return Rows(_named("train", some[0]), _named("test", some[1]), _named("foreign", foreign))


def _named(part: str, rows: Sequence[Example]) -> tuple[Example, ...]:
    return tuple(replace(row, id=f"{part}.csv:{at}", source=f"{part}.csv") for at, row in enumerate(rows, 1))


def reworded(
    example: Example, edit: Callable[[str], str], side: Side = "prompt", *, name: str | None = None
) -> Example:
    """The example with its last prompt turn, or its first answer, edited; under another name if one is given."""
    named = replace(example, id=name or example.id)
    if side == "prompt":
        *before, last = example.prompt
        return replace(named, prompt=(*before, replace(last, content=edit(last.content))))
    first, *others = example.completions
    *turns, last = first.messages
    answer = replace(first, messages=(*turns, replace(last, content=edit(last.content))))
    return replace(named, completions=(answer, *others))


def relabelled(example: Example, label: str, *, name: str | None = None) -> Example:
    """The example with another label, as its answer too."""
    changed = reworded(example, lambda _: label, "answer", name=name)
    return replace(changed, label=label)


def edited(make: Make, decoy: Make | None = None, side: Side = "prompt", *, whole: bool = False) -> Maker:
    """K rows with a value between their words, or in place of them, and K others with what only looks like it."""

    def plant(rows: Rows, rng: Random) -> Planted:
        chosen = rng.sample(range(len(rows.train)), 2 * K)
        train = list(rows.train)
        for at in chosen[: 2 * K if decoy else K]:
            value = (decoy if decoy and at in chosen[K:] else make)(rng)
            train[at] = reworded(train[at], partial(spliced, value=value, rng=rng, whole=whole), side)
        return planted(rows, train, (train[at].id for at in chosen[:K]))

    return plant


def added(copy: Copy, fits: Callable[[Example], bool] = lambda _: True, count: int = K) -> Maker:
    """More rows of training, each made from one that is there."""

    def plant(rows: Rows, rng: Random) -> Planted:
        some = sampled([row for row in rows.train if fits(row)], rng, count)
        more = [copy(row, f"planted.csv:{at}", rng) for at, row in enumerate(some, 1)]
        return planted(rows, [*rows.train, *more], (row.id for row in more))

    return plant


def leaked(copy: Copy, fits: Callable[[Example], bool] = lambda _: True) -> Maker:
    """K test rows put into training; it is the test rows that must be told, and those with the same prompt."""

    def plant(rows: Rows, rng: Random) -> Planted:
        some = sampled([row for row in rows.test if fits(row)], rng)
        more = [copy(row, f"planted.csv:{at}", rng) for at, row in enumerate(some, 1)]
        asked = {says(row) for row in some}
        return planted(rows, [*rows.train, *more], (row.id for row in rows.test if says(row) in asked))

    return plant


def contaminated(copy: Copy, fits: Callable[[Example], bool] = lambda _: True) -> Maker:
    """K rows of an evaluation file put into training."""

    def plant(rows: Rows, rng: Random) -> Planted:
        some = sampled([row for row in rows.test if fits(row)], rng)
        more = [copy(row, f"planted.csv:{at}", rng) for at, row in enumerate(some, 1)]
        against = {"evaluation": rows.test}
        clean, broken = (Corpus({"train": tuple(part)}, against=against) for part in (rows.train, [*rows.train, *more]))
        return Planted(broken, clean, frozenset(row.id for row in more))

    return plant


def says(row: Example) -> tuple[str, ...]:
    """All turns of the prompt."""
    return tuple(turn.content for turn in row.prompt)


def sampled(some: Sequence[Example], rng: Random, count: int = K) -> list[Example]:
    """So many of them, or all where there are fewer."""
    return rng.sample(some, min(count, len(some)))


def planted(
    rows: Rows,
    train: Iterable[Example],
    ids: Iterable[str] = (),
    *,
    test: Sequence[Example] | None = None,
) -> Planted:
    """The corpus with these training (and test) rows beside the one that was there."""
    broken = Corpus({"train": tuple(train), "test": tuple(rows.test if test is None else test)})
    return Planted(broken, rows.corpus, frozenset(ids))


def spliced(text: str, *, value: str, rng: Random, whole: bool = False) -> str:
    """The value between two words of the text, or in place of it."""
    if whole:
        return value
    words = text.split(" ")
    at = rng.randrange(len(words) + 1)
    return " ".join([*words[:at], value, *words[at:]])
