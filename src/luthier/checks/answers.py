"""What answers say without answering: refusals, and one sentence around answers that are otherwise different."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from luthier.checks.check import Corpus, number
from luthier.checks.refusals import refuses
from luthier.stats import wilson
from luthier.types import Example, Issue

SHOWN: Final = 20
"""Rows that an Issue about the whole set names."""
SHARE: Final = 0.05
"""Share of the answers from which a sentence that opens or ends them is boilerplate."""
FEWEST: Final = 20
"""Answers from which a share says something."""
DIFFERENT: Final = 0.5
"""Share of those answers that must be unlike each other; fewer are duplicates rather than boilerplate."""
WORDS: Final = 6
"""Words from which a sentence is no mere greeting."""
_REACH: Final = 400
"""Characters in which a first or last sentence is looked for."""
_END: Final = re.compile(r"[.!?…。！？][\"'”’)\]*]*(?=\s)|\n")


def refusal(corpus: Corpus) -> Iterator[Issue]:
    """Answers that decline to answer, told by their first sentences (see `refusals`); of a pair the better answer.

    One Issue a row. Labels are no answers, and what a customer says in a prompt is not looked at.
    """
    for row in corpus.each(corpus.rows, "refusals"):
        if row.label is None and (words := refuses(_wanted(row))):
            yield Issue(
                check="refusal",
                examples=(row.id,),
                severity=0.4,
                flagged=True,
                why=f"the answer of {row.id} refuses: {words!r}",
                remedy="write the wanted answer or leave the row out; where refusing is wanted, silence this check",
            )


def boilerplate(corpus: Corpus) -> Iterator[Issue]:
    """A sentence of WORDS words or more that opens or ends SHARE of the answers, which are otherwise different."""
    places = [at for at, row in enumerate(corpus.rows) if row.label is None]
    if len(places) < FEWEST:
        return
    sentences = np.zeros((len(places), 2), np.uint64)
    for line, at in enumerate(corpus.each(places, "boilerplate")):
        sentences[line] = [number(_plain(text)) if text else 0 for text in _edges(corpus.rows[at].answer)]
    for edge, verb in enumerate(("open", "end")):
        for sentence, count in _common(sentences[:, edge]):
            held = [places[at] for at in np.flatnonzero(sentences[:, edge] == sentence)]
            if len(np.unique(corpus.answers[held])) >= DIFFERENT * count:
                yield _around(corpus, held, len(places), verb, _edges(corpus.rows[held[0]].answer)[edge])


def _wanted(row: Example) -> str:
    return max(row.completions, key=lambda one: one.score).text


def _common(sentences: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Hashes, but for 0, that make up SHARE of all, with how often they stand there; the commonest first."""
    values, counts = np.unique(sentences, return_counts=True)
    kept = (values != 0) & (counts >= max(FEWEST, SHARE * len(sentences)))
    return sorted(zip(values[kept].tolist(), counts[kept].tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))


def _edges(answer: str) -> tuple[str, str]:
    """First and last sentence of an answer, each empty where it is the whole answer or has too few words."""
    text = answer.strip()
    head, tail = text[:_REACH], text[-_REACH:]
    found = _END.search(head)
    first = head[: found.end()] if found else ""
    cuts = [at for mark in (". ", "! ", "? ", "\n", "。", "！", "？") if (at := tail.rfind(mark, 0, -1)) >= 0]
    last = tail[max(cuts) + 1 :] if cuts else ""
    return _long(first), _long(last)


def _long(sentence: str) -> str:
    words = len(sentence.split()) if sentence.isascii() else max(len(sentence.split()), len(sentence) // 4)
    return sentence.strip() if words >= WORDS else ""


def _plain(sentence: str) -> str:
    return " ".join(sentence.casefold().split())


def _around(corpus: Corpus, held: Sequence[int], total: int, verb: str, sentence: str) -> Issue:
    share = wilson(len(held), total)
    return Issue(
        check="boilerplate",
        examples=tuple(corpus.rows[at].id for at in held[:SHOWN]),
        severity=round(min(0.6, 0.2 + share.value / 2), 3),
        flagged=True,
        why=f"{len(held):,} of {total:,} answers ({share.value:.1%}, interval {share.low:.1%} to {share.high:.1%}) "
        f"{verb} with {sentence[:120]!r} and differ otherwise",
        remedy="take the sentence out unless the model is to say it; it is learned with every one of these answers",
    )
