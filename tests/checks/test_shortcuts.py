"""What gives labels and answers away is found where it was planted, and nothing is said of rows without it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from luthier.checks import CheckOptions, Corpus
from luthier.checks.given import answer_in_prompt
from luthier.checks.shortcuts import shortcut
from luthier.checks.straddle import group_leak, time_leak
from luthier.data.read import ReadOptions, read
from luthier.errors import RecipeError
from luthier.types import Completion, Example, Issue, Json, Message

SHARED = Path(__file__).parents[3] / "shared" / "data"
NOUNS = ["card", "bank", "rate", "fee", "cash", "limit", "top", "euro", "pound", "account", "code", "phone", "app"]


def labelled(at: int, text: str, label: str) -> Example:
    return replace(answered(at, text, label), label=label)


def answered(at: int, text: str, answer: str) -> Example:
    return Example(f"t:{at}", (Message("user", text),), (Completion((Message("assistant", answer),)),), source="t")


def fair(count: int = 400) -> list[Example]:
    rng = random.Random(0)
    texts = [" ".join(rng.choices(NOUNS, k=rng.randint(3, 12))) + f" {at}" for at in range(count)]
    return [labelled(at, text, rng.choice(["yes_please", "no_thanks"])) for at, text in enumerate(texts, 1)]


def with_text(row: Example, text: str) -> Example:
    return replace(row, prompt=(Message("user", text),))


def of(rows: Sequence[Example]) -> list[Issue]:
    return list(shortcut(Corpus({"train": rows})))


def test_control_rows_without_a_shortcut_say_nothing() -> None:
    assert not of(fair())
    assert not of(fair(20))


def test_a_first_word_that_tells_the_label_is_found() -> None:
    rows = [with_text(row, f"{'Please' if row.label == 'yes_please' else 'Well'} {row.question}") for row in fair()]
    (issue,) = of(rows)
    assert issue.flagged
    assert "first word alone predicts the label of 100.0 %" in issue.why
    assert issue.severity > 0.8
    assert of(rows[::-1]) == [issue]


def test_a_length_that_tells_the_label_is_found() -> None:
    (issue,) = of([with_text(row, row.question + "." * 60 * (row.label == "no_thanks")) for row in fair()])
    assert issue.flagged
    assert issue.why.startswith("the length alone predicts")


def test_a_source_that_tells_the_label_is_found_and_one_that_does_not_is_not() -> None:
    (issue,) = of([replace(row, source=f"{row.label}.csv") for row in fair()])
    assert "the source alone predicts" in issue.why
    assert not of([replace(row, source=f"{at % 2}.csv") for at, row in enumerate(fair())])


def test_a_file_sorted_by_label_is_told_and_weighs_little() -> None:
    rows = sorted(fair(), key=lambda row: row.label or "")
    (issue,) = of([replace(row, id=f"t:{at}") for at, row in enumerate(rows, 1)])
    assert "sorted by label" in issue.why
    assert issue.severity <= 0.2


def given(rows: Sequence[Example]) -> list[Issue]:
    return list(answer_in_prompt(Corpus({"train": rows})))


def test_a_row_whose_answer_stands_in_its_prompt_is_named() -> None:
    answer = "The card arrives within five days."
    rows = [answered(at, f"When will card {at} arrive?", f"{answer} {at}") for at in range(1, 40)]
    planted = with_text(rows[6], f"{rows[6].question}\n(Answer: the card  arrives within five days. 7)")
    (issue,) = given([*rows[:6], planted, *rows[7:]])
    assert issue.examples == ("t:7",)
    assert issue.flagged
    assert not given(rows)


def test_a_label_counts_only_as_a_whole_phrase_and_not_where_labels_are_listed() -> None:
    rows = fair(60)
    planted = with_text(rows[3], f"{rows[3].question} [{rows[3].label}]")
    assert [issue.examples for issue in given([*rows[:3], planted, *rows[4:]])] == [("t:4",)]
    assert not given([with_text(row, f"{row.question} {row.label}s") for row in rows])
    assert not given([with_text(row, f"{row.question}: yes_please or no_thanks?") for row in rows])


def test_labels_in_most_prompts_are_one_leak() -> None:
    (issue,) = given([with_text(row, f"{row.question} ({row.label})") for row in fair(60)])
    assert issue.flagged
    assert "of 60 rows" in issue.why


def test_finding_the_answer_in_the_text_is_a_task_and_said_once() -> None:
    names = {at: f"The poet John Ashbery Number {at}" for at in range(1, 60)}
    rows = [answered(at, f"Who wrote it? {name} wrote it.", name) for at, name in names.items()]
    (issue,) = given(rows)
    assert not issue.flagged
    assert issue.severity <= 0.1


def test_short_answers_and_earlier_turns_of_the_assistant_are_no_leak() -> None:
    rows = [answered(at, f"Has he {at} apples?", "No") for at in range(1, 60)]
    (issue,) = given([*rows, answered(90, "Is it 3 or 4?", "4")])
    assert not issue.flagged
    said = "You are very welcome, good bye then."
    row = answered(1, "Thanks", said)
    assert not given([replace(row, prompt=(Message("assistant", said), *row.prompt))])


def dated(part: str, *times: Json) -> list[Example]:
    rows = [answered(at, f"{part} {at}", "a") for at in range(len(times))]
    return [replace(row, id=f"{part}:{at}", meta={"when": times[at]}) for at, row in enumerate(rows)]


def test_a_group_in_two_splits_is_found() -> None:
    train, test = ([replace(row, group=f"u{at}") for at, row in enumerate(dated(part, 1, 2))] for part in "ab")
    both = list(group_leak(Corpus({"train": train, "test": test})))
    assert [issue.examples for issue in both] == [("b:0", "a:0"), ("b:1", "a:1")]
    apart = [replace(row, group=f"other {row.group}") for row in test]
    assert not list(group_leak(Corpus({"train": train, "test": apart})))
    assert not list(group_leak(Corpus({"train": [replace(row, group="one") for row in train]})))


OPTIONS = CheckOptions(time="when")


def test_test_rows_from_before_training_are_found() -> None:
    train = dated("a", "2024-03-01", "2024-03-02T10:00:00Z", "2024-03-03")
    old, new = dated("b", "2024-02-01", "2024-04-01"), dated("c", "2024-03-03T00:00:01+00:00")
    (issue,) = time_leak(Corpus({"train": train, "test": old}, OPTIONS))
    assert issue.examples == ("b:0",)
    assert "50.0 %" in issue.why
    assert not list(time_leak(Corpus({"train": train, "test": new}, OPTIONS)))
    assert not list(time_leak(Corpus({"train": train, "test": old})))


def test_times_that_are_numbers_are_compared_as_numbers() -> None:
    (issue,) = time_leak(Corpus({"train": dated("a", 9, "10"), "test": dated("b", 9.5, 11)}, OPTIONS))
    assert issue.examples == ("b:0",)


def test_unreadable_times_are_told_and_a_missing_column_is_an_error() -> None:
    rows = {"train": dated("a", "2024-03-01", "soon"), "test": dated("b", "2024-05-01")}
    (issue,) = time_leak(Corpus(rows, OPTIONS))
    assert issue.examples == ("a:1",)
    with pytest.raises(RecipeError, match="did you mean 'when'"):
        list(time_leak(Corpus(rows, CheckOptions(time="wen"))))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")
def test_banking77_is_sorted_by_label_and_has_no_other_shortcut() -> None:
    rows = read(str(SHARED / "banking77/train.csv"), ReadOptions(input="text", output="category")).examples
    assert ["sorted by label" in issue.why for issue in of(rows)] == [True]
    assert not given(rows)
