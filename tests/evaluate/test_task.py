"""Task inference, subsets and merged references."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_chat import asked, labelled, tokenizer

from luthier.errors import DataError, RecipeError
from luthier.evaluate import EvaluateOptions, infer, merge_references, sample
from luthier.types import Example

CHAT = tokenizer()
LONG = "There is a coffee shop called Blue Spice in the city centre."


def test_labelled_examples_are_a_choice_among_the_labels_of_all_splits() -> None:
    task = infer([labelled("a:1", "x", "no"), labelled("a:2", "y", "maybe")], tokenizer=CHAT)
    assert (task.kind, task.labels, task.primary) == ("choice", ("maybe", "no"), "accuracy")


def test_a_label_beside_a_longer_answer_is_text() -> None:
    assert infer([asked("a:1", "x", LONG, label="yes")], tokenizer=CHAT).kind == "text"


@pytest.mark.parametrize(
    ("answer", "primary"),
    [
        ("so it is 18.\n#### 18", "numeric"),
        ("Blue Spice", "exact"),
        (LONG, "chrf"),
        ("我的卡还没有到请帮我查一下" * 3, "chrf"),
    ],
)
def test_the_metric_that_decides_suits_the_references(answer: str, primary: str) -> None:
    task = infer([asked("a:1", "x", answer)], tokenizer=CHAT)
    assert task.primary == task.metrics[0] == primary
    assert ("bleu_char" in task.metrics) == answer.startswith("我")


def test_references_in_json_are_judged_as_json() -> None:
    task = infer([asked("a:1", "x", '{"name": "Blue Spice", "area": "city centre"}')], tokenizer=CHAT)
    assert task.metrics == ("json_f1", "json_equal", "json_valid")


def test_a_metric_that_only_describes_cannot_decide() -> None:
    with pytest.raises(RecipeError, match="length_ratio describes"):
        infer([asked("a:1", "x", LONG)], EvaluateOptions(metric="length_ratio"), tokenizer=CHAT)


def test_the_recipe_decides_over_what_is_inferred() -> None:
    options = EvaluateOptions(task="text", metric="rougeL", max_new_tokens=7)
    task = infer([labelled("a:1", "x", "no")], options, tokenizer=CHAT)
    assert (task.kind, task.primary, task.max_new_tokens) == ("text", "rougeL", 7)
    assert task.metrics == ("rougeL", "exact", "token_f1", "chrf")
    assert infer([labelled("a:1", "x", "no")], EvaluateOptions(metric="loss"), tokenizer=CHAT).primary == "loss"
    with pytest.raises(RecipeError, match="did you mean 'rougeL'"):
        infer([labelled("a:1", "x", "no")], EvaluateOptions(metric="rogueL"), tokenizer=CHAT)


def test_room_for_an_answer_follows_the_longest_reference() -> None:
    assert infer([asked("a:1", "x", "y" * 100)], tokenizer=CHAT).max_new_tokens == 150
    assert infer([asked("a:1", "x", "y")], tokenizer=CHAT).max_new_tokens == 16


def test_labels_no_model_can_tell_apart_are_refused_with_the_row() -> None:
    with pytest.raises(DataError, match=r"a:2: labels 'no' and 'no ' differ only in the space"):
        infer([labelled("a:1", "x", "no"), labelled("a:2", "x", "no ")], tokenizer=CHAT)
    with pytest.raises(DataError, match="a:1: its label is blank"):
        infer([labelled("a:1", "x", " ")], tokenizer=CHAT)
    with pytest.raises(DataError, match="a:1: a choice needs a label"):
        infer([asked("a:1", "x", "no")], EvaluateOptions(task="choice"), tokenizer=CHAT)


def many() -> list[Example]:
    return [labelled(f"a:{at}", "x", "rare" if at % 10 == 0 else "common") for at in range(200)]


def test_a_sample_keeps_the_labels_in_proportion() -> None:
    assert Counter(one.label for one in sample(many(), 50, seed=0)) == {"rare": 5, "common": 45}


def test_a_sample_does_not_depend_on_the_order_of_rows_and_grows_by_adding() -> None:
    rows = many()
    kept = {one.id for one in sample(rows, 50, seed=0)}
    assert kept == {one.id for one in sample(rows[::-1], 50, seed=0)}
    assert kept < {one.id for one in sample(rows, 80, seed=0)}
    assert kept != {one.id for one in sample(rows, 50, seed=1)}
    assert sample(rows, 500, seed=0) == tuple(rows)


def test_rows_of_one_prompt_become_one_with_every_reference() -> None:
    rows = [asked("a:1", "q", "one"), asked("a:2", "other", "z"), asked("a:3", "q", "two"), asked("a:4", "q", "one")]
    first, second = merge_references(rows)
    assert (first.id, first.references) == ("a:1", ("one", "two"))
    assert [completion.text for completion in first.completions] == ["one", "two"]
    assert first.meta["merged"] == ["a:1", "a:3", "a:4"]
    assert second == rows[1]


def test_merging_is_done_once_and_for_all() -> None:
    rows = [asked("a:1", "q", "one"), asked("a:2", "q", "two")]
    assert [one.references for one in merge_references(merge_references(rows))] == [("one", "two")]


def test_two_labels_for_one_prompt_stay_two_rows() -> None:
    rows = [labelled("a:1", "q", "yes"), labelled("a:2", "q", "no")]
    assert merge_references(rows) == tuple(rows)


def test_tools_are_part_of_the_prompt() -> None:
    rows = [asked("a:1", "q", "one"), replace(asked("a:2", "q", "two"), tools=({"name": "f"},))]
    assert len(merge_references(rows)) == 2


def test_the_e2e_test_set_has_its_references_together() -> None:
    path = Path(__file__).parents[2].parent / "shared/data/e2e-cleaned/test.csv"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    import csv

    with path.open(encoding="utf-8", newline="") as file:
        rows = [asked(f"test.csv:{at}", row["mr"], row["ref"]) for at, row in enumerate(csv.DictReader(file))]
    merged = merge_references(rows)
    assert len(rows) == 4693
    assert len(merged) == len({one.question for one in rows})
