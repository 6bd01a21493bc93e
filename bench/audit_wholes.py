"""Defects of labels, splits, pairs and of the whole, put into real rows; see `audit_plants`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from random import Random

import numpy as np
from audit_plants import K, Maker, Plant, Planted, Rows, Side, over, planted, relabelled, reworded, sampled
from audit_rows import EVERY, TEXTS

from luthier.checks.check import CheckOptions, Corpus
from luthier.model.load import ModelOptions, load_tokenizer
from luthier.types import Completion, Example, Message


def flipped(rows: Rows, rng: Random) -> Planted:
    """One label in twenty drawn anew among the others."""
    labels = sorted({row.label or "" for row in rows.train})
    chosen = set(rng.sample(range(len(rows.train)), len(rows.train) // 20))
    train = [
        relabelled(row, rng.choice([name for name in labels if name != row.label])) if at in chosen else row
        for at, row in enumerate(rows.train)
    ]
    return planted(rows, train, (rows.train[at].id for at in chosen))


def confused(rows: Rows, rng: Random) -> Planted:
    """One label in twenty becomes the label whose rows are nearest to its own, by the words on average."""
    nearest = neighbours(rows.train)
    chosen = set(rng.sample(range(len(rows.train)), len(rows.train) // 20))
    train = [relabelled(row, nearest[row.label or ""]) if at in chosen else row for at, row in enumerate(rows.train)]
    return planted(rows, train, (rows.train[at].id for at in chosen))


def neighbours(rows: Sequence[Example]) -> dict[str, str]:
    """For each label the one with the likest words: cosine of the mean TF-IDF."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    labels = np.array([row.label or "" for row in rows])
    words = TfidfVectorizer(sublinear_tf=True).fit_transform([row.question for row in rows])
    names = sorted(set(labels.tolist()))
    means = np.stack([np.asarray(words[np.flatnonzero(labels == name)].mean(axis=0)).ravel() for name in names])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    alike = means @ means.T - 2 * np.eye(len(names))
    return {name: names[int(at)] for name, at in zip(names, alike.argmax(axis=1), strict=True)}


def rare(rows: Rows, rng: Random) -> Planted:
    """Five labels left with three rows each."""
    names = set(rng.sample(sorted({row.label or "" for row in rows.train}), 5))
    kept = {row.id for name in names for row in islice((row for row in rows.train if row.label == name), 3)}
    return planted(rows, (row for row in rows.train if row.label not in names or row.id in kept), kept)


def misspelt(rows: Rows, rng: Random) -> Planted:
    """K labels in capitals or with a blank more."""
    chosen = set(rng.sample(range(len(rows.train)), K))
    train = [relabelled(row, (row.label or "").upper()) if at in chosen else row for at, row in enumerate(rows.train)]
    return planted(rows, train, (rows.train[at].id for at in chosen))


def slipped(rows: Rows, rng: Random) -> Planted:
    """A row each of fifty labels whose label has two letters swapped, one left out or one twice, not the first."""
    names = rng.sample(sorted({row.label or "" for row in rows.train}), 50)
    chosen = [rng.choice([at for at, row in enumerate(rows.train) if row.label == name]) for name in names]
    train = list(rows.train)
    for at, name in zip(chosen, names, strict=True):
        train[at] = relabelled(train[at], _slip(name, rng))
    return planted(rows, train, (rows.train[at].id for at in chosen))


def _slip(label: str, rng: Random) -> str:
    word = rng.choice([word for word in label.split("_") if len(word) >= 5] or [label])
    at = rng.choice([at for at in range(1, len(word) - 1) if word[at] != word[at + 1]])
    swapped = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    wrong = rng.choice([swapped, word[:at] + word[at + 1 :], word[: at + 1] + word[at:]])
    return label.replace(word, wrong, 1)


def several(rows: Rows, rng: Random) -> Planted:
    """Fifty rows with a second label in the cell."""
    labels = sorted({row.label or "" for row in rows.train})
    chosen = set(rng.sample(range(len(rows.train)), 50))
    train = [
        relabelled(row, f"{row.label}{rng.choice(';|,')}{rng.choice([name for name in labels if name != row.label])}")
        if at in chosen
        else row
        for at, row in enumerate(rows.train)
    ]
    return planted(rows, train, (rows.train[at].id for at in chosen))


