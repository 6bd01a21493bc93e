"""Copies of real rows, and values put into them, that checks of single rows are held to; see `audit_plants`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

import audit_values as values
from audit_plants import (
    Plant,
    Planted,
    Rows,
    added,
    contaminated,
    edited,
    leaked,
    over,
    planted,
    relabelled,
    reworded,
    sampled,
)

from luthier.types import Example

EVERY = ("banking77", "gsm8k", "e2e-cleaned", "hh-harmless")
TEXTS = EVERY[1:]
"""Sets whose answers are texts."""
FEW = 120
"""Texts that contradict others: 3 % of the rows, since a value is known by answers that mostly agree on it."""
PHRASES: Mapping[str, str] = {
    "How do I": "How can I",
    "What do I do": "What should I do",
    "Can you tell me": "Could you tell me",
    "I would like": "I want",
    "I'm": "I am",
    "don't": "do not",
    "didn't": "did not",
    "can't": "cannot",
    "hasn't": "has not",
    "haven't": "have not",
    "isn't": "is not",
    "I've": "I have",
    "What is": "What's",
    "my": "the",
    "Why is": "Why's",
}
SWAPS: Mapping[str, str] = {
    "riverside": "city centre",
    "city centre": "riverside",
    "Chinese": "English",
    "English": "Chinese",
    "1 out of 5": "3 out of 5",
    "3 out of 5": "1 out of 5",
    "The Eagle": "The Punter",
    "The Punter": "The Mill",
    "The Wrestlers": "Cocum",
    "Cocum": "Aromi",
    "Fitzbillies": "The Wrestlers",
    "Cotto": "Fitzbillies",
    "Burger King": "Clare Hall",
    "Crowne Plaza Hotel": "Burger King",
    "Raja Indian Cuisine": "The Sorrento",
}
"""Values of restaurants, each with another of its kind."""


def same(row: Example, name: str, rng: Random) -> Example:
    """The same but for case, punctuation and white space."""
    return reworded(row, lambda text: f" {text.upper() if rng.random() < 0.5 else text}!!", name=name)


def nearly(row: Example, name: str, rng: Random) -> Example:
    """One word more, at the end or the beginning."""
    word = rng.choice(["please", "thanks", "now", "today", "again"])
    return reworded(row, lambda text: rng.choice([f"{text} {word}", f"{word} {text}"]), name=name)


def long_enough(row: Example) -> bool:
    """Whether a word more leaves four fifths of the three-word runs in common."""
    return len(row.question.split()) >= 8


def in_other_words(row: Example, name: str, rng: Random) -> Example:
    """The wording of PHRASES exchanged wherever it stands."""
    return reworded(row, exchanged, name=name)


def exchanged(text: str) -> str:
    """The text in other words; itself where it has none of PHRASES."""
    for phrase, other in PHRASES.items():
        text = re.sub(rf"\b{re.escape(phrase)}\b", other, text)
    return text


def rephrasable(row: Example) -> bool:
    """Whether other words make a text that differs in a good part of its words."""
    changed = sum(1 for phrase in PHRASES if re.search(rf"\b{re.escape(phrase)}\b", row.question))
    return changed >= 2 and 6 <= len(row.question.split()) <= 16


def inside(row: Example, name: str, rng: Random) -> Example:
    """The question within another text."""
    return reworded(
        row, lambda text: f"Here is something from my homework. {text} Could you explain it to me?", name=name
    )


def quotable(row: Example) -> bool:
    """Whether the question has so many words that a quotation can be told from chance."""
    return len(row.question.split()) >= 16


def contradicted(row: Example, name: str, rng: Random) -> Example:
    """The same prompt, another label or another number."""
    if row.label is not None:
        return relabelled(row, {"card_arrival": "lost_or_stolen_card"}.get(row.label, "card_arrival"), name=name)
    return reworded(row, lambda text: re.sub(r"#### *(\S+)", "#### 1000003", text), "answer", name=name)


def revalued(row: Example, name: str, rng: Random) -> Example:
    """The same facts, one of them told as another value of its kind."""
    value = rng.choice([value for value in SWAPS if told(value, row)])
    return reworded(row, lambda text: text.replace(value, SWAPS[value]), "answer", name=name)


def told(value: str, row: Example) -> bool:
    """Whether a row's facts have a value, which its answer tells."""
    return f"[{value}]" in row.question and re.search(rf"\b{value}\b", row.answer) is not None


def negated(row: Example, name: str, rng: Random) -> Example:
    """The same facts, with the opposite of what is said of families."""
    return reworded(row, opposite, "answer", name=name)


def opposite(text: str) -> str:
    """Without its "not", or with one."""
    without = re.sub(r"\b(not|non)[ -](?=(an? )?(\w+[- ])?famil)", "", text)
    return without if without != text else re.sub(r"\b(is|are) (?=(an? )?(\w+[- ])?famil)", r"\1 not ", text)


