"""Answers that stand in their own prompt, word for word: a model can copy them, and does on nothing else.

Where most rows have it, that is the task (extraction), and said once. Not here: answers told in other words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luthier.checks.check import Corpus
from luthier.metrics.words import written_without_spaces
from luthier.stats import Interval, wilson
from luthier.types import Example, Issue

COMMON = 0.2
"""Share of rows from which it is the data's way rather than some rows' mistake."""
LONG = 20
"""Characters, and four words, from which a text does not stand in another by chance."""
SHOWN = 10
"""Rows shown where they are not told one by one."""
_LISTED = 200
"""Rows looked at for other labels."""
_NO_PHRASE = re.compile(r"[_/:#<>|]")
"""Marks that people who write a prompt do not use inside words."""


@dataclass(frozen=True, slots=True)
class _Found:
    """Rows of one kind of answer, labels or texts."""

    rows: int
    hits: tuple[int, ...]
    """Rows of the corpus whose answer stands in their prompt."""
    chance: int
    """Rows with a label in whose prompt another, drawn label stands."""


def answer_in_prompt(corpus: Corpus) -> Iterator[Issue]:
    """One Issue for each row whose answer, not by chance, stands in what it answers; one for all where many do.

    Case and white space are passed over; earlier turns of the assistant are no place to give an answer away.
    """
    for labelled in (True, False):
        places = [at for at, row in enumerate(corpus.rows) if (row.label is not None) == labelled and row.prompt]
        if places:
            found = _labels(corpus, places) if labelled else _texts(corpus, places)
            yield from _told(corpus, found, labelled=labelled)


def _texts(corpus: Corpus, places: Sequence[int]) -> _Found:
    looked = corpus.each(places, "answers in prompts")
    return _Found(len(places), tuple(at for at in looked if _stands(corpus.rows[at].answer, corpus.rows[at])), 0)


def _labels(corpus: Corpus, places: Sequence[int]) -> _Found:
    """As for texts; nothing where the prompts list the labels."""
    names = sorted({corpus.rows[at].label or "" for at in places})
    index = {name: at for at, name in enumerate(names)}
    hits: list[int] = []
    chance = 0
    for at in corpus.each(places, "labels in prompts"):
        row = corpus.rows[at]
        own = index[row.label or ""]
        hits += [at] * _stands(names[own], row)
        drawn = (own + 1 + int(corpus.keys[at]) % max(1, len(names) - 1)) % len(names)
        chance += drawn != own and _stands(names[drawn], row)
    some = hits[:: max(1, len(hits) // _LISTED)]
    listed = sum(_another(names, corpus.rows[at]) for at in some)
    return _Found(len(places), () if 2 * listed > len(some) else tuple(hits), chance)


def _another(names: Sequence[str], row: Example) -> bool:
    """Whether a label that is no part of the row's own stands in its prompt."""
    own = (row.label or "").casefold()
    return any(name.casefold() not in own and _stands(name, row) for name in names)


def _stands(answer: str, row: Example) -> bool:
    """Whether the answer stands in the prompt as a phrase of whole words."""
    sought = " ".join(answer.split()).casefold()
    if not sought:
        return False
    whole = not written_without_spaces(sought)
    for turn in row.prompt:
        if turn.role != "assistant" and len(turn.content) >= len(sought):
            text = " ".join(turn.content.split()).casefold()
            if sought in text and (not whole or _whole(sought, text)):
                return True
    return False


def _whole(sought: str, text: str) -> bool:
    edge = r"(?<!\w)" if re.match(r"\w", sought) else ""
    end = r"(?!\w)" if re.search(r"\w\Z", sought) else ""
    return re.search(edge + re.escape(sought) + end, text) is not None


def _told(corpus: Corpus, found: _Found, *, labelled: bool) -> Iterator[Issue]:
    if not found.hits:
        return
    rate = wilson(len(found.hits), found.rows)
    sure = [at for at in found.hits if _sure(corpus.rows[at])]
    if rate.value >= COMMON:
        yield _all(corpus, found, rate, labelled=labelled)
        return
    for at in sure:
        yield _one(corpus, at)
    if rest := sorted(set(found.hits) - set(sure)):
        yield _some(corpus, rest, wilson(len(rest), found.rows), found.rows)


def _sure(row: Example) -> bool:
    """Whether the answer is such that it does not stand in a prompt by chance."""
    answer = " ".join((row.label or row.answer).split())
    if row.label is not None:
        return _NO_PHRASE.search(answer) is not None or len(answer.split()) >= 4
    if written_without_spaces(answer):
        return len(answer) >= LONG // 2
    return len(answer) >= LONG and len(answer.split()) >= 4


def _one(corpus: Corpus, at: int) -> Issue:
    row = corpus.rows[at]
    answer = " ".join(row.answer.split())
    return Issue(
        check="answer_in_prompt",
        examples=(row.id,),
        severity=0.6,
        flagged=True,
        why=f"the answer of {row.id} stands in its prompt: {answer if len(answer) <= 60 else answer[:60] + '…'!r}",
        remedy="take the answer out of the prompt, or leave the row out",
    )


def _all(corpus: Corpus, found: _Found, rate: Interval, *, labelled: bool) -> Issue:
    """The rows as a whole: the task where they are texts; a leak where they are labels and others are not there."""
    leak = labelled and rate.low > 2 * found.chance / found.rows
    kind = "label" if labelled else "answer"
    also = f", another label in {100 * found.chance / found.rows:.1f} %" if labelled else ""
    return Issue(
        check="answer_in_prompt",
        examples=tuple(corpus.rows[at].id for at in found.hits[:SHOWN]),
        severity=0.6 if leak else 0.1,
        flagged=leak or (not labelled and rate.high < 0.5),
        why=f"the {kind} stands in the prompt of {_rate(rate)} of {found.rows:,} rows{also}",
        remedy="take the label out of the prompts"
        if leak
        else "nothing, if the task is to find the answer in the text",
    )


def _some(corpus: Corpus, places: Sequence[int], rate: Interval, rows: int) -> Issue:
    return Issue(
        check="answer_in_prompt",
        examples=tuple(corpus.rows[at].id for at in places[:SHOWN]),
        severity=0.1,
        flagged=False,
        why=f"{len(places):,} short answers stand in their prompts, {_rate(rate)} of {rows:,} rows, as short ones may "
        "by chance",
        remedy="look at a few; nothing, if people write so",
    )


def _rate(rate: Interval) -> str:
    return f"{100 * rate.value:.2g} % ({100 * rate.low:.2g} to {100 * rate.high:.2g})"