def unlabelled(rows: Rows, rng: Random) -> Planted:
    """Five rows each of four labels that say that there is none."""
    chosen = rng.sample(range(len(rows.train)), 20)
    train = list(rows.train)
    for place, at in enumerate(chosen):
        train[at] = relabelled(train[at], ("none", "nan", "#N/A", "TODO")[place % 4])
    return planted(rows, train, (rows.train[at].id for at in chosen))


def unknown(rows: Rows, rng: Random) -> Planted:
    """K test rows with labels that training does not have."""
    chosen = set(rng.sample(range(len(rows.test)), K))
    test = [relabelled(row, f"new_{at % 3}") if at in chosen else row for at, row in enumerate(rows.test)]
    return planted(rows, rows.train, (rows.test[at].id for at in chosen), test=test)


def foreign(rows: Rows, rng: Random) -> Planted:
    """K test rows of another data set."""
    some = [replace(row, id=f"planted.csv:{at}") for at, row in enumerate(sampled(rows.foreign, rng), 1)]
    return planted(rows, rows.train, (row.id for row in some), test=[*rows.test, *some])


def skewed(rows: Rows, rng: Random) -> Planted:
    """Three labels keep all their rows, the others one in ten."""
    large = set(rng.sample(sorted({row.label or "" for row in rows.train}), 3))
    return planted(rows, (row for row in rows.train if row.label in large or rng.random() < 0.1))


def never_asked(rows: Rows, rng: Random) -> Planted:
    """Two labels gone from the test rows."""
    gone = set(rng.sample(sorted({row.label or "" for row in rows.test}), 2))
    return planted(rows, rows.train, test=[row for row in rows.test if row.label not in gone])


def alone(rows: Rows, rng: Random) -> Planted:
    """Every row of training says the same."""
    answer = rng.choice(rows.train).answer
    return planted(rows, (reworded(row, lambda _: answer, "answer") for row in rows.train))


