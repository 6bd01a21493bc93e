"""What every perturbation must keep; run it on one of your own: `check(perturbation)`.

Each law raises AssertionError with the texts in it.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Final

from luthier.evaluate.behaviour.cases import changed, draws
from luthier.evaluate.behaviour.perturbation import BAIT, Keeps, Perturbation
from luthier.types import Completion, Example, Message

TEXTS: Final = (
    "I do not know why my card, which I bought on 3 May for $12.50, isn't working. Can you help me right now?",
    "I've been charged twice for order 4711. I am not happy; it is the second time, and nobody ever told me!",
    "Please ask James or Aisha whether they are coming at 9 o'clock on 12/05/2024, and do not call 555-0199.",
    "WHERE IS MY MONEY??? I WON'T WAIT 30 DAYS.",
    "Maybe someone almost bought the large one. Is it possible to get 2,500 of them?",
    "¿Dónde está mi tarjeta? No la encuentro desde hace 14 días.",
    "Meine Karte funktioniert nicht, obwohl ich 250 Euro eingezahlt habe.",
    "Где моя карта? Я жду уже 3 недели.",
    "我的卡在哪里？已经等了三天。",
    "name[The Eagle], eatType[coffee shop], priceRange[less than £20], near[Burger King]",
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many in May.",
    "ok",
)
BLANK: Final = ("", "  \n")
_SEEDS: Final = range(5)
_NEGATION: Final = re.compile(r"\b(?:not|no|never|nobody|nothing|cannot|\w+n['’]t)\b", re.IGNORECASE)
_NUMBER: Final = re.compile(r"\d+(?:[.,:/-]\d+)*")


def check(perturbation: Perturbation, texts: Sequence[str] = TEXTS) -> None:
    """All laws, on texts of several languages, or on your own."""
    for text in (*texts, *BLANK):
        for seed in _SEEDS:
            is_deterministic(perturbation, text, seed)
            changes_or_says_none(perturbation, text, seed)
            keeps_what_it_promises(perturbation, text, seed)
    changes_something(perturbation, texts)
    touches_the_last_user_message_alone(perturbation, texts)


def is_deterministic(perturbation: Perturbation, text: str, seed: int) -> None:
    """The same text and random numbers give the same change, and no global generator is drawn from."""
    state = random.getstate()
    one, other = perturbation.change(text, Random(seed)), perturbation.change(text, Random(seed))
    assert one == other, f"{text!r} became {one!r}, then {other!r}"
    assert random.getstate() == state, "it draws from the global generator; draw from the one it is given"


def changes_or_says_none(perturbation: Perturbation, text: str, seed: int) -> None:
    """What comes back differs; where there is nothing to change, None comes back; so it does for a blank text."""
    got = perturbation.change(text, Random(seed))
    assert got != text, f"{text!r} came back as it was; return None"
    assert text.strip() or got is None, f"a blank text became {got!r}; return None"
    assert perturbation.expects == "disobedience" or got is None or BAIT not in got, f"{got!r} names a wrong answer"


def keeps_what_it_promises(perturbation: Perturbation, text: str, seed: int) -> None:
    """What `keeps` says is still there."""
    got = perturbation.change(text, Random(seed))
    if got is not None:
        assert KEEPS[perturbation.keeps](text, got), f"{text!r} became {got!r}, which loses its {perturbation.keeps}"


def changes_something(perturbation: Perturbation, texts: Sequence[str]) -> None:
    """At least one of the texts can be changed."""
    assert any(perturbation.change(text, Random(0)) is not None for text in texts), "it changes none of the texts"


def touches_the_last_user_message_alone(perturbation: Perturbation, texts: Sequence[str]) -> None:
    """System message, earlier turns, answers and all else of an example stay."""
    for text in texts:
        turns = (Message("system", text), Message("user", text), Message("assistant", text), Message("user", text))
        row = Example("t:1", turns, (Completion((Message("assistant", text),)),), text, "g", "s", (text,))
        got = perturbation.change(text, draws(0, row.id, "one"))
        if got is None:
            continue
        after = changed(row, got)
        assert after.prompt[:-1] == turns[:-1], f"{perturbation.title}: another message was changed"
        assert after.prompt[-1] == replace(turns[-1], content=got)
        assert replace(after, prompt=row.prompt) == row, f"{perturbation.title}: more than the prompt was changed"


def _text(before: str, after: str) -> bool:
    return before.strip() in after


def _words(before: str, after: str) -> bool:
    return re.findall(r"\w+", before.casefold()) == re.findall(r"\w+", after.casefold())


def _spelling(before: str, after: str) -> bool:
    """As many words, few of them changed, each by one slip, and none that is a number or a negation."""
    pairs = [pair for pair in zip(before.split(), after.split(), strict=False) if pair[0] != pair[1]]
    few = len(pairs) <= 1 + len(before.split()) // 5
    return len(before.split()) == len(after.split()) and few and all(_one_slip(*pair) for pair in pairs)


def _one_slip(before: str, after: str) -> bool:
    """One letter other or missing, or two neighbours swapped, in a word that is no number and no negation."""
    if _NUMBER.search(before) or _NEGATION.search(before):
        return False
    start = _alike_until(before, after)
    rest, other = before[start:], after[start:]
    end = _alike_until(rest[::-1], other[::-1])
    had, has = rest[: len(rest) - end], other[: len(other) - end]
    return (len(had) <= 1 and len(has) <= 1) or (len(had) == 2 and had == has[::-1])


def _alike_until(one: str, other: str) -> int:
    return next((at for at, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _sense(before: str, after: str) -> bool:
    """The same numbers, as many negations, and at least a third of the words."""
    numbers = _NUMBER.findall(before) == _NUMBER.findall(after)
    negations = len(_NEGATION.findall(before)) == len(_NEGATION.findall(after))
    had, has = (Counter(text.casefold().split()) for text in (before, after))
    return numbers and negations and 3 * (had & has).total() >= had.total() - 3


def _shape(before: str, after: str) -> bool:
    """As many words; those that differ are numbers of the same size, or begin with a capital."""
    pairs = [pair for pair in zip(before.split(), after.split(), strict=False) if pair[0] != pair[1]]
    return len(before.split()) == len(after.split()) and all(_alike(*pair) for pair in pairs)


def _alike(before: str, after: str) -> bool:
    if _NUMBER.search(before):
        return re.sub(r"\d", "0", before) == re.sub(r"\d", "0", after)
    return bool(re.search(r"[A-Z]", before) and re.search(r"[A-Z]", after))


KEEPS: Final[dict[Keeps, Callable[[str, str], bool]]] = {
    "text": _text,
    "words": _words,
    "spelling": _spelling,
    "sense": _sense,
    "shape": _shape,
    "nothing": lambda before, after: True,
}
