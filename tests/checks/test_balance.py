"""Balance: rare, missing and single labels are told by name and number, and even labels are not."""

from __future__ import annotations

import random

import pytest

from luthier.checks.balance import (
    RARE,
    SHOWN,
    TOGETHER,
    counts,
    effective,
    imbalance,
    missing_label,
    one_label,
    rare_label,
)
from luthier.checks.check import Check, Corpus
from luthier.types import Completion, Example, Message


def row(name: str, answer: str, *, label: bool = True, learned: bool = False, rejected: str | None = None) -> Example:
    prompt = [Message("user", f"Question {name}?")]
    prompt += [Message("assistant", f"Turn {name}"), Message("user", "And?")] if learned else []
    others = () if rejected is None else (Completion((Message("assistant", rejected),), 0.0),)
    completions = (Completion((Message("assistant", answer),)), *others)
    return Example(name, tuple(prompt), completions, label=answer if label else None, source=name.split(":")[0])


def labelled(part: str, **sizes: int) -> list[Example]:
    names = [label for label, size in sizes.items() for _ in range(size)]
    return [row(f"{part}:{at}", label) for at, label in enumerate(names, 1)]


def corpus(**splits: list[Example]) -> Corpus:
    return Corpus(splits)


EVEN = labelled("train", lost=20, stolen=25, fees=30)


def test_the_effective_number_is_the_number_of_even_labels_and_one_for_a_single_one() -> None:
    assert effective([7, 7, 7, 7]) == pytest.approx(4)
    assert effective([9]) == effective([9, 0]) == pytest.approx(1)
    assert effective([90, 10]) == pytest.approx(1.384, abs=1e-3)


def test_a_label_with_few_rows_is_told_with_all_of_them_and_fewer_are_worse() -> None:
    rows = [*EVEN, *(row(f"more:{at}", "atm") for at in range(RARE - 1)), row("more:9", "cash")]
    few, one = rare_label(corpus(train=rows))
    assert few.examples == tuple(f"more:{at}" for at in range(RARE - 1))
    assert "'cash' has 1 row of train" in one.why
    assert 0 < few.severity < one.severity < 1
    assert not list(rare_label(corpus(train=EVEN, test=[row("test:1", "atm")])))
    assert not list(rare_label(corpus(train=[row("train:1", "free text", label=False)])))


def test_very_many_rare_labels_are_one_issue() -> None:
    (issue,) = rare_label(corpus(train=[row(f"train:{at}", f"label {at}") for at in range(TOGETHER + 1)]))
    assert f"{TOGETHER + 1} of {TOGETHER + 1} labels" in issue.why
    assert len(issue.examples) == SHOWN


def test_imbalance_is_told_with_its_numbers_and_is_flagged_where_few_labels_hold_most_rows() -> None:
    (issue,) = imbalance(corpus(train=labelled("train", common=95, rare=5)))
    assert issue.flagged
    assert "95 rows of train and 'rare' 5" in issue.why
    assert "worth 1.2 of one size" in issue.why
    assert "right for 95%" in issue.why
    assert len(issue.examples) == 5
    (mild,) = imbalance(corpus(train=labelled("train", **{f"l{at}": 50 for at in range(30)}, small=5)))
    assert not mild.flagged
    assert mild.severity < issue.severity
    assert not list(imbalance(corpus(train=EVEN)))
    assert not list(imbalance(corpus(train=[])))


def test_a_label_of_train_that_a_split_never_asks_for_is_told_once_a_split() -> None:
    (issue,) = missing_label(corpus(train=EVEN, validation=labelled("v", lost=2, stolen=1, fees=1), test=EVEN[:30]))
    assert "1 of the 3 labels of train never stand in test" in issue.why
    assert "'fees'" in issue.why
    assert issue.examples == ("train:46",)
    assert not list(missing_label(corpus(train=EVEN)))
    assert not list(missing_label(corpus(train=EVEN, test=labelled("test", lost=1, stolen=1, fees=1, new=1))))


def test_one_label_or_one_answer_in_train_leaves_nothing_to_learn() -> None:
    for label in (True, False):
        (issue,) = one_label(corpus(train=[row(f"train:{at}", "Yes.", label=label) for at in range(9)]))
        assert issue.severity == 1.0
        assert issue.flagged
        assert "nothing to learn" in issue.why
        assert ("label" if label else "answer") in issue.why
    (held,) = one_label(corpus(train=EVEN, test=labelled("test", lost=9)))
    assert held.severity < 1
    assert "rows of test" in held.why


@pytest.mark.parametrize(
    "rows",
    [
        EVEN,
        [row("train:1", "Yes.")],
        [row(f"train:{at}", "You are welcome.", label=False, learned=True) for at in range(9)],
        [row(f"train:{at}", "I cannot.", label=False, rejected=f"Sure: {at}") for at in range(9)],
    ],
    ids=["even labels", "one row", "conversations that end alike", "pairs with one refusal"],
)
def test_control_what_still_teaches_is_not_one_answer(rows: list[Example]) -> None:
    assert not list(one_label(corpus(train=rows)))


def test_the_count_shows_the_commonest_and_the_rarest_and_sums_the_rest() -> None:
    sizes = {f"l{at:02}": 100 - at for at in range(40)}
    (table,) = counts(corpus(train=labelled("train", **sizes), test=labelled("test", l00=3)))
    assert table.columns == ("label", "train", "test", "rows")
    assert len(table.rows) == SHOWN
    assert table.rows[0] == ("l00", 100, 3, 103)
    assert table.rows[-1] == ("l39", 61, 0, 61)
    between = sum(100 - at for at in range(15, 25))
    assert f"10 labels between these have {between} rows together" in table.note
    assert "rarest there is 'l39' with 61 rows" in table.note
    assert not list(counts(corpus(train=[row("train:1", "text", label=False)])))


def test_shuffled_rows_give_the_same_issues() -> None:
    rows = labelled("train", common=95, rare=4, odd=2)
    shuffled = random.Random(0).sample(rows, len(rows))
    for find in (rare_label, imbalance, missing_label, one_label):
        given = [Corpus({"train": some, "test": rows[:1]}) for some in (rows, shuffled)]
        assert Check(find, "").find(given[0]) is not None
        assert list(find(given[0])) == list(find(given[1]))
