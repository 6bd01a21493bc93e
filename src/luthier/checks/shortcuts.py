"""Labels that something tells without the prompt being understood: its length, first word, source or place in the file.

A model that learns such a thing looks good on rows that have it, and fails on those that do not. Not here: what the
words of a prompt tell, which is the task (`luthier.checks.baselines`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.checks.check import Corpus, number, span
from luthier.checks.classify import FOLDS
from luthier.stats import Interval, wilson
from luthier.types import Issue

Ints = NDArray[np.int64]

FEWEST = 50
"""Training rows below which nothing is said."""
CLEAR = 0.05
"""Share of the majority's mistakes that must surely be gone before an effect is told; chance alone stays below."""
WORRYING = 0.25
"""Share from which an effect is flagged: first words tell 2 % of banking77's intents."""
SHOWN = 10
"""Rows shown of what an effect concerns."""
_BANDS = 32
_WORDS = 1000
_LABELS = 1000
"""Commonest labels that are looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Training rows with a label."""

    places: Ints
    """(n,) rows of the corpus."""
    label: Ints
    """(n,) index into `labels`."""
    labels: tuple[str, ...]
    fold: Ints
    """(n,) in [0, FOLDS); rows of one prompt share it."""

    @property
    def majority(self) -> float:
        """The share of the commonest label."""
        return float(np.bincount(self.label).max() / len(self.label))


@dataclass(frozen=True, slots=True, eq=False)
class _Trait:
    """Something about a row other than what it says."""

    name: str
    cell: Ints
    """(n,) which of its values each row has; 0 where that is too rare to tell anything."""
    values: tuple[str, ...]
    """What each cell is called."""


def shortcut(corpus: Corpus) -> Iterator[Issue]:
    """One Issue for each trait that predicts labels of held-out rows clearly better than the commonest label does, and
    one where the rows are sorted by label."""
    rows = _labelled(corpus)
    if rows is None or len(rows.places) < FEWEST or len(rows.labels) < 2:
        return
    for trait in (_length(corpus, rows), _first_word(corpus, rows), _source(corpus, rows)):
        if len(trait.values) > 2 and (issue := _told(corpus, rows, trait)):
            yield issue
    yield from _sorted(corpus, rows)


def _labelled(corpus: Corpus) -> _Rows | None:
    """The training rows of the commonest labels."""
    counts: dict[str, int] = {}
    for row in (corpus.rows[at] for at in corpus.of("train")):
        if row.label is not None:
            counts[row.label] = counts.get(row.label, 0) + 1
    labels = sorted(sorted(counts), key=lambda name: -counts[name])[:_LABELS]
    index = {name: at for at, name in enumerate(labels)}
    places = np.array([at for at in corpus.of("train") if corpus.rows[at].label in index], np.int64)
    if not len(places):
        return None
    label = np.array([index[corpus.rows[at].label or ""] for at in places], np.int64)
    return _Rows(places, label, tuple(labels), (corpus.keys[places] % np.uint64(FOLDS)).astype(np.int64))


def _length(corpus: Corpus, rows: _Rows) -> _Trait:
    """Characters of the whole prompt, in bands of about as many rows each."""
    lengths = np.array([sum(len(turn.content) for turn in corpus.rows[at].prompt) for at in rows.places])
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, _BANDS + 1), method="lower"))
    names = [
        f"{span(low, high)} characters" for low, high in zip(edges, [*(edges[1:] - 1), lengths.max()], strict=True)
    ]
    return _Trait("length", np.searchsorted(edges, lengths, side="right"), ("", *names))


def _first_word(corpus: Corpus, rows: _Rows) -> _Trait:
    """The first word of the last turn, if it begins FOLDS rows or more and is among the commonest."""
    hashes = np.array(
        [number(_begins(corpus, at)) for at in corpus.each(rows.places.tolist(), "first words")], np.uint64
    )
    _, first, place, counts = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    common = np.argsort(-counts, kind="stable")[:_WORDS]
    common = common[counts[common] >= FOLDS]
    cell = np.zeros(len(counts), np.int64)
    cell[common] = np.arange(1, len(common) + 1)
    names = [f"first word {_begins(corpus, int(rows.places[first[at]]))!r}" for at in common]
    return _Trait("first word", cell[place.reshape(-1)], ("", *names))


