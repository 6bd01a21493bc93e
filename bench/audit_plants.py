"""Defects put into real rows, each with the ids of the rows that now have it, so that a check can be held to them.

A plant makes a corpus in which some rows are broken; all else stays as it was. Plants of rows name them; plants of the
whole (labels skewed, the longer side preferred) are seen or not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random
from typing import Literal

import audit_values as values
from audit_values import Make

from luthier.checks.check import Corpus
from luthier.types import Example

K = 60
"""Rows planted at a time, and rows given something that only looks like the defect."""
Side = Literal["prompt", "answer"]
Copy = Callable[[Example, str, Random], Example]
"""(row, name of the new row, draws) -> the new row."""


@dataclass(frozen=True, slots=True)
class Rows:
    """A real data set, as it was read."""

    train: tuple[Example, ...]
    test: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class Planted:
    """A corpus with a defect, and the one without."""

    broken: Corpus
    clean: Corpus
    ids: frozenset[str] = frozenset()
    """Rows that must be told, and nothing else; empty where the whole has the defect."""


@dataclass(frozen=True, slots=True)
class Plant:
    """One kind of defect."""

    check: str
    what: str
    data: str
    """Name of the real set."""
    make: Callable[[Rows, Random], Planted]


def reworded(
    example: Example, edit: Callable[[str], str], side: Side = "prompt", *, name: str | None = None
) -> Example:
    """The example with its last prompt turn, or its first answer, edited; under another name if one is given."""
    named = replace(example, id=name or example.id)
    if side == "prompt":
        *before, last = example.prompt
        return replace(named, prompt=(*before, replace(last, content=edit(last.content))))
    first, *others = example.completions
    *turns, last = first.messages
    answer = replace(first, messages=(*turns, replace(last, content=edit(last.content))))
    return replace(named, completions=(answer, *others))


def relabelled(example: Example, label: str, *, name: str | None = None) -> Example:
    """The example with another label, as its answer too."""
    changed = reworded(example, lambda _: label, "answer", name=name)
    return replace(changed, label=label)


def edited(
    make: Make, decoy: Make | None = None, side: Side = "prompt", *, whole: bool = False
) -> Callable[[Rows, Random], Planted]:
    """K rows with a value between their words, or in place of them, and K others with what only looks like it."""

    def plant(rows: Rows, rng: Random) -> Planted:
        chosen = rng.sample(range(len(rows.train)), 2 * K if decoy else K)
        train = list(rows.train)
        for rank, at in enumerate(chosen):
            value = (make if rank < K or decoy is None else decoy)(rng)
            train[at] = reworded(train[at], partial(spliced, value=value, rng=rng, whole=whole), side)
        return planted(rows, train, (train[at].id for at in chosen[:K]))

    return plant


def added(copy: Copy, fits: Callable[[Example], bool] = lambda _: True) -> Callable[[Rows, Random], Planted]:
    """K more rows of training, each made from one that is there."""

    def plant(rows: Rows, rng: Random) -> Planted:
        some = rng.sample([row for row in rows.train if fits(row)], K)
        more = [copy(row, f"planted.csv:{at}", rng) for at, row in enumerate(some, 1)]
        return planted(rows, [*rows.train, *more], (row.id for row in more))

    return plant


def leaked(copy: Copy, fits: Callable[[Example], bool] = lambda _: True) -> Callable[[Rows, Random], Planted]:
    """K test rows put into training; it is the test rows that must be told."""

    def plant(rows: Rows, rng: Random) -> Planted:
        some = rng.sample([row for row in rows.test if fits(row)], K)
        more = [copy(row, f"planted.csv:{at}", rng) for at, row in enumerate(some, 1)]
        return planted(rows, [*rows.train, *more], (row.id for row in some))

    return plant


def contaminated(copy: Copy) -> Callable[[Rows, Random], Planted]:
    """K rows of an evaluation file put into training."""

    def plant(rows: Rows, rng: Random) -> Planted:
        some = rng.sample(rows.test, K)
        more = [copy(row, f"planted.csv:{at}", rng) for at, row in enumerate(some, 1)]
        against = {"evaluation": rows.test}
        clean, broken = (Corpus({"train": tuple(part)}, against=against) for part in (rows.train, [*rows.train, *more]))
        return Planted(broken, clean, frozenset(row.id for row in more))

    return plant


def planted(
    rows: Rows,
    train: Iterable[Example],
    ids: Iterable[str] = (),
    *,
    test: Sequence[Example] | None = None,
) -> Planted:
    """The corpus with these training (and test) rows beside the one that was there."""
    clean = Corpus({"train": rows.train, "test": rows.test})
    broken = Corpus({"train": tuple(train), "test": tuple(rows.test if test is None else test)})
    return Planted(broken, clean, frozenset(ids))


def spliced(text: str, *, value: str, rng: Random, whole: bool = False) -> str:
    """The value between two words of the text, or in place of it."""
    if whole:
        return value
    words = text.split(" ")
    at = rng.randrange(len(words) + 1)
    return " ".join([*words[:at], value, *words[at:]])


def same(row: Example, name: str, rng: Random) -> Example:
    """The same but for case, punctuation and white space."""
    return reworded(row, lambda text: f" {text.upper() if rng.random() < 0.5 else text}!!", name=name)


def nearly(row: Example, name: str, rng: Random) -> Example:
    """One word more, at the end, the beginning or near either."""
    word = rng.choice(["please", "thanks", "now", "today", "again"])
    return reworded(row, lambda text: rng.choice([f"{text} {word}", f"{word} {text}"]), name=name)


def in_other_words(row: Example, name: str, rng: Random) -> Example:
    """The wording of PHRASES exchanged wherever it stands."""
    return reworded(row, exchanged, name=name)


def exchanged(text: str) -> str:
    """The text in other words; itself where it has none of PHRASES."""
    for phrase, other in PHRASES.items():
        text = re.sub(rf"\b{re.escape(phrase)}\b", other, text)
    return text


def inside(row: Example, name: str, rng: Random) -> Example:
    """The question within another text."""
    return reworded(
        row, lambda text: f"Here is something from my homework. {text} Could you explain it to me?", name=name
    )


def contradicted(row: Example, name: str, rng: Random) -> Example:
    """The same prompt, the next label or the next number."""
    if row.label is not None:
        return relabelled(row, {"card_arrival": "lost_or_stolen_card"}.get(row.label, "card_arrival"), name=name)
    return reworded(row, lambda text: re.sub(r"#### *(\S+)", "#### 1000003", text), "answer", name=name)


def given_away(rows: Rows, rng: Random) -> Planted:
    """K rows with the answer written after the question."""
    chosen = set(rng.sample(range(len(rows.train)), K))
    train = [
        reworded(row, lambda text, row=row: f"{text} ({row.answer})") if at in chosen else row
        for at, row in enumerate(rows.train)
    ]
    return planted(rows, train, (rows.train[at].id for at in chosen))


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


def rephrasable(row: Example) -> bool:
    """Whether other words make a text that differs in a good part of its words."""
    text = row.question
    changed = sum(1 for phrase in PHRASES if re.search(rf"\b{re.escape(phrase)}\b", text))
    return changed >= 2 and 6 <= len(text.split()) <= 16


ROWS = (
    Plant("duplicate", "a copy but for case and punctuation", "banking77", added(same)),
    Plant("duplicate", "a copy but for case and punctuation", "gsm8k", added(same)),
    Plant("near_duplicate", "a copy with a word more", "gsm8k", added(nearly)),
    Plant(
        "near_duplicate",
        "a copy with a word more",
        "hh-harmless",
        added(nearly, lambda row: len(row.question.split()) > 8),
    ),
    Plant("meaning_duplicate", "said in other words", "banking77", added(in_other_words, rephrasable)),
    Plant("leak", "test rows in training, in capitals", "banking77", leaked(same)),
    Plant("near_leak", "test rows in training with a word more", "gsm8k", leaked(nearly)),
    Plant("meaning_leak", "test rows in training in other words", "banking77", leaked(in_other_words, rephrasable)),
    Plant("contradiction", "a copy with another label", "banking77", added(contradicted)),
    Plant("contradiction", "a copy with another number", "gsm8k", added(contradicted)),
    Plant("contamination", "evaluation questions within other text", "gsm8k", contaminated(inside)),
    Plant("contamination", "evaluation prompts in capitals", "banking77", contaminated(same)),
    Plant("answer_in_prompt", "the answer after the question", "gsm8k", given_away),
    Plant(
        "empty",
        "an answer of white space",
        "e2e-cleaned",
        edited(lambda rng: rng.choice([" ", "\n", "\u200b"]), None, "answer", whole=True),
    ),
    Plant("invisible", "zero-width, direction, control", "e2e-cleaned", edited(values.invisible, values.visible)),
    Plant("mojibake", "UTF-8 read as cp1252", "e2e-cleaned", edited(values.garbled, values.ungarbled, "answer")),
    Plant(
        "refusal",
        "an answer that declines",
        "gsm8k",
        edited(
            lambda rng: rng.choice(values.REFUSALS), lambda rng: rng.choice(values.KIND_WORDS), "answer", whole=True
        ),
    ),
    Plant(
        "special_tokens",
        "chat markup",
        "e2e-cleaned",
        edited(lambda rng: rng.choice(values.MARKUP), lambda rng: rng.choice(values.NO_MARKUP)),
    ),
    Plant(
        "language_mismatch",
        "answers in five other languages",
        "gsm8k",
        edited(lambda rng: rng.choice(values.OTHER_LANGUAGES), None, "answer", whole=True),
    ),
    Plant("personal_data", "e-mail", "banking77", edited(values.email, values.harmless)),
    Plant("personal_data", "phone", "gsm8k", edited(values.phone, values.harmless)),
    Plant("personal_data", "IBAN", "gsm8k", edited(values.iban, values.no_iban)),
    Plant("personal_data", "card", "hh-harmless", edited(values.card, values.no_card)),
    Plant("personal_data", "IP address", "e2e-cleaned", edited(values.ip_address, values.harmless)),
    Plant("secret", "keys and passwords", "gsm8k", edited(values.key, values.no_key)),
)
