"""Who carries the loss: a heavy source, label or tail is told, and what is in proportion is not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_tokenizers import CHATML, tiny

from luthier.checks.check import CheckOptions, Corpus
from luthier.checks.shares import bands, dominant, loss_shares, measured, portions
from luthier.types import Completion, Example, Message


def row(name: str, answer: str, *, label: str | None = None, weight: float = 1.0) -> Example:
    said = Completion((Message("assistant", answer, weight=weight),))
    return Example(name, (Message("user", f"Ask {name}"),), (said,), label=label, source=name.split(":")[0])


SHORT = [row(f"short.csv:{at}", "ten chars.") for at in range(1, 91)]
LONG = [row(f"long.csv:{at}", "ten chars." * 40) for at in range(1, 11)]


def test_a_source_of_few_long_answers_is_told_with_both_shares() -> None:
    heavy = next(issue for issue in dominant(Corpus({"train": SHORT + LONG})) if "source" in issue.why)
    assert "'long.csv' are 10.0% of train, yet carry 82% of the learned characters" in heavy.why
    assert set(heavy.examples) == {example.id for example in LONG}
    assert heavy.flagged


def test_the_longest_rows_are_told_where_they_carry_most() -> None:
    rows = [*SHORT, *(replace(example, source="short.csv") for example in LONG[:5])]
    (issue,) = dominant(Corpus({"train": rows}))
    assert "the longest 5% of the rows" in issue.why
    assert set(issue.examples) < {example.id for example in LONG}


def test_a_label_that_is_written_at_length_outweighs_another() -> None:
    rows = [row(f"a.csv:{at}", answer, label=answer) for at, answer in enumerate(["no", "yes, and at length"] * 20)]
    (issue,) = dominant(Corpus({"train": rows}))
    assert "the label 'yes, and at length' are 50.0% of train, yet carry 90%" in issue.why


@pytest.mark.parametrize(
    "rows",
    [
        SHORT,
        SHORT + [replace(example, source="other.csv") for example in SHORT[:9]],
        [replace(example, source=name) for example, name in zip(SHORT, "ab" * 45, strict=True)],
        [*SHORT, *(row(f"long.csv:{at}", "ten chars." * 40, weight=0.01) for at in range(9))],
        LONG[:1],
    ],
    ids=["one source", "one large source", "two alike", "long rows of small weight", "one row"],
)
def test_control_what_is_in_proportion_is_not_told(rows: list[Example]) -> None:
    assert not list(dominant(Corpus({"train": rows})))


def test_shares_sum_to_one_and_turns_that_are_not_learned_do_not_count() -> None:
    asked = (Message("assistant", "Hello, what is it?", train=False), Message("user", "A long question " * 9))
    rejected = Completion((Message("assistant", "no " * 99),), 0.0)
    pair = replace(SHORT[0], id="pair.csv:1", prompt=asked, completions=(*SHORT[0].completions, rejected))
    corpus = Corpus({"train": [*SHORT[1:], pair, *LONG], "test": LONG})
    learned = measured(corpus)
    assert sorted(set(learned.amount)) == [10, 400]
    by_source = portions(corpus, learned, lambda example: example.source)
    assert [(some.name, some.rows) for some in by_source] == [("long.csv", 10), ("short.csv", 90)]
    for some in (by_source, list(bands(learned))):
        assert sum(one.of_loss for one in some) == pytest.approx(1)
        assert sum(one.of_rows for one in some) == pytest.approx(1)
        assert sum(one.rows for one in some) == 100


def test_tokens_are_counted_where_a_model_is_named_and_on_a_sample_of_many_rows() -> None:
    rows = [row(f"a.csv:{at}", "ten chars." * (1 + at % 2)) for at in range(150)]
    corpus = Corpus({"train": rows}, CheckOptions(sample=100), tokenizer=tiny(CHATML))
    learned = measured(corpus)
    assert (learned.unit, learned.sampled, len(learned.places)) == ("tokens", True, 100)
    assert set(learned.amount) == {9, 18}
    assert "a sample of 100 rows" in list(loss_shares(corpus))[-1].note


def test_the_survey_shows_sources_only_where_there_are_several() -> None:
    assert [table.columns[0] for table in loss_shares(Corpus({"train": SHORT}))] == ["learned characters"]
    source, length = loss_shares(Corpus({"train": SHORT + LONG}))
    assert source.rows == (("long.csv", 10, 10.0, 81.63), ("short.csv", 90, 90.0, 18.37))
    assert [line[0] for line in length.rows] == ["10", "400"]
    assert not list(loss_shares(Corpus({"train": []})))


def test_shuffled_rows_give_the_same_issues() -> None:
    assert list(dominant(Corpus({"train": SHORT + LONG}))) == list(dominant(Corpus({"train": (SHORT + LONG)[::-1]})))
