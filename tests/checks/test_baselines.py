"""Baselines are what they say, on the rows they say, and beat chance only where there is something to learn."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from luthier.checks import Corpus
from luthier.checks.baselines import Baseline, bar, baselines
from luthier.data.read import ReadOptions, read
from luthier.types import Completion, Example, Message

SHARED = Path(__file__).parents[3] / "shared" / "data"


def row(part: str, at: int, text: str, *answers: str) -> Example:
    completions = tuple(Completion((Message("assistant", answer),), 1.0 - n) for n, answer in enumerate(answers))
    return Example(f"{part}:{at}", (Message("user", text),), completions)


def labelled(part: str, count: int, *, informative: bool = True) -> list[Example]:
    rng = random.Random(part)
    rows = []
    for at in range(count):
        label = "good" if rng.random() < 0.6 else "bad"
        word = label if informative else rng.choice(["good", "bad"])
        rows.append(replace(row(part, at, f"{part} {at} is {word}", label), label=label))
    return rows


def found(**splits: Sequence[Example]) -> dict[tuple[str, str], Baseline]:
    corpus = Corpus(splits)
    assert baselines(corpus) == baselines(Corpus({part: rows[::-1] for part, rows in splits.items()}))
    return {(one.name, one.metric): one for one in baselines(corpus)}


def test_a_label_that_the_words_tell_is_learned_and_the_majority_is_counted() -> None:
    test = labelled("test", 100)
    got = found(train=labelled("train", 200), test=test)
    most = got["majority", "accuracy"]
    assert most.value == sum(one.label == "good" for one in test) / 100
    assert (most.n, most.part) == (100, "test")
    assert most.low < most.value < most.high
    assert got["TF-IDF + linear SVM", "accuracy"].value == 1
    assert got["TF-IDF + linear SVM", "macro_f1"].value == 1


def test_control_words_that_tell_nothing_do_not_beat_the_majority() -> None:
    got = found(train=labelled("train", 300, informative=False))
    assert got["TF-IDF + linear SVM", "accuracy"].low < got["majority", "accuracy"].value
    assert got["majority", "accuracy"].part == "train"
    assert got["majority", "accuracy"].n == 300


def test_validation_is_asked_where_there_is_no_test_and_unknown_labels_are_wrong() -> None:
    strange = [replace(one, label="odd") for one in labelled("validation", 30)]
    got = found(train=labelled("train", 100), validation=strange)
    assert {one.part for one in got.values()} == {"validation"}
    assert got["TF-IDF + linear SVM", "accuracy"].value == 0


def test_the_nearest_prompts_answer_is_given_and_any_right_answer_counts() -> None:
    train = [row("train", at, f"what is number {at}", f"the answer is {at}") for at in range(30)]
    test = [row("test", at, f"what is number {at}?", f"the answer is {at}") for at in range(20)]
    other = [row("test", at + 50, f"what is number {at}?", "something else") for at in range(20)]
    got = found(train=train, test=test + other)
    assert got["nearest neighbour's answer", "exact"].value == 1
    assert got["nearest neighbour's answer", "exact"].n == 20
    assert got["nearest neighbour's answer", "rougeL"].value == 1


def test_sums_are_judged_by_their_number_and_folds_do_not_see_their_own_row() -> None:
    train = [row("train", at, f"what is number {at}", f"it is #### {at}") for at in range(30)]
    got = found(train=train)
    assert list(got) == [("nearest neighbour's answer", "numeric")]
    assert got["nearest neighbour's answer", "numeric"].value == 0


def test_pairs_have_the_shorter_side_and_the_words_of_the_better_one() -> None:
    rng = random.Random(0)
    rows = [
        row("t", at, f"q{at}", "a kind answer" + " so" * rng.randint(0, 9), "a rude answer" + " so" * rng.randint(0, 9))
        for at in range(200)
    ]
    got = found(train=rows)
    assert got["Bradley-Terry over n-grams", "accuracy"].value > 0.95
    length = got["the shorter side wins", "accuracy"]
    assert length.low < 0.5 < length.high


def test_control_pairs_preferred_at_random_are_not_learned() -> None:
    rng = random.Random(0)
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight"]
    rows = [row("t", at, f"q{at}", *(" ".join(rng.choices(words, k=6)) for _ in range(2))) for at in range(300)]
    got = found(train=rows)
    assert got["Bradley-Terry over n-grams", "accuracy"].low < 0.5


def test_nothing_to_learn_from_is_no_error() -> None:
    assert not baselines(Corpus({}))
    assert not baselines(Corpus({"test": labelled("test", 10)}))
    assert not list(bar(Corpus({})))
    assert len(baselines(Corpus({"train": labelled("train", 1)}))) == 4
    assert len(baselines(Corpus({"train": [row("t", 1, "", "b")], "test": [row("u", 1, "", "b")]}))) == 3


def test_the_table_holds_every_baseline() -> None:
    corpus = Corpus({"train": labelled("train", 50), "test": labelled("test", 20)})
    (table,) = bar(corpus)
    assert [line[0] for line in table.rows] == [one.name for one in baselines(corpus)]
    assert "on the test rows" in table.note


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")
def test_the_bars_of_real_sets_are_those_that_are_known() -> None:
    options = ReadOptions(input="text", output="category")
    train, test = (read(str(SHARED / "banking77" / name), options).examples for name in ("train.csv", "test.csv"))
    assert found(train=train, test=test)["TF-IDF + linear SVM", "accuracy"].value >= 0.9117
    harmless = read(str(SHARED / "hh-harmless/test.jsonl.gz"), ReadOptions(skip_bad_rows=True)).examples
    got = found(train=harmless)
    assert got["the shorter side wins", "accuracy"].value == pytest.approx(0.553, abs=0.005)
    assert got["Bradley-Terry over n-grams", "accuracy"].value >= 0.616


def numbered(part: str, numbers: Sequence[float], *, informative: bool = True) -> list[Example]:
    """Rows whose words tell the number: so many ticks."""
    return [
        row(part, at, f"{part} {at} " + (f"w{round(number)} " * 3 if informative else ""), f"{number:g}")
        for at, number in enumerate(numbers)
    ]


def test_numbers_are_measured_against_the_best_constants_and_a_ridge_that_reads_the_words() -> None:
    known, asked = [1.0, 1.0, 1.0, 9.0] * 20, [1.0, 9.0, 1.0, 2.0]
    corpus = Corpus({"train": numbered("train", known), "test": numbered("test", asked)}, numbers=True)
    got = {(one.name, one.metric): one.value for one in baselines(corpus)}
    assert got["always the median", "mae"] == pytest.approx((0 + 8 + 0 + 1) / 4)
    assert got["always the mean", "rmse"] == pytest.approx(((4 + 36 + 4 + 1) / 4) ** 0.5)
    assert got["always the mean", "r2"] == pytest.approx(1 - 45 / (87 - 13**2 / 4))
    assert got["TF-IDF + ridge", "mae"] < got["always the median", "mae"]
    assert len(got) == 6


def test_control_words_that_do_not_tell_the_number_do_not_beat_the_median() -> None:
    rng = random.Random(0)
    rows = numbered("train", [rng.randrange(100) for _ in range(200)], informative=False)
    got = {(one.name, one.metric): one for one in baselines(Corpus({"train": rows}, numbers=True))}
    assert got["TF-IDF + ridge", "mae"].high > got["always the median", "mae"].value
    assert got["TF-IDF + ridge", "mae"].n == 200


def test_a_row_without_a_number_is_neither_learned_from_nor_asked() -> None:
    rows = [*numbered("train", [1.0, 2.0, 3.0] * 10), row("train", 99, "what", "no number")]
    assert {one.n for one in baselines(Corpus({"train": rows}, numbers=True))} == {30}