def _begins(corpus: Corpus, at: int) -> str:
    words = corpus.rows[at].question.split(None, 1)
    return words[0].casefold() if words else ""


def _source(corpus: Corpus, rows: _Rows) -> _Trait:
    """The file or hub name a row was read from."""
    names = sorted({corpus.rows[at].source for at in rows.places})
    index = {name: at for at, name in enumerate(names, 1)}
    cell = np.array([index[corpus.rows[at].source] for at in rows.places], np.int64)
    return _Trait("source", cell, ("", *(f"source {name}" for name in names)))


def _told(corpus: Corpus, rows: _Rows, trait: _Trait) -> Issue | None:
    """An Issue where the trait predicts clearly better than the commonest label."""
    right, count = _right(rows, trait.cell), len(rows.label)
    found = wilson(right, count)
    gain = _gain(found.low, rows.majority)
    if gain < CLEAR:
        return None
    cell, label, here, have = _clearest(rows, trait)
    shown = rows.places[(trait.cell == cell) & (rows.label == label)][:SHOWN]
    return Issue(
        check="shortcut",
        examples=tuple(corpus.rows[at].id for at in shown),
        severity=0.1 + 0.8 * gain,
        flagged=gain >= WORRYING,
        why=f"the {trait.name} alone predicts the label of {_words(found)} of {count:,} training rows, each judged "
        f"by a model that had not seen it, the commonest label {100 * rows.majority:.1f} %: of {here:,} rows with "
        f"{trait.values[cell]}, {have:,} have {rows.labels[label]!r}",
        remedy=f"add rows in which the {trait.name} does not go with the label, or learn from rows that agree in it",
    )


def _right(rows: _Rows, cell: Ints) -> int:
    """Rows whose label is the commonest of their cell, or of all where the cell is empty, in the other folds."""
    classes = len(rows.labels)
    code = cell * classes + rows.label
    size = int(cell.max() + 1) * classes
    total = np.bincount(code, minlength=size)
    right = 0
    for fold in range(FOLDS):
        held = rows.fold == fold
        rest = (total - np.bincount(code[held], minlength=size)).reshape(-1, classes)
        guess = np.where(rest.any(axis=1), rest.argmax(axis=1), rest.sum(axis=0).argmax())
        right += int((guess[cell[held]] == rows.label[held]).sum())
    return right


def _clearest(rows: _Rows, trait: _Trait) -> tuple[int, int, int, int]:
    """The value that tells most: cell, its label, its rows, and those of them with the label."""
    classes = len(rows.labels)
    table = np.bincount(trait.cell * classes + rows.label, minlength=len(trait.values) * classes)
    table = table.reshape(-1, classes)[1:]
    beyond = table.max(axis=1) - table.sum(axis=1) * rows.majority
    best = int(beyond.argmax())
    label = int(table[best].argmax())
    return best + 1, label, int(table[best].sum()), int(table[best, label])


def _sorted(corpus: Corpus, rows: _Rows) -> Iterator[Issue]:
    """Rows that mostly have the label of the row before them. Harmless while rows are drawn; not for `limit`."""
    same = rows.label[1:] == rows.label[:-1]
    found = wilson(int(same.sum()), len(same))
    gain = _gain(found.low, rows.majority)
    if gain < WORRYING:
        return
    at = np.flatnonzero(~same)[: SHOWN // 2]
    shown = rows.places[np.unique(np.concatenate((at, at + 1)))] if len(at) else rows.places[:1]
    yield Issue(
        check="shortcut",
        examples=tuple(corpus.rows[place].id for place in shown),
        severity=0.2 * gain,
        flagged=True,
        why=f"the row before has the same label for {_words(found)} of {len(same):,} rows, the commonest label "
        f"{100 * rows.majority:.1f} %: the rows are sorted by label",
        remedy="shuffle the file if it is ever cut by place (`limit`, head); training here draws the rows anyway",
    )


def _gain(accuracy: float, majority: float) -> float:
    """Share of the majority's mistakes that an accuracy does without."""
    return (accuracy - majority) / (1 - majority) if majority < 1 else 0.0


def _words(found: Interval) -> str:
    return f"{100 * found.value:.1f} % ({100 * found.low:.1f} to {100 * found.high:.1f})"
