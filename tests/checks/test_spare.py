"""Which of rows that say the same stays: the better one, in any order; a lone voice goes unless a model is for it."""

import random

import pytest

from luthier.checks import Corpus
from luthier.checks.check import Evidence
from luthier.checks.spare import outvoted, spare_copies, spare_near
from luthier.types import Completion, Example, Message


def row(name: str, text: str, label: str, **meta: str) -> Example:
    completion = Completion((Message("assistant", label),))
    return Example(name, (Message("user", text),), (completion,), label=label, meta=meta)


VOTES = [row("t:1", "what is it", "dog"), row("t:2", "What is it?", "dog"), row("t:3", "what is it!", "cat")]


@pytest.mark.parametrize(
    ("evidence", "gone"),
    [
        (Evidence(), ["t:3"]),
        (Evidence(likelier={"t:3": "dog"}, judged=frozenset({"t:1", "t:2", "t:3"})), ["t:3"]),
        (Evidence(judged=frozenset({"t:1", "t:2", "t:3"})), []),  # the model finds the lone label likeliest
        (Evidence(likelier={"t:3": "cow"}, judged=frozenset({"t:3"})), []),
    ],
)
def test_a_lone_voice_goes_unless_a_model_of_the_other_rows_is_not_against_it(evidence, gone):
    assert [one.row for one in outvoted(Corpus({"train": VOTES}), evidence)] == gone


def test_a_held_out_row_is_not_outvoted_by_training_rows():
    assert not list(outvoted(Corpus({"train": VOTES[:2], "test": VOTES[2:]}), Evidence()))


def test_one_in_ten_may_be_outvoted_and_no_more():
    rows = [row(f"t:{n}", "what is it", "dog" if n >= 2 else "cat") for n in range(20)]
    assert {one.row for one in outvoted(Corpus({"train": rows}), Evidence())} == {"t:0", "t:1"}
    assert not list(outvoted(Corpus({"train": rows[:19]}), Evidence()))


def test_of_copies_the_least_doubted_stays_then_the_fuller_then_the_first():
    rows = [row("t:1", "a b c", "x"), row("t:2", "a b c", "x", by="ann"), row("t:3", "A b c", "x", by="bob")]
    assert {one.kept for one in spare_copies(Corpus({"train": rows}), Evidence())} == {"t:2"}
    assert {one.kept for one in spare_copies(Corpus({"train": rows}), Evidence({"t:2": 1}))} == {"t:3"}


def test_of_rows_nearly_the_same_those_that_stay_are_alike_to_none_that_stays_in_any_order():
    words = [f"w{n}" for n in range(60)]
    texts = [" ".join(words[start : start + 40]) for start in range(0, 12)]  # each like its neighbours alone
    kept = []
    for seed in range(4):
        drawn = random.Random(seed).sample(texts, len(texts))
        corpus = Corpus({"train": [row(f"t:{n}", text, "x") for n, text in enumerate(drawn, 1)]})
        spare = {one.row: one.kept for one in spare_near(corpus, Evidence())}
        assert not set(spare) & set(spare.values())
        kept.append(sorted(text for n, text in enumerate(drawn, 1) if f"t:{n}" not in spare))
    assert len({tuple(one) for one in kept}) == 1
