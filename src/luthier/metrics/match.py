"""Exact match and token overlap after SQuAD's normalisation, mended in three places.

SQuAD (Rajpurkar et al. 2016) lower-cases, drops punctuation and the articles *a, an, the*, and collapses white
space. Three of its results are wrong for short answers, so here:

* a point, hyphen, slash or colon before a digit stays: 3.5 is not 35, -5 is not 5 (thousands commas still go);
* an answer that would vanish (the choice "A", the answer "!") is kept as it is, lower-cased;
* punctuation of every script counts, and scripts written without spaces are split into characters for the overlap.

An empty answer scores 0, whatever the reference.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from luthier.metrics.words import spaced

_ARTICLE = re.compile(r"\b(?:a|an|the)\b")
_IN_NUMBER = frozenset(".-/:")


def exact(prediction: str, references: Sequence[str]) -> float:
    """1 if the normalised prediction equals a normalised reference, else 0."""
    given = normalise(prediction)
    return float(bool(given) and any(given == normalise(reference) for reference in references))


def token_f1(prediction: str, references: Sequence[str]) -> float:
    """Best harmonic mean of precision and recall of the bag of normalised words, over references, in [0, 1]."""
    given = Counter(spaced(normalise(prediction)).split())
    return max((_overlap(given, Counter(spaced(normalise(text)).split())) for text in references), default=0.0)


def normalise(text: str) -> str:
    """The form in which answers are compared; empty only for blank text."""
    lowered = " ".join(unicodedata.normalize("NFC", text).lower().split())
    bare = "".join(char for at, char in enumerate(lowered) if not _dropped(lowered, at))
    return " ".join(_ARTICLE.sub(" ", bare).split()) or lowered


def _dropped(text: str, at: int) -> bool:
    if text[at] in _IN_NUMBER and text[at + 1 : at + 2].isdigit():
        return False
    return text[at] in string.punctuation or unicodedata.category(text[at])[0] == "P"


def _overlap(given: Counter[str], right: Counter[str]) -> float:
    both = given.total() + right.total()
    return 2 * (given & right).total() / both if both else 0.0
