"""What nobody sees, what was decoded wrongly and what refuses is found; real text of many scripts is left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_tokenizers import dialogue

from luthier.checks.answers import boilerplate, refusal
from luthier.checks.check import Corpus
from luthier.checks.invisible import unseen, without_unseen
from luthier.checks.refusals import refuses
from luthier.checks.text import broken, empty, invisible, mojibake, repair, rewrite_garbled, show_nothing_unseen
from luthier.data.read import ReadOptions, read
from luthier.types import Example

SHARED = Path(__file__).parents[3] / "shared" / "data"

REAL = [
    "Ça coûte 5 €, naïve façade – “déjà vu” … ½ ™ ©",
    "Größe: 3 µm, Straße, Übermut, ÄÖÜ «ja» ‚nein‘",
    "¿Qué tal? ¡Mañana! São Paulo, coração, Łódź, Dvořák, İstanbul, Æther, Ångström",
    "Привет, как дела? Всё хорошо — спасибо.",
    "你好，世界！こんにちは。안녕하세요",
    "👩‍👩‍👧 👍🏽 ❤️ 🏳️‍🌈 1️⃣ ©️ 🧑🏽‍🚀 🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "می‌خواهم و خانه‌ها",
    "क्‍ष और न्‌",
    "שלום \u200fabc\u200e עולם",
    "ភាសា\u200bខ្មែរ",
    "Columns\tand\r\nlines\n",
    "葛\U000e0100飾区",
]
HIDDEN = {
    "zero\u200bwidth": "zerowidth",
    "over\u202eride": "override",
    "\ufeffmark": "mark",
    "join\u200ded": "joined",
    "bell\x07": "bell",
    "\x1b[31mred\x1b[0m": "red",
    "page\x0cbreak": "page\nbreak",
    "line\u2028end": "line\nend",
    "soft\u00adhyphen": "softhyphen",
    "left\u200eright": "leftright",
    "smuggled\U000e0069\U000e0067": "smuggled",
    "nel\x85": "nel\n",
}


def corpus(answers: Sequence[str], label: bool = False) -> Corpus:
    rows = [dialogue(f"Question {n}?", answer, name=f"t.csv:{n}") for n, answer in enumerate(answers, 1)]
    return Corpus({"train": [replace(row, label=row.answer) if label else row for row in rows]})


@pytest.mark.parametrize("text", REAL)
def test_real_text_of_many_scripts_raises_nothing(text: str) -> None:
    rows = corpus([text])
    assert not list(empty(rows))
    assert not list(invisible(rows))
    assert not list(mojibake(rows))
    assert without_unseen(text) == repair(text) == text


@pytest.mark.parametrize("text", HIDDEN)
def test_a_hidden_character_is_named_by_place_and_removed(text: str) -> None:
    (issue,) = invisible(corpus(["clean", text]))
    place = next(unseen(text))
    assert issue.examples == ("t.csv:2",)
    assert f"U+{ord(text[place]):04X}" in issue.why
    assert f"character {place + 1}" in issue.why
    assert show_nothing_unseen(issue, text) == HIDDEN[text]
    assert not list(unseen(HIDDEN[text]))


def test_an_override_is_worse_than_a_left_over() -> None:
    worse, less = (next(iter(invisible(corpus([text])))) for text in ("a\u202eb", "a\u200bb"))
    assert worse.severity > less.severity


@pytest.mark.parametrize("text", REAL[:5])
@pytest.mark.parametrize("codec", ["cp1252", "latin-1"])
def test_text_decoded_in_a_wrong_encoding_is_shown_and_repaired(text: str, codec: str) -> None:
    wrong = text.encode().decode("latin-1" if codec == "latin-1" else "cp1252", errors="replace")
    if "\ufffd" in wrong:
        pytest.skip("that encoding cannot hold these bytes")
    (issue,) = mojibake(corpus(["Plain text", wrong]))
    assert issue.examples == ("t.csv:2",)
    assert rewrite_garbled(issue, wrong) == text


def test_a_text_that_cannot_be_read_is_broken_and_real_text_is_not() -> None:
    assert all(broken(dialogue(text, "a")) for text in ("BestÃ¤tigung fehlt", "5 \ufffd", " "))
    assert not any(broken(dialogue(text, "a")) for text in REAL)


def test_lost_characters_are_told_and_left_as_they_are() -> None:
    (issue,) = mojibake(corpus(["It cost 5 \ufffd in all"]))
    assert "U+FFFD" in issue.why
    assert rewrite_garbled(issue, "5 \ufffd") == "5 \ufffd"


@pytest.mark.parametrize("text", ["", "  \n", "\u200b\ufeff", "\u2060 "])
def test_an_answer_or_prompt_without_anything_to_read_is_found(text: str) -> None:
    asked = Corpus(
        {"train": [dialogue("Hi", text, name="t:1"), dialogue(text, "Hello", name="t:2"), dialogue("a", "b")]}
    )
    assert [(issue.examples, issue.why.startswith("an answer")) for issue in empty(asked)] == [
        (("t:1",), True),
        (("t:2",), False),
    ]


REFUSALS = [
    "I'm sorry, but I can't assist with that request.",
    "I’m sorry, I can’t help you.",
    "As an AI language model, I do not have personal opinions.",
    "Thank you for asking. Unfortunately, I am unable to provide medical advice.",
    "I cannot fulfill this request.",
    "I am just an AI and don't have access to that.",
    "I'm not able to provide that information.",
    "I'm not comfortable with this request.",
    "This goes against my guidelines, so I have to decline.",
    "Es tut mir leid, aber das kann ich nicht beantworten.",
    "Als KI-Sprachmodell kann ich keine Meinung haben.",
    "Je suis désolé, mais je ne peux pas vous aider.",
    "Lo siento, pero no puedo ayudarte con eso.",
    "Mi dispiace, ma non posso aiutarti.",
    "Desculpe, mas não posso ajudar com isso.",
    "Het spijt me, maar ik kan daar niet mee helpen.",
    "Przykro mi, ale nie mogę w tym pomóc.",
    "К сожалению, я не могу помочь с этим.",
    "很抱歉，我无法提供这方面的帮助。",
    "作为一个人工智能语言模型，我没有个人观点。",
    "申し訳ありませんが、そのご質問にはお答えできません。",
]
ANSWERS = [
    "I'm sorry, but I can't find your card; is the number right?",
    "I'm sorry to hear that. Your card will arrive on Monday.",
    "Sorry I couldn't help you more.",
    "You can't provide a receipt? Then call us.",
    "As an AI researcher, I have worked on vision for ten years.",
    "As an airline, we fly to ninety cities.",
    "I can help you with that.",
    "I'm not able to see the number, but the card is on its way.",
    "It goes against the grain, but cut it so.",
    "Leider ist Ihre Karte noch nicht da.",
    "Ich kann Ihnen gerne helfen.",
    "Je ne sais pas où est la gare.",
    "She writes: 'First sentence. Second. Third. Fourth.' Then: I cannot help you.",
]


@pytest.mark.parametrize("text", REFUSALS)
def test_refusals_are_found_in_many_languages(text: str) -> None:
    (issue,) = refusal(corpus(["Yes, of course.", text]))
    assert issue.examples == ("t.csv:2",)


@pytest.mark.parametrize("text", ANSWERS)
def test_answers_that_only_sound_alike_are_no_refusals(text: str) -> None:
    assert refuses(text) is None


def test_a_customers_own_words_and_a_label_are_no_refusals() -> None:
    asked = dialogue("I'm sorry, but I can't assist with that request.", "No matter.")
    assert not list(refusal(Corpus({"train": [asked]})))
    assert not list(refusal(corpus(["I cannot help you."], label=True)))


def test_a_sentence_around_a_share_of_the_answers_is_told_with_its_rate() -> None:
    plain = [f"The answer to number {n} is {n * n}. Check it twice." for n in range(100)]
    closed = [text + " Let me know if you need anything else!" if n < 30 else text for n, text in enumerate(plain)]
    opened = ["Thank you very much for your question! " + text if n < 40 else text for n, text in enumerate(plain)]
    (end,), (start,) = boilerplate(corpus(closed)), boilerplate(corpus(opened))
    assert "30 of 100 answers (30.0%, interval 21.9% to 39.6%) end with 'Let me know if you" in end.why
    assert "40 of 100 answers" in start.why
    assert "open with 'Thank you" in start.why
    assert not list(boilerplate(corpus(plain)))


def test_labels_and_repeated_answers_are_no_boilerplate() -> None:
    same = ["This is the one same sentence that is said. And this one is the second of it."] * 50
    assert not list(boilerplate(corpus(same)))
    assert not list(boilerplate(corpus([f"{text} {n}" for n, text in enumerate(same)], label=True)))


def test_the_order_of_rows_changes_nothing() -> None:
    rows = list(corpus([*REAL, *HIDDEN, *REFUSALS, *ANSWERS, "", "CafÃ© au lait"]).rows)
    for check in (empty, invisible, mojibake, refusal, boilerplate):
        assert list(check(Corpus({"train": rows}))) == list(check(Corpus({"train": rows[::-1]})))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")
@pytest.mark.parametrize(
    ("name", "options", "most"),
    [
        ("e2e-cleaned/train.csv", ReadOptions(input="mr", output="ref", limit=1500), 0),
        ("gsm8k/test.jsonl", ReadOptions(input="question", output="answer", limit=700), 2),
        ("banking77/test.csv", ReadOptions(input="text", output="category", limit=1000), 0),
    ],
)
def test_clean_sets_raise_next_to_nothing(name: str, options: ReadOptions, most: int) -> None:
    examples: Sequence[Example] = read(str(SHARED / name), options).examples
    rows = Corpus({"train": examples})
    found = [issue for check in (empty, invisible, mojibake, refusal, boilerplate) for issue in check(rows)]
    assert len(found) <= most
