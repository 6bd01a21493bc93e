"""Answers in another language than their prompts are found among rows that agree; translations and labels are not."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tiny_tokenizers import dialogue

from luthier.checks.check import Corpus
from luthier.checks.language import UNSURE, drawn, language, language_mismatch, languages
from luthier.types import Example

pytest.importorskip("py3langid")

ENGLISH = "I would like to know when the new card is going to arrive, number {}, please."
ENGLISH_ANSWER = "Your card was sent on Monday and should arrive within {} working days."
GERMAN = "Ihre Karte wurde am Montag verschickt und sollte in {} Werktagen bei Ihnen ankommen."


def rows(count: int, answer: str, first: int = 0) -> list[Example]:
    places = range(first, first + count)
    return [dialogue(ENGLISH.format(n), answer.format(n), name=f"t:{n}") for n in places]


def test_a_row_answered_in_another_language_is_found_and_the_others_are_not() -> None:
    mixed = [*rows(40, ENGLISH_ANSWER), *rows(3, GERMAN, first=40)]
    found = list(language_mismatch(Corpus({"train": mixed})))
    assert [issue.examples for issue in found] == [("t:40",), ("t:41",), ("t:42",)]
    assert "in 'en' and its answer in 'de'" in found[0].why
    assert "of the 43 rows" in found[0].why
    assert found == list(language_mismatch(Corpus({"train": mixed[::-1]})))


def test_translations_short_answers_and_labels_are_not_judged() -> None:
    assert not list(language_mismatch(Corpus({"train": rows(40, GERMAN)})))
    short = [*rows(40, ENGLISH_ANSWER), dialogue(ENGLISH.format(41), "Ja, gern.", name="t:41")]
    assert not list(language_mismatch(Corpus({"train": short})))
    labelled = [replace(row, label="x") for row in [*rows(40, ENGLISH_ANSWER), *rows(3, GERMAN, first=40)]]
    assert not list(language_mismatch(Corpus({"train": labelled})))


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (ENGLISH, "en"),
        (GERMAN, "de"),
        ("Je voudrais savoir quand ma nouvelle carte de crédit va enfin arriver.", "fr"),
        ("Я хотел бы знать, когда придёт моя новая карта.", "ru"),
        ("我想知道我的新银行卡什么时候能寄到。", "zh"),
        ("Yes.", UNSURE),
        ("48/2 = <<48/2=24>>24; 48+24 = <<48+24=72>>72", UNSURE),
        ("name[Alimentum], area[city centre], familyFriendly[no]", UNSURE),
        ("", UNSURE),
    ],
)
def test_languages_are_told_and_what_is_no_prose_is_left(text: str, code: str) -> None:
    assert language(text) == code


def test_the_mix_is_counted_by_split() -> None:
    splits = {"train": [*rows(5, ENGLISH_ANSWER), *rows(2, GERMAN, first=5)], "test": rows(1, GERMAN, first=9)}
    prompts, answers = languages(Corpus(splits))
    assert prompts.rows == (("en", 7, 1, 8),)
    assert answers.rows == (("en", 5, 0, 5), ("de", 2, 1, 3))


def test_the_sample_is_the_same_in_any_order() -> None:
    some = rows(60, ENGLISH_ANSWER)
    first, second = (Corpus({"train": given}) for given in (some, some[::-1]))
    assert list(drawn(first, 20)) == list(drawn(second, 20))
    assert len(drawn(first, 20)) == 20
