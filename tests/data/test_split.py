"""Splits: laws that hold of any rows, then the cases that go wrong elsewhere."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizers import dialogue

from luthier.data.split import SplitOptions, normalised, split
from luthier.errors import RecipeError
from luthier.types import Example, Message

ROW = st.tuples(st.integers(0, 30), st.sampled_from(["x", "y", "z", None]), st.sampled_from(["g", "h", None, None]))
SHARES = st.sampled_from([(0.1, 0.1), (0.0, 0.5), (0.3, 0.3), (0.0, 0.0), (0.45, 0.45)])


def example(place: int, text: str, label: str | None = None, group: str | None = None) -> Example:
    return replace(dialogue(text, "answer", name=f"x.csv:{place}"), label=label, group=group)


def made(rows: list[tuple[int, str | None, str | None]]) -> list[Example]:
    return [example(place, f"Row {n}!", label, group) for place, (n, label, group) in enumerate(rows)]


def where(parts: dict[str, tuple[Example, ...]]) -> dict[str, str]:
    return {row.id: part for part, rows in parts.items() for row in rows}


@settings(max_examples=150)
@given(
    rows=st.lists(ROW, max_size=40), shares=SHARES, seed=st.integers(0, 3), shuffle=st.randoms(use_true_random=False)
)
def test_laws_of_a_split(
    rows: list[tuple[int, str | None, str | None]], shares: tuple[float, float], seed: int, shuffle: random.Random
) -> None:
    examples, options = made(rows), SplitOptions(*shares, seed)
    parts = split(examples, options)
    found = where(parts)
    assert sorted(found) == sorted(row.id for row in examples)  # every row once
    assert sum(map(len, parts.values())) == len(examples)
    for key in (lambda row: row.group, lambda row: normalised(row.prompt)):  # nothing straddles
        parts_of = defaultdict(set)
        for row in examples:
            if key(row) is not None:
                parts_of[key(row)].add(found[row.id])
        assert all(len(some) == 1 for some in parts_of.values())
    assert bool(parts["train"]) == bool(examples)
    shuffled = shuffle.sample(examples, len(examples))
    assert where(split(shuffled, options)) == found  # row order changes nothing


@given(sizes=st.lists(st.integers(1, 40), min_size=1, max_size=8), seed=st.integers(0, 9))
def test_labels_keep_their_proportions_and_each_is_trained_on(sizes: list[int], seed: int) -> None:
    labels = [f"label {place}" for place, size in enumerate(sizes) for _ in range(size)]
    parts = split([example(n, f"row {n}", label) for n, label in enumerate(labels)], SplitOptions(0.2, 0.2, seed))
    counts = {part: Counter(row.label for row in rows) for part, rows in parts.items()}
    for place, size in enumerate(sizes):
        assert counts["train"][f"label {place}"] >= 1
        assert counts["test"][f"label {place}"] <= 0.2 * size + 2
    if min(sizes) >= 10:
        assert abs(len(parts["test"]) - 0.2 * len(labels)) <= 1
        assert all(counts["test"][f"label {n}"] >= 0.2 * size - 2 for n, size in enumerate(sizes))


def test_another_seed_is_another_split() -> None:
    examples = [example(n, f"row {n}") for n in range(50)]
    assert where(split(examples, SplitOptions(seed=1))) != where(split(examples, SplitOptions(seed=2)))
    assert where(split(examples, SplitOptions(seed=1))) == where(split(examples, SplitOptions(seed=1)))


def test_the_line_a_row_stands_on_does_not_decide_its_split() -> None:
    examples = [example(n, f"row {n}") for n in range(50)]
    moved = [replace(row, id=f"other.csv:{n + 99}") for n, row in enumerate(examples)]
    first, second = split(examples, SplitOptions()), split(moved, SplitOptions())
    assert [row.question for row in first["test"]] == [row.question for row in second["test"]]


def test_three_rows_give_one_each_and_one_row_is_trained_on() -> None:
    assert {
        part: len(rows) for part, rows in split([example(n, f"r{n}") for n in range(3)], SplitOptions()).items()
    } == {
        "train": 1,
        "validation": 1,
        "test": 1,
    }
    assert len(split([example(0, "r")], SplitOptions())["train"]) == 1


def test_large_groups_still_fill_every_split() -> None:
    examples = [example(n, f"row {n}", group=f"user {n // 25}") for n in range(100)]
    parts = split(examples, SplitOptions(0.1, 0.1))
    assert {part: len(rows) for part, rows in parts.items()} == {"train": 50, "validation": 25, "test": 25}


def test_given_files_are_taken_as_they_are() -> None:
    examples, given_rows = [example(n, f"row {n}") for n in range(20)], [example(99, "row 3")]
    parts = split(examples, SplitOptions(0.1, 0.5), test=given_rows)
    assert (len(parts["train"]), len(parts["validation"]), parts["test"]) == (18, 2, tuple(given_rows))


@pytest.mark.parametrize("shares", [(0.5, 0.5), (-0.1, 0.1), (1.0, 0.0)])
def test_shares_that_leave_nothing_to_train_on_are_refused(shares: tuple[float, float]) -> None:
    with pytest.raises(RecipeError, match=r"split: validation=.* leave nothing to train on"):
        split([example(0, "r")], SplitOptions(*shares))


def test_prompts_are_the_same_but_for_case_punctuation_and_space() -> None:
    def key(text: str) -> str:
        return normalised([Message("user", text)])

    assert key("Where is  my card?") == key("where is my card") == key("Where is my card…\n")
    assert key("Where is my card?") != key("Where is my car?")
    assert key("🙂") != key("🙃")
    assert key("कि") != key("के")
