"""Checks across splits and of length: they find what was planted, in any order, and are silent otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_tokenizers import CHATML, dialogue, tiny

from luthier.checks import Corpus, checks
from luthier.checks.cut import cut
from luthier.data.read import ReadOptions, read
from luthier.data.render import render_all
from luthier.data.split import SplitOptions, split
from luthier.types import Example, Issue

SHARED = Path(__file__).parents[3] / "shared" / "data"


def rows(part: str, *texts: str) -> list[Example]:
    return [replace(dialogue(text, "a", name=f"{part}:{n}"), label=text[0]) for n, text in enumerate(texts, 1)]


def found(name: str, splits: Mapping[str, Sequence[Example]]) -> list[Issue]:
    return list(checks[name].find(Corpus(splits)))


def test_a_prompt_in_two_files_is_reported_and_clean_files_are_not() -> None:
    train, test = rows("train", "Where is it?", "Who?"), rows("test", "where is IT", "Why?")
    (issue,) = found("leak", {"train": train, "validation": [], "test": test})
    assert issue.examples == ("test:1", "train:1")
    assert [issue] == found("leak", {"test": test[::-1], "train": train[::-1]})
    assert not found("leak", {"train": [*train, *train], "test": test[1:]})


def test_a_label_that_is_never_trained_on_is_reported() -> None:
    (issue,) = found("unseen", {"train": rows("train", "a"), "test": rows("test", "a", "b", "b")})
    assert issue.examples == ("test:2", "test:3")
    assert not found("unseen", {"train": rows("train", "a"), "test": [dialogue("q", "a")]})


def test_a_copy_that_differs_in_case_is_said_to_do_so() -> None:
    train, test = rows("train", "Where is it?"), rows("test", "where is IT")
    (issue,) = found("leak", {"train": train, "test": test})
    assert "(train) apart from case and punctuation, so" in issue.why
    (issue,) = found("leak", {"train": train, "test": rows("test", "Where is it?")})
    assert "apart" not in issue.why


def test_drawn_splits_do_not_leak() -> None:
    examples = rows("x", *[f"Row {n % 30}" + "?" * (n // 30) for n in range(90)])
    assert not found("leak", split(examples, SplitOptions()))


def test_a_row_whose_answer_does_not_fit_is_named() -> None:
    examples = [
        dialogue("Hi", "Yes", name="x:1"),
        dialogue("Hi", "Yes " * 50, name="x:2"),
        dialogue("H" * 90, "Y", name="x:3"),
    ]
    issues = list(cut(render_all(examples, tiny(CHATML), max_length=40), max_length=40))
    assert [issue.examples for issue in issues] == [("x:2",), ("x:3",)]
    assert ["alone" in issue.why for issue in issues] == [False, True]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")
def test_banking77_repeats_eleven_training_prompts_in_its_test_file() -> None:
    options = ReadOptions(input="text", output="category")
    train, test = (read(str(SHARED / "banking77" / name), options).examples for name in ("train.csv", "test.csv"))
    assert len(found("leak", {"train": train, "test": test})) == 11
