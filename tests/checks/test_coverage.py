"""Coverage: what is foreign to training is found and named with its nearest row, and what is like it is not."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from luthier.checks.check import CheckOptions, Corpus
from luthier.checks.coverage import FEWEST, clusters, far_from_training, known, nearest
from luthier.data.read import ReadOptions, read
from luthier.types import Completion, Example, Message

SHARED = Path(__file__).parents[3] / "shared" / "data"

pytest.importorskip("wordllama")

THINGS = ["card", "transfer", "cash machine", "exchange rate", "top up", "PIN", "passport", "account", "refund", "fee"]
WAYS = ["My {} is missing.", "How do I change the {}?", "Why was the {} refused?", "The {} is wrong, please help"]
WHEN = [
    "today",
    "yesterday",
    "last week",
    "on Monday",
    "after the holiday",
    "since the move",
    "at the airport",
    "again",
]
BANK = [f"{way.format(thing)} {when}" for thing in THINGS for way in WAYS for when in WHEN]
FARM = [
    "Ann has 12 apples and eats 5; how many apples are left in the basket?",
    "The old oak dropped acorns on the sheep",
]


def rows(part: str, texts: list[str]) -> list[Example]:
    said = (Completion((Message("assistant", "ok"),)),)
    return [Example(f"{part}:{at}", (Message("user", text),), said) for at, text in enumerate(texts, 1)]


def drawn() -> tuple[list[Example], list[Example]]:
    texts = random.Random(0).sample(BANK, len(BANK))
    return rows("train", texts[80:]), rows("test", texts[:80])


def test_foreign_rows_are_found_and_named_with_the_nearest_training_row() -> None:
    train, test = drawn()
    foreign = rows("farm", FARM * 3)
    issues = list(far_from_training(Corpus({"train": train, "test": test + foreign})))
    assert "of test lie farther from the training rows" in issues[0].why
    assert "6 of 86 rows" in issues[0].why
    single = [issue for issue in issues[1:] if issue.flagged]
    assert {issue.examples[0] for issue in single} == {example.id for example in foreign}
    assert all(issue.examples[1].startswith("train:") and "a similarity of 0." in issue.why for issue in single)


def test_control_rows_of_the_same_kind_are_not_flagged() -> None:
    train, test = drawn()
    assert not [issue for issue in far_from_training(Corpus({"train": train, "test": test})) if issue.flagged]
    assert not list(far_from_training(Corpus({"train": train})))
    assert not list(far_from_training(Corpus({"train": train[: FEWEST - 1], "test": rows("farm", FARM)})))


def test_rows_of_one_group_do_not_vouch_for_each_other() -> None:
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 2, 3]]
    alone = nearest(vectors, vectors, apart=np.arange(6))
    grouped = nearest(vectors, vectors, apart=np.array([0, 0, 1, 1, 2, 3]))
    assert alone.cosine.tolist() == [1, 1, 1, 1, 0, 0]
    assert grouped.cosine.tolist() == [0] * 6
    assert nearest(vectors[:1], vectors).row.tolist() == [0]


def test_half_a_percent_of_the_training_rows_are_far_by_their_own_measure() -> None:
    vectors = np.random.default_rng(0).normal(size=(2000, 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cloud = known(vectors[:1000], np.arange(1000))
    others = vectors[1000:]
    scores = cloud.scores(others, nearest(others, cloud.vectors).cosine)
    assert (scores > cloud.far).mean() <= 0.02
    assert cloud.far <= cloud.farthest


def test_the_smallest_kinds_of_input_come_first_with_rows_of_theirs() -> None:
    texts = [*BANK, *(f"The sheep ate {at} apples under the oak tree" for at in range(12))]
    (table,) = clusters(Corpus({"train": rows("train", texts)}))
    assert [
        line for line in table.rows if "sheep ate" in str(line[0]) and "sheep ate" in str(line[1]) and line[-1] == 12
    ]
    assert [line[-1] for line in table.rows] == sorted(line[-1] for line in table.rows)
    assert not list(clusters(Corpus({"train": rows("train", BANK[: FEWEST - 1])})))


def test_shuffled_rows_give_the_same_issues_and_a_sample_is_enough() -> None:
    train, test = drawn()
    foreign = rows("farm", FARM * 3)
    options = CheckOptions(sample=200)
    found = [
        list(far_from_training(Corpus({"train": some, "test": others}, options)))
        for some, others in ((train, test + foreign), (train[::-1], foreign + test[::-1]))
    ]
    assert found[0] == found[1]
    assert {example.id for example in foreign} <= {issue.examples[0] for issue in found[0] if issue.flagged}


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")
def test_on_banking77_its_own_test_rows_are_near_and_sums_are_far() -> None:
    options = ReadOptions(input="text", output="category")
    train, test = (read(str(SHARED / "banking77" / f"{part}.csv"), options).examples for part in ("train", "test"))
    sums = read(
        str(SHARED / "gsm8k" / "test.jsonl"), ReadOptions(input="question", output="answer", limit=100)
    ).examples
    own = list(far_from_training(Corpus({"train": train, "test": test})))
    assert len(own) <= 0.01 * len(test)
    assert not [issue for issue in own if issue.flagged]
    mixed = [*test, *(replace(example, id=f"sums.jsonl:{at}") for at, example in enumerate(sums))]
    found = [issue.examples[0] for issue in far_from_training(Corpus({"train": train, "test": mixed})) if issue.flagged]
    assert len({name for name in found if name.startswith("sums")}) >= 90
