"""Pairs that say nothing, contradict or prefer by length or place are found; fair pairs are left alone."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from luthier.checks import Corpus
from luthier.checks.preference import pair_cycle, pair_equal, pair_longer, pair_position, pair_prompts
from luthier.types import Completion, Example, Issue, Json, Message

Turns = str | Sequence[tuple[str, str]]


def side(turns: Turns, score: float) -> Completion:
    spoken = [("assistant", turns)] if isinstance(turns, str) else turns
    return Completion(tuple(Message(role, text) for role, text in spoken), score)


def pair(at: int, prompt: str, chosen: Turns, rejected: Turns, **meta: Json) -> Example:
    return Example(f"t:{at}", (Message("user", prompt),), (side(chosen, 1.0), side(rejected, 0.0)), meta=meta)


def found(check: Callable[[Corpus], Iterable[Issue]], *rows: Example) -> list[Issue]:
    issues = list(check(Corpus({"train": rows})))
    assert issues == list(check(Corpus({"train": rows[::-1]})))
    return issues


FAIR = [pair(1, "q", "Yes", "No"), pair(2, "q2", "No", "Yes"), pair(3, "q", "Yes", "Maybe")]


def test_sides_that_differ_in_white_space_alone_are_equal() -> None:
    (issue,) = found(pair_equal, *FAIR, pair(4, "q", "It is  here.\n", "It is here."))
    assert issue.examples == ("t:4",)
    assert not found(pair_equal, *FAIR, pair(5, "q", "It is here", "It is Here"))


def test_sides_that_answer_different_things_are_found() -> None:
    longer = [("assistant", "A"), ("user", "More?"), ("assistant", "Yes")]
    other = [("assistant", "B"), ("user", "Less?"), ("assistant", "No")]
    issues = found(
        pair_prompts,
        *FAIR,
        pair(4, "q", longer, other),
        pair(5, "q", longer, "A"),
        pair(6, "q", "\n\nHuman: Hi\n\nAssistant: A", "\n\nHuman: Ho\n\nAssistant: B"),
    )
    assert [issue.examples for issue in issues] == [("t:4",), ("t:5",), ("t:6",)]
    assert "'More?' before the chosen end, 'Less?' before the rejected one" in issues[0].why
    assert not found(pair_prompts, pair(7, "q", longer, [("assistant", "C"), *longer[1:]]))


def sized(longer_chosen: float) -> list[Example]:
    rng = random.Random(0)
    rows = []
    for at in range(300):
        texts = ["a" * rng.randint(1, 50), "b" * rng.randint(60, 90)]
        rows.append(pair(at, f"q{at}", *(texts[::-1] if rng.random() < longer_chosen else texts)))
    return rows


def test_a_preference_for_the_longer_side_is_told_with_its_rate() -> None:
    (issue,) = found(pair_longer, *sized(0.8))
    assert issue.flagged
    assert "the longer side is preferred in" in issue.why
    (issue,) = found(pair_longer, *sized(0.1))
    assert "the shorter side is preferred in" in issue.why
    assert not found(pair_longer, *sized(0.5))
    assert not found(pair_longer, *sized(1.0)[:10])


def test_a_small_preference_is_told_and_not_flagged() -> None:
    (issue,) = found(pair_longer, *sized(0.58))
    assert not issue.flagged


def test_a_contradiction_and_a_circle_are_found_and_their_rows_named() -> None:
    issues = found(
        pair_cycle,
        *FAIR,
        pair(4, "Q!", "No", "Yes"),
        pair(10, "r", "A", "B"),
        pair(11, "r", "B", "C"),
        pair(12, "r", "C", "A"),
        pair(13, "r", "C", "D"),
    )
    assert [issue.examples for issue in issues] == [("t:1", "t:4"), ("t:10", "t:11", "t:12")]
    assert "3 answers over each other in a circle" in issues[1].why


def test_control_chains_and_the_same_answers_to_other_prompts_are_no_circle() -> None:
    assert not found(pair_cycle, *FAIR, pair(5, "r", "A", "B"), pair(6, "r", "B", "C"), pair(7, "r", "A", "C"))


def test_a_preference_for_what_is_shown_first_is_found() -> None:
    rows = [
        replace(FAIR[0], id=f"t:{at}", meta={"winner": "model_b" if at % 5 == 0 else "model_a"}) for at in range(200)
    ]
    (issue,) = found(pair_position, *rows)
    assert issue.flagged
    assert "'winner' the first of two answers is preferred in 80.0 %" in issue.why
    even = [replace(row, meta={"winner": at % 2, "note": 0}) for at, row in enumerate(rows)]
    assert not found(pair_position, *even)
    counted = [replace(row, meta={"chosen_index": 2 - (at % 10 == 0)}) for at, row in enumerate(rows)]
    assert "the second of two answers is preferred in 90.0 %" in found(pair_position, *counted)[0].why


def test_rows_that_are_no_pairs_say_nothing() -> None:
    plain = [replace(row, completions=row.completions[:1]) for row in sized(1.0)]
    for check in (pair_equal, pair_prompts, pair_longer, pair_cycle, pair_position):
        assert not found(check, *plain)
