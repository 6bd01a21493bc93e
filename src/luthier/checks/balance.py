"""How evenly the rows lie over labels and splits.

Not here: what carries the loss (`shares`), held-out labels that training never shows (`splits`), how labels are written
(`names`), and where inputs are few (`coverage`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from math import exp, log

import numpy as np

from luthier.checks.check import Corpus, Table
from luthier.checks.names import miswritten
from luthier.data.split import PARTS
from luthier.types import Completion, Example, Issue
from luthier.words import counted

SHOWN = 30
"""Lines of a table, and rows an Issue names where they stand for many."""
RARE = 5
"""Rows of training below which a label can hardly be learned."""
TOGETHER = 50
"""Rare labels above which one Issue names them all."""
UNEVEN = 10.0
"""Rows of the largest label over those of the smallest, from which it is told."""
EFFECTIVE = 0.8
"""Share of the labels that the effective number must reach."""


def counts(corpus: Corpus) -> Iterator[Table]:
    """Rows by label and split: the commonest and the rarest, with the effective number of labels."""
    by_part = {part: labels(corpus, part) for part in PARTS if len(corpus.of(part))}
    total = Counter[str]()
    for some in by_part.values():
        total.update(some)
    if not total:
        return
    names = sorted(total, key=lambda name: (-total[name], name))
    shown = names if len(names) <= SHOWN else names[: SHOWN // 2] + names[-SHOWN // 2 :]
    yield Table(
        title="Rows by label",
        columns=("label", *by_part, "rows"),
        rows=tuple((name, *(some[name] for some in by_part.values()), total[name]) for name in shown),
        note=_note(by_part.get("train") or total, total, shown),
        chart="bars",
    )


def rare_label(corpus: Corpus) -> Iterator[Issue]:
    """Labels with fewer than RARE rows of training; one Issue a label, or one for all where there are very many.

    Not those that `names` tells of, since they want writing rather than more rows.
    """
    train = corpus.labelled("train")
    rare = {label: names for label, names in sorted(train.items()) if len(names) < RARE}
    if len(rare) > TOGETHER:
        yield Issue(
            check="rare_label",
            examples=tuple(names[0] for names in islice(rare.values(), SHOWN)),
            severity=0.6,
            flagged=True,
            why=f"{len(rare):,} of {len(train):,} labels have fewer than {RARE} rows of train each, too few to learn "
            "them from",
            remedy="join labels that mean the same, or read the column as text if it holds no labels",
        )
        return
    told = miswritten(corpus)
    for label, names in rare.items():
        if label in told:
            continue
        yield Issue(
            check="rare_label",
            examples=tuple(names),
            severity=round(0.6 - 0.1 * len(names), 3),
            flagged=True,
            why=f"the label {label!r} has {counted(len(names), 'row')} of train, too few to learn it from",
            remedy=f"label more rows of {label!r}, or join it with another label",
        )


def imbalance(corpus: Corpus) -> Iterator[Issue]:
    """The largest label far above the smallest; flagged where all labels are worth much fewer of one size."""
    train = labels(corpus, "train")
    names = sorted(train, key=lambda name: (-train[name], name))
    if not names or train[names[0]] < UNEVEN * train[names[-1]]:
        return
    largest, smallest, worth = names[0], names[-1], effective(train.values())
    share = train[largest] / sum(train.values())
    held = (row.id for row in (corpus.rows[at] for at in corpus.of("train")) if row.label == smallest)
    yield Issue(
        check="imbalance",
        examples=tuple(islice(held, SHOWN)),
        severity=round(min(0.7, 1 - worth / len(train)), 3),
        flagged=worth < EFFECTIVE * len(train),
        why=f"the label {largest!r} has {counted(train[largest], 'row')} of train and {smallest!r} "
        f"{train[smallest]:,}: the {len(train)} labels are worth {worth:.1f} of one size, and always answering "
        f"{largest!r} is right for {share:.0%}",
        remedy="label more rows of the rare labels, or cap the common ones; judge by macro-F1 rather than accuracy",
    )


def missing_label(corpus: Corpus) -> Iterator[Issue]:
    """Labels of train that a validation or test split never asks for; one Issue a split, with a row of each."""
    first = {label: names[0] for label, names in corpus.labelled("train").items()}
    for part in ("validation", "test"):
        asked = labels(corpus, part)
        absent = sorted(first.keys() - asked.keys())
        if asked and absent:
            more = f" and {len(absent) - 5} more" if len(absent) > 5 else ""
            yield Issue(
                check="missing_label",
                examples=tuple(first[label] for label in absent[:SHOWN]),
                severity=round(0.2 + 0.3 * len(absent) / len(first), 3),
                flagged=True,
                why=f"{len(absent)} of the {len(first)} labels of train never stand in {part}, so they are never "
                f"judged there: {', '.join(map(repr, absent[:5]))}{more}",
                remedy=f"add rows of these labels to {part}",
            )


def one_label(corpus: Corpus) -> Iterator[Issue]:
    """A split whose rows all have one label or one answer: in train nothing can be learned, else nothing judged."""
    for part in PARTS:
        places = corpus.of(part)
        if len(places) < 2 or len(np.unique(corpus.answers[places.start : places.stop])) > 1:
            continue
        first = corpus.rows[places.start]
        if any(_has_more(corpus.rows[at], first) for at in places):
            continue
        what = "answer" if first.label is None else "label"
        trained = part == "train"
        so = "there is nothing to learn" if trained else "a model that always says so is right"
        yield Issue(
            check="one_label",
            examples=tuple(corpus.rows[at].id for at in places[:SHOWN]),
            severity=1.0 if trained else 0.6,
            flagged=True,
            why=f"all {counted(len(places), 'row')} of {part} have the {what} {short(first.answer)!r}, so {so}",
            remedy=f"add rows with other {what}s, or name the column that holds the wanted answer",
        )


def labels(corpus: Corpus, part: str) -> Counter[str]:
    """Rows of a split by label; rows without one are not counted."""
    found = Counter(corpus.rows[at].label for at in corpus.of(part))
    return Counter({label: count for label, count in found.items() if label is not None})


def effective(sizes: Iterable[int]) -> float:
    """Classes of one size that would be as hard to guess: exp of the entropy. Source: Hill 1973, order 1."""
    held = [size for size in sizes if size]
    total = sum(held)
    return exp(-sum(size / total * log(size / total) for size in held))


def short(text: str, cap: int = 60) -> str:
    """The beginning of a text, on one line."""
    line = " ".join(text[: 4 * cap].split())
    return line if len(line) <= cap else line[: cap - 1] + "…"


def _note(train: Counter[str], total: Counter[str], shown: list[str]) -> str:
    rarest = min(train, key=lambda name: (train[name], name))
    left, rows = len(total) - len(shown), total.total() - sum(total[name] for name in shown)
    between = f" {left:,} labels between these have {counted(rows, 'row')} together." if left else ""
    return (
        f"{len(total):,} labels, in training worth {effective(train.values()):.1f} of one size; the rarest there is "
        f"{rarest!r} with {counted(train[rarest], 'row')}.{between}"
    )


def _has_more(row: Example, first: Example) -> bool:
    """Whether a row holds something to learn beside the first row's answer: turns before it, or another to weigh."""
    if any(turn.role == "assistant" and turn.train is not False and turn.weight for turn in row.prompt):
        return True
    return _texts(row.completions) != _texts(first.completions)


def _texts(completions: tuple[Completion, ...]) -> list[tuple[float, list[str]]]:
    return [(one.score, [" ".join(turn.content.split()) for turn in one.messages]) for one in completions]