def heavy(rows: Rows, rng: Random) -> Planted:
    """One answer in thirty becomes fifty times as long."""
    chosen = set(rng.sample(range(len(rows.train)), len(rows.train) // 30))
    return planted(
        rows,
        (
            reworded(row, lambda text: f"{text} " * 50, "answer") if at in chosen else row
            for at, row in enumerate(rows.train)
        ),
    )


def biased(rows: Rows, rng: Random) -> Planted:
    """A column by chance; under one of its values a third of the rows get one label."""
    options = CheckOptions(slices=("who",))
    whos = [replace(row, meta={"who": rng.choice(["a", "b", "c"])}) for row in rows.train]
    label = rng.choice(whos).label or ""
    bent = [relabelled(row, label) if row.meta["who"] == "a" and rng.random() < 0.33 else row for row in whos]
    clean = Corpus({"train": tuple(whos)}, options)
    return Planted(Corpus({"train": tuple(bent)}, options), clean)


def told_by_a_word(rows: Rows, rng: Random) -> Planted:
    """The first word tells the label in half of the rows."""
    words = {label: f"Ticket{at}" for at, label in enumerate(sorted({row.label or "" for row in rows.train}))}
    train = (
        reworded(row, lambda text, row=row: f"{words[row.label or '']} {text}") if rng.random() < 0.5 else row
        for row in rows.train
    )
    return planted(rows, train)


def ten_labels(rows: Rows) -> Rows:
    """The rows of ten labels: of 77 neither a length nor a file can tell more than a few."""
    names = set(sorted({row.label or "" for row in rows.train})[:10])
    return Rows(*(tuple(row for row in part if row.label in names) for part in (rows.train, rows.test)))


def told_by_length(every: Rows, rng: Random) -> Planted:
    """Half of the rows are as long as their label says."""
    rows = ten_labels(every)
    sizes = {label: 20 * at + 100 for at, label in enumerate(sorted({row.label or "" for row in rows.train}))}

    def sized(row: Example) -> Example:
        size = sizes[row.label or ""]
        return reworded(row, lambda text: f"{text} ".ljust(size, ".")[:size])

    return planted(rows, (sized(row) if rng.random() < 0.5 else row for row in rows.train))


def told_by_source(every: Rows, rng: Random) -> Planted:
    """Each of ten files has the rows of its own label, but for half of all rows."""
    rows = ten_labels(every)
    files = {label: at for at, label in enumerate(sorted({row.label or "" for row in rows.train}))}

    def file(row: Example) -> int:
        return files[row.label or ""] if rng.random() < 0.5 else rng.randrange(10)

    return planted(rows, (replace(row, source=f"{file(row)}.csv") for row in rows.train))


def told_by_order(rows: Rows, rng: Random) -> Planted:
    """The rows stand sorted by label."""
    ordered = sorted(rows.train, key=lambda row: row.label or "")
    return planted(rows, (replace(row, id=f"train.csv:{at}") for at, row in enumerate(ordered, 1)))


def alike_at_first(rows: Rows, rng: Random) -> Planted:
    """A third of the answers begin with the same sentence."""
    start = "Let us work through this problem carefully and step by step together. "
    return planted(
        rows, (reworded(row, lambda text: start + text, "answer") if rng.random() < 0.33 else row for row in rows.train)
    )


def alike_at_last(rows: Rows, rng: Random) -> Planted:
    """A third of the answers end with the same sentence."""
    close = "\n\nPlease let me know if there is anything else that I can do for you."
    return planted(
        rows, (reworded(row, lambda text: text + close, "answer") if rng.random() < 0.33 else row for row in rows.train)
    )


def straddling(rows: Rows, rng: Random) -> Planted:
    """Rows in groups of five within a split, but for K groups that have a test row."""
    train = [replace(row, group=f"train {at // 5}") for at, row in enumerate(rows.train)]
    test = [replace(row, group=f"test {at // 5}") for at, row in enumerate(rows.test)]
    clean = Corpus({"train": tuple(train), "test": tuple(test)})
    chosen = rng.sample(range(len(test)), K)
    for rank, at in enumerate(chosen):
        test[at] = replace(test[at], group=f"train {rank}")
    broken = Corpus({"train": tuple(train), "test": tuple(test)})
    return Planted(broken, clean, frozenset(test[at].id for at in chosen))


def too_long(rows: Rows, rng: Random) -> Planted:
    """K answers, or prompts of labels, of some thousand tokens, for a model that takes 2,000 of them."""
    tokenizer, _ = load_tokenizer(ModelOptions("smollm2-135m"))
    side: Side = "prompt" if rows.train[0].label is not None else "answer"
    chosen = set(rng.sample(range(len(rows.train)), K))
    train = [
        reworded(row, lambda text: f"{text} " * (2 + 16_000 // len(text)), side) if at in chosen else row
        for at, row in enumerate(rows.train)
    ]
    parts = (tuple(train), rows.train)
    broken, clean = (Corpus({"train": part}, tokenizer=tokenizer, max_length=2_000) for part in parts)
    return Planted(broken, clean, frozenset(rows.train[at].id for at in chosen))


def small(rows: Rows, rng: Random) -> Planted:
    """A test file of twelve rows."""
    return planted(rows, rows.train, test=rng.sample(rows.test, 12))


def early(rows: Rows, rng: Random) -> Planted:
    """Test rows are newer than training rows, but for one in ten."""
    options = CheckOptions(time="when")
    train = tuple(replace(row, meta={"when": f"2023-{1 + at % 12:02}-01"}) for at, row in enumerate(rows.train))
    test = tuple(replace(row, meta={"when": "2024-02-01"}) for row in rows.test)
    older = tuple(replace(row, meta={"when": "2023-03-05"}) if rng.random() < 0.1 else row for row in test)
    both = [Corpus({"train": train, "test": part}, options) for part in (older, test)]
    return Planted(both[0], both[1])


def pairs(change: Callable[[Example, Random], Iterator[Example]]) -> Maker:
    """K pairs broken, each into one row or several."""

    def plant(rows: Rows, rng: Random) -> Planted:
        chosen = set(rng.sample(range(len(rows.train)), K))
        train: list[Example] = []
        ids: list[str] = []
        for at, row in enumerate(rows.train):
            some = list(change(row, rng)) if at in chosen else [row]
            train += some
            ids += [one.id for one in some] if at in chosen else []
        return planted(rows, train, ids)

    return plant


def equal(row: Example, rng: Random) -> Iterator[Example]:
    """Both sides the same but for white space."""
    chosen = row.completions[0]
    copy = reworded(row, lambda text: f"{text} \n", "answer").completions[0]
    yield replace(row, completions=(chosen, replace(copy, score=0.0)))


def circular(row: Example, rng: Random) -> Iterator[Example]:
    """The pair, and the same the other way round."""
    chosen, rejected = row.completions
    turned: tuple[Completion, ...] = (replace(rejected, score=1.0), replace(chosen, score=0.0))
    yield row
    yield replace(row, id=f"planted-{row.id}", completions=turned)


def apart(row: Example, rng: Random) -> Iterator[Example]:
    """The chosen side goes on with a question that the rejected one does not have."""
    chosen, rejected = row.completions
    more = (Message("user", "And in winter?"), Message("assistant", "Just the same."))
    yield replace(row, completions=(replace(chosen, messages=(*chosen.messages, *more)), rejected))


def longer(rows: Rows, rng: Random) -> Planted:
    """The chosen side is written three times in most pairs."""
    return planted(
        rows,
        (
            reworded(row, lambda text: f"{text}\n\n{text}\n\n{text}", "answer") if rng.random() < 0.8 else row
            for row in rows.train
        ),
    )


def first(rows: Rows, rng: Random) -> Planted:
    """A column says that the winner was shown first in 7 of 10 pairs; without the defect in 5."""
    shown, even = (
        Corpus({"train": tuple(replace(row, meta={"winner": "ab"[rng.random() > share]}) for row in rows.train)})
        for share in (0.7, 0.5)
    )
    return Planted(shown, even)


WHOLES: tuple[Plant, ...] = (
    *over(EVERY, "cut_answer", "answers that do not fit", too_long),
    *over(EVERY, "group_leak", "groups in both splits", straddling),
    *over(EVERY, "time_leak", "1 test row in 10 older than training rows", early),
    *over(TEXTS, "boilerplate", "1 answer in 3 begins alike", alike_at_first),
    *over(TEXTS, "boilerplate", "1 answer in 3 ends alike", alike_at_last),
    Plant("shortcut", "a first word that tells the label", "banking77", told_by_a_word),
    Plant("shortcut", "a length that tells the label", "banking77", told_by_length),
    Plant("shortcut", "a source that tells the label", "banking77", told_by_source),
    Plant("shortcut", "rows sorted by label", "banking77", told_by_order),
    Plant("pair_equal", "sides that differ in white space", "hh-harmless", pairs(equal)),
    Plant("pair_cycle", "a pair and its reverse", "hh-harmless", pairs(circular)),
    Plant("pair_prompts", "a question on one side only", "hh-harmless", pairs(apart)),
    Plant("pair_longer", "the longer side preferred", "hh-harmless", longer),
    Plant("pair_position", "the first side preferred", "hh-harmless", first),
    Plant("labels_alike", "labels in capitals", "banking77", misspelt),
    Plant("misspelt_label", "labels with a slip of the pen", "banking77", slipped),
    Plant("joined_labels", "two labels in one cell", "banking77", several),
    Plant("placeholder", "labels such as none and #N/A", "banking77", unlabelled),
    Plant("unseen", "labels only in test", "banking77", unknown),
    Plant("rare_label", "labels with three rows", "banking77", rare),
    Plant("far_from_training", "GSM8K among the test rows", "banking77", foreign, bar=0),
    Plant("imbalance", "3 labels with most rows", "banking77", skewed),
    Plant("few", "a test file of 12 rows", "banking77", small),
    Plant("missing_label", "2 labels never asked", "banking77", never_asked),
    Plant("one_label", "one answer to everything", "gsm8k", alone),
    Plant("dominant", "1 answer in 30 fifty times as long", "gsm8k", heavy),
    Plant("slice_bias", "a label preferred under one value", "banking77", biased),
)
LABELS = (
    Plant("label_error", "1 label in 20 drawn anew", "banking77", flipped),
    Plant("label_error", "1 label in 20 changed to the nearest", "banking77", confused, bar=0),
)