def of_another(rows: Rows, rng: Random) -> Planted:
    """Rows with the answer of a row whose facts have another name."""
    more = []
    for at, row in enumerate(rng.sample(rows.train, FEW), 1):
        other = rng.choice([one for one in rows.train if one.question.split("]")[0] != row.question.split("]")[0]])
        more.append(reworded(row, lambda _, other=other: other.answer, "answer", name=f"planted.csv:{at}"))
    return planted(rows, [*rows.train, *more], (row.id for row in more))


def given_away(rows: Rows, rng: Random) -> Planted:
    """Rows with the answer written after the question."""
    chosen = {row.id for row in sampled([row for row in rows.train if len(row.answer.split()) >= 4 or row.label], rng)}
    train = [
        reworded(row, lambda text, row=row: f"{text} ({row.answer})") if row.id in chosen else row for row in rows.train
    ]
    return planted(rows, train, chosen)


def abroad(rows: Rows, rng: Random) -> Planted:
    """Some answers in another language: 2 % of the rows, since where many are the check takes it for the task."""
    chosen = {row.id for row in rng.sample(rows.train, FEW // 3)}
    train = [
        reworded(row, lambda _: rng.choice(values.OTHER_LANGUAGES), "answer") if row.id in chosen else row
        for row in rows.train
    ]
    return planted(rows, train, chosen)


def one_of(some: list[str]) -> values.Make:
    """Draws among them."""
    return lambda rng: rng.choice(some)


EMPTY = edited(one_of([" ", "\n", "\u200b", ""]), None, "answer", whole=True)
REFUSED = edited(one_of(values.REFUSALS), one_of(values.KIND_WORDS), "answer", whole=True)

ROWS: tuple[Plant, ...] = (
    *over(EVERY, "special_tokens", "chat markup", edited(one_of(values.MARKUP), one_of(values.NO_MARKUP))),
    *over(EVERY, "invisible", "control characters", edited(values.control, values.visible)),
    *over(EVERY, "invisible", "characters that turn the direction", edited(values.bidi, values.visible)),
    *over(EVERY, "invisible", "characters of no width", edited(values.zero_width, values.visible)),
    *over(EVERY, "mojibake", "UTF-8 read as cp1252", edited(values.garbled, values.ungarbled)),
    *over(EVERY, "markup", "remains of a web page", edited(values.of_a_page, values.of_no_page)),
    *over(EVERY, "empty", "answers with nothing to read", EMPTY),
    *over(TEXTS, "refusal", "answers that decline", REFUSED),
    *over(TEXTS, "language_mismatch", "answers in five other languages", abroad, bar=0),
    *over(EVERY, "duplicate", "copies but for case and punctuation", added(same)),
    *over(EVERY, "near_duplicate", "copies with a word more, of 8 words or longer", added(nearly, long_enough)),
    Plant("meaning_duplicate", "said in other words", "banking77", added(in_other_words, rephrasable)),
    *over(EVERY, "leak", "test rows in training, in capitals", leaked(same)),
    *over(EVERY, "near_leak", "test rows in training with a word more", leaked(nearly, long_enough)),
    Plant("meaning_leak", "test rows in training in other words", "banking77", leaked(in_other_words, rephrasable)),
    Plant("contradiction", "copies with another label", "banking77", added(contradicted)),
    Plant("contradiction", "copies with another number", "gsm8k", added(contradicted)),
    Plant(
        "contradiction",
        "copies that tell another value",
        "e2e-cleaned",
        added(revalued, lambda row: any(told(value, row) for value in SWAPS), FEW),
    ),
    Plant("contradiction", "copies with the answer to other facts", "e2e-cleaned", of_another),
    Plant(
        "contradiction",
        "copies with a “not” too many or too few",
        "e2e-cleaned",
        added(negated, lambda row: opposite(row.answer) != row.answer, FEW),
        bar=0,
    ),
    *over(EVERY, "answer_in_prompt", "the answer after the question", given_away),
    *over(EVERY, "personal_data", "e-mail", edited(values.email, values.harmless)),
    *over(EVERY, "personal_data", "IBAN", edited(values.iban, values.no_iban)),
    *over(EVERY, "personal_data", "card", edited(values.card, values.no_card)),
    *over(EVERY, "personal_data", "phone", edited(values.phone, values.harmless)),
    *over(EVERY, "personal_data", "IP address", edited(values.ip_address, values.harmless)),
    *over(EVERY, "secret", "keys and passwords", edited(values.key, values.no_key)),
    *over(EVERY, "contamination", "evaluation prompts in capitals", contaminated(same)),
    *over(EVERY, "contamination", "evaluation prompts with a word more", contaminated(nearly, long_enough)),
    *over(EVERY, "contamination", "evaluation questions within other text", contaminated(inside, quotable)),
    Plant(
        "meaning_contamination",
        "evaluation questions in other words",
        "banking77",
        contaminated(in_other_words, rephrasable),
    ),
)
