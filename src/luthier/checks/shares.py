"""Who carries the loss: each label, source and band of length, by what is learned of its rows.

The loss is a sum over learned tokens, so a source of few long answers can outweigh one of many short ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from luthier.checks.balance import SHOWN
from luthier.checks.check import Corpus, Table, span
from luthier.types import Example, Issue, Json, Message

LONGEST = 0.05
"""Share of the rows that counts as the longest."""
OUTWEIGHED = 4.0
"""How many times the odds of a row the odds of a learned token must be for a part of the rows to dominate."""
BANDS = (0.5, 0.9, 0.95, 0.99, 1.0)
"""Ends of the bands of length, as shares of the rows, shortest first."""

Key: TypeAlias = Callable[[Example], "str | None"]


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What each row of training adds to the loss."""

    places: NDArray[np.int64]
    """(n,) rows of the corpus."""
    amount: NDArray[np.float64]
    """(n,) learned text times its weight, in `unit`."""
    unit: str
    """`tokens`, or `characters` where no model was named."""
    sampled: bool
    """Whether `places` are a sample of the training rows."""

    @property
    def longest(self) -> NDArray[np.int64]:
        """(n,) indexes, what adds most first; equals by place."""
        return np.argsort(-self.amount, kind="stable")


@dataclass(frozen=True, slots=True)
class Portion:
    """What some rows hold of all rows and of the loss."""

    name: str
    rows: int
    of_rows: float
    """Share in [0, 1]."""
    of_loss: float
    """Share in [0, 1]."""

    @property
    def dominates(self) -> bool:
        """Whether most of the loss is theirs, and far more of it than of the rows."""
        odds = self.of_loss * (1 - self.of_rows) - OUTWEIGHED * self.of_rows * (1 - self.of_loss)
        return self.of_loss > 0.5 and self.of_rows < 1 and odds >= 0


def loss_shares(corpus: Corpus) -> Iterator[Table]:
    """The share of the loss by label, by source and by length, each with its rows beside."""
    learned = measured(corpus)
    if not learned.amount.any():
        return
    for what, key in _KEYS.items():
        if len(some := portions(corpus, learned, key)) > 1:
            yield _table(learned, what, some)
    yield _table(learned, f"learned {learned.unit}", list(bands(learned)))


def dominant(corpus: Corpus) -> Iterator[Issue]:
    """One label or source, or the longest rows, that carry most of the loss though they are not most of the rows."""
    learned = measured(corpus)
    if len(learned.places) < 1 / LONGEST or not learned.amount.any():
        return
    first = learned.longest[: int(LONGEST * len(learned.places))]
    share = float(learned.amount[first].sum() / learned.amount.sum())
    longest = Portion("longest", len(first), len(first) / len(learned.places), share)
    if longest.dominates:
        yield _dominant(corpus, learned, first, longest, f"the longest {LONGEST:.0%} of the rows")
    for what, key in _KEYS.items():
        for portion in portions(corpus, learned, key)[:1]:
            if portion.dominates:
                own = (at for at in learned.longest if key(corpus.rows[learned.places[at]]) == portion.name)
                yield _dominant(corpus, learned, own, portion, f"the rows of the {what} {portion.name!r}")


def measured(corpus: Corpus) -> Learned:
    """What is learned of each row of training; of a sample where tokens are counted and the rows are many."""
    train = corpus.of("train")
    if corpus.tokenizer is None:
        places = np.arange(train.start, train.stop)
        return Learned(places, _characters(corpus, places), "characters", sampled=False)
    places = np.array(corpus.sampled(train), np.int64)
    return Learned(places, _tokens(corpus, places, corpus.tokenizer), "tokens", sampled=len(places) < len(train))


def portions(corpus: Corpus, learned: Learned, key: Key) -> list[Portion]:
    """What each label or source holds, the largest share of the loss first; rows that have none are left out."""
    number: dict[str, int] = {}
    names = (key(corpus.rows[at]) for at in learned.places)
    index = np.fromiter((-1 if name is None else number.setdefault(name, len(number)) for name in names), np.int64)
    named = index >= 0
    rows = np.bincount(index[named], minlength=len(number))
    loss = np.bincount(index[named], learned.amount[named], minlength=len(number)) / learned.amount.sum()
    found = [Portion(name, int(rows[at]), float(rows[at]) / len(index), float(loss[at])) for name, at in number.items()]
    return sorted(found, key=lambda portion: (-portion.of_loss, portion.name))


def bands(learned: Learned) -> Iterator[Portion]:
    """The rows by length, shortest first, cut at BANDS; rows of one length are in one band."""
    amount = np.sort(learned.amount)
    begun = 0
    for end in (round(share * len(amount)) for share in BANDS):
        end = max(begun, int(np.searchsorted(amount, amount[end - 1], side="right"))) if end else 0
        if some := amount[begun:end].tolist():
            share = sum(some) / float(amount.sum())
            yield Portion(span(some[0], some[-1]), len(some), len(some) / len(amount), share)
        begun = end


def _table(learned: Learned, what: str, some: list[Portion]) -> Table:
    rest = sum(portion.of_loss for portion in some[SHOWN:])
    note = f"By the {learned.unit} learned of each row."
    note += f" {len(some) - SHOWN} more carry {rest:.1%} together." if rest else ""
    note += f" Counted on a sample of {len(learned.places):,} rows." if learned.sampled else ""
    lines: list[tuple[Json, ...]] = [
        (one.name, one.rows, round(100 * one.of_rows, 2), round(100 * one.of_loss, 2)) for one in some[:SHOWN]
    ]
    return Table(f"Share of the loss by {what}", (what, "rows", "rows %", "loss %"), tuple(lines), note, "bars")


def _dominant(corpus: Corpus, learned: Learned, own: Iterable[int], portion: Portion, named: str) -> Issue:
    sample = f" (in a sample of {len(learned.places):,})" if learned.sampled else ""
    return Issue(
        check="dominant",
        examples=tuple(corpus.rows[learned.places[at]].id for at in islice(own, SHOWN)),
        severity=round(0.6 * portion.of_loss, 3),
        flagged=True,
        why=f"{named} are {portion.of_rows:.1%} of train, yet carry {portion.of_loss:.0%} of the learned "
        f"{learned.unit}{sample}: the others hardly count",
        remedy="shorten or cap these rows, give them a smaller weight, or add rows of the others",
    )


def _turns(row: Example) -> Iterator[Message]:
    """The turns whose content is learned: of a preference the chosen side, whatever the record does not exclude."""
    sides = (turn for one in row.completions if one.score > 0 for turn in one.messages)
    for some in (row.prompt, sides):
        for turn in some:
            if turn.role == "assistant" and turn.train is not False:
                yield turn


def _characters(corpus: Corpus, places: NDArray[np.int64]) -> NDArray[np.float64]:
    rows = (corpus.rows[at] for at in places)
    return np.fromiter((sum(len(t.content) * t.weight for t in _turns(row)) for row in rows), np.float64, len(places))


def _tokens(corpus: Corpus, places: NDArray[np.int64], tokenizer: PreTrainedTokenizerBase) -> NDArray[np.float64]:
    amount = np.zeros(len(places))
    turns = ((at, turn) for at, place in enumerate(places) for turn in _turns(corpus.rows[place]))
    while some := list(islice(turns, 1024)):
        ids = tokenizer([turn.content for _, turn in some], add_special_tokens=False)["input_ids"]
        for (at, turn), tokens in zip(some, ids, strict=True):
            amount[at] += len(tokens) * turn.weight
    return amount


_KEYS: dict[str, Key] = {"label": lambda row: row.label, "source": lambda row: row.source or None}
