"""ROUGE-1, ROUGE-2 and ROUGE-L as F-measures (Lin 2004), over the words of `words.py`.

ROUGE-L is the sentence-level one: the longest common subsequence of the whole texts. ROUGE-Lsum takes texts line by
line: each line of the reference is matched with every line of the answer. Several references: the best one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from luthier.metrics.words import words


def rouge1(prediction: str, references: Sequence[str]) -> float:
    """F-measure of shared words, in [0, 1]."""
    return _best(prediction, references, lambda given, right: _shared(given, right, order=1), order=1)


def rouge2(prediction: str, references: Sequence[str]) -> float:
    """F-measure of shared pairs of neighbouring words, in [0, 1]; texts of one word have none and score 0."""
    return _best(prediction, references, lambda given, right: _shared(given, right, order=2), order=2)


def rouge_l(prediction: str, references: Sequence[str]) -> float:
    """F-measure of the longest common subsequence of words, in [0, 1]."""
    return _best(prediction, references, longest_common, order=1)


def rouge_lsum(prediction: str, references: Sequence[str]) -> float:
    """F-measure of the words of each reference line that are in order in some line of the answer, in [0, 1].

    A word counts as often as both texts hold it. Source: Lin 2004, section 3.2 (union LCS).
    """
    given = _lines(prediction)
    return max((_by_lines(given, _lines(text)) for text in references), default=0.0)


def in_order(line: Sequence[str], other: Sequence[str]) -> set[int]:
    """Places in `line` of its longest common subsequence with `other`.

    Of several the one that leaves out a word of `line` first, seen from the end, as the ROUGE reference does: which one
    it is decides the union.
    """
    table = np.zeros((len(line) + 1, len(other) + 1), dtype=np.int64)
    for i, word in enumerate(line):
        for j, said in enumerate(other):
            table[i + 1, j + 1] = table[i, j] + 1 if word == said else max(table[i, j + 1], table[i + 1, j])
    found: set[int] = set()
    i, j = len(line), len(other)
    while i and j:
        if line[i - 1] == other[j - 1]:
            i, j = i - 1, j - 1
            found.add(i)
        elif table[i, j - 1] > table[i - 1, j]:
            j -= 1
        else:
            i -= 1
    return found


def longest_common(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence.

    Bit-parallel: one machine-word operation stands for a row of the table. Source: Hyyrö 2004, "Bit-parallel LCS-length
    computation revisited".
    """
    where: dict[str, int] = {}
    for at, word in enumerate(one):
        where[word] = where.get(word, 0) | 1 << at
    full = (1 << len(one)) - 1
    unmatched = full
    for word in other:
        hits = unmatched & where.get(word, 0)
        unmatched = ((unmatched + hits) | (unmatched - hits)) & full
    return len(one) - unmatched.bit_count()


def _best(
    prediction: str,
    references: Sequence[str],
    common: Callable[[Sequence[str], Sequence[str]], int],
    *,
    order: int,
) -> float:
    """Largest `2 * common / (both counts)` over references, in n-grams of `order` words: the F-measure."""
    given = words(prediction)
    scores = [0.0]
    for reference in references:
        right = words(reference)
        both = max(len(given) - order + 1, 0) + max(len(right) - order + 1, 0)
        scores.append(2 * common(given, right) / both if both else 0.0)
    return max(scores)


def _lines(text: str) -> list[list[str]]:
    return [words(line) for line in text.split("\n") if line]


def _by_lines(given: Sequence[Sequence[str]], right: Sequence[Sequence[str]]) -> float:
    said, wanted = (Counter(word for line in lines for word in line) for lines in (given, right))
    hits: Counter[str] = Counter()
    for line in right:
        matched = set[int]().union(*(in_order(line, other) for other in given))
        hits.update(line[at] for at in matched)
    both = said.total() + wanted.total()
    return 2 * (hits & said & wanted).total() / both if both else 0.0


def _shared(given: Sequence[str], right: Sequence[str], *, order: int) -> int:
    return (_grams(given, order) & _grams(right, order)).total()


def _grams(text: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(text[at:] for at in range(order)), strict=False))
