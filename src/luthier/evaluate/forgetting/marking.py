"""Whether a short answer to a general question is right.

| rule | an answer is right where |
|---|---|
| contains | an accepted answer stands in it, word for word; case and punctuation do not count |
| first | of the accepted and the wrong answers, an accepted one comes first |
| number | its first number that the question did not hold is the accepted one (else its last number); words count |
| order | the items stand in it in the right order, once the question's own order is left out |
| cased | an accepted answer stands in it, letter for letter |

Small models answer in sentences, so that an exact match would mark most right answers wrong. Not here: what is asked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from luthier.evaluate.forgetting.texts import Question, Rule
from luthier.metrics.words import words

_SPELLED = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred"
)
_VALUES = dict(zip(_SPELLED.split(), map(str, (*range(20), *range(20, 101, 10))), strict=True))
_COMPOUND = re.compile(rf"\b({'|'.join(_SPELLED.split()[20:28])})[- ]({'|'.join(_SPELLED.split()[1:10])})\b", re.I)
_HUNDRED = re.compile(r"\b(?:one|a) hundred\b", re.I)
_NUMBER = re.compile(r"(?<![\w-])-\d+|\d+")


def right(question: Question, said: str) -> bool:
    """Whether what a model said answers the question; blank text never does."""
    return _RULES[question.rule](question, said)


def _contains(question: Question, said: str) -> bool:
    return any(_place(words(said), words(accepted)) is not None for accepted in question.accept)


def _first(question: Question, said: str) -> bool:
    given = words(said)
    good, bad = (
        min((at for one in each if (at := _place(given, words(one))) is not None), default=len(given))
        for each in (question.accept, question.wrong)
    )
    return good < bad


def _number(question: Question, said: str) -> bool:
    asked, given = _numbers(question.question), _numbers(said)
    new = [one for one in given if one not in asked]
    return bool(given) and (new[0] if new else given[-1]) in question.accept


def _order(question: Question, said: str) -> bool:
    items = [word for item in question.accept for word in _digits(words(item))]
    asked, named = ([word for word in _digits(words(text)) if word in items] for text in (question.question, said))
    return _place(named[len(asked) :] if asked and named[: len(asked)] == asked else named, items) is not None


def _cased(question: Question, said: str) -> bool:
    return any(re.search(rf"(?<!\w){re.escape(accepted)}(?!\w)", said) for accepted in question.accept)


_RULES: dict[Rule, Callable[[Question, str], bool]] = {
    "contains": _contains,
    "first": _first,
    "number": _number,
    "order": _order,
    "cased": _cased,
}


def _numbers(text: str) -> list[str]:
    """The whole numbers of a text in their order, those in words among them."""
    joined = _COMPOUND.sub(lambda pair: str(sum(int(_VALUES[one.lower()]) for one in pair.groups())), text)
    spelled = re.sub(r"[^\W\d_]+", lambda word: _VALUES.get(word[0].lower(), word[0]), _HUNDRED.sub("100", joined))
    return _NUMBER.findall(re.sub(r"(?<=\d),(?=\d{3}\b)", "", spelled))


def _digits(given: Sequence[str]) -> list[str]:
    return [_VALUES.get(word, word) for word in given]


def _place(given: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Where a run of words begins among others."""
    size = len(wanted)
    return next((at for at in range(len(given) - size + 1) if list(given[at : at + size]) == list(wanted)), None)
