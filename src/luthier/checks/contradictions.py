"""Rows that ask the same and want different things.

Several answers to one prompt are no contradiction where they say the same in other words, as references to one fact
set do. Found are different labels, different final numbers, a yes against a no, and an answer that shares hardly a
telling word with the others where answers to one prompt usually share most. Preference pairs are not looked at.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from math import fsum, log

from luthier.checks.check import Corpus
from luthier.checks.prompts import excerpt, prompts, same_numbers
from luthier.checks.runs import worded
from luthier.checks.twins import joined, pairs
from luthier.types import Example, Issue, Message

SHARED = 0.2
"""Weight of words an answer shares with its closest fellow below which it says something else."""
USUAL = 0.5
"""What answers to one prompt must share at the median before that can be said; MEASURED of them at least."""
MEASURED = 30
_FELLOWS = 8
_FINAL = re.compile(r"####\s*([-+]?[\d.,]*\d)")
_VERDICT = re.compile(r"\s*(yes|no|true|false)\b", re.IGNORECASE)


def contradiction(corpus: Corpus) -> Iterator[Issue]:
    """The same or nearly the same prompt with different labels, or with answers that disagree.

    One Issue for each cluster, all its rows in it. Severity: 0.9 for one prompt with two labels, numbers or verdicts,
    0.6 for answers without a word in common, up to 0.6 for prompts nearly the same, by how alike they are.
    """
    split: set[int] = set()  # rows of prompts that are told once already
    for places in prompts(corpus).repeated():
        rows = [at for at in places if at < len(corpus.rows) and single(corpus.rows[at])]
        if issue := _disagreement(corpus, rows):
            split.update(places)
            yield issue
    yield from _nearly(corpus, split)
    yield from _strangers(corpus, split)


def _disagreement(corpus: Corpus, places: Sequence[int]) -> Issue | None:
    """What rows of one prompt disagree in, if they do."""
    rows = [corpus.rows[at] for at in places]
    wants = [wanted(row) for row in rows]
    if len({want for want in wants if want}) < 2 or not worded(rows[0].prompt):
        return None
    said = [(row, want) for row, want in zip(rows, wants, strict=True) if want]
    return _issue(said, 0.9, f"the prompt {excerpt(rows[0].question)} stands in {len(said)} rows")


def _nearly(corpus: Corpus, split: set[int]) -> Iterator[Issue]:
    """Clusters of nearly the same prompts with different labels, or with different answers to the same numbers."""
    links = {}
    for one, other, alike in pairs(corpus):
        if other >= len(corpus.rows) or one in split or other in split:
            continue
        first, second = corpus.rows[one], corpus.rows[other]
        wants = wanted(first), wanted(second)
        comparable = all(wants) and single(first) and single(second)
        if comparable and wants[0] != wants[1] and (first.label is not None or same_numbers(first, second)):
            links[one, other] = alike
    for places in joined(links):
        alike = max(value for link, value in links.items() if link[0] in places)
        rows = [corpus.rows[at] for at in places]
        shown = f"prompts that share {alike:.0%} of their three-word runs, as {excerpt(rows[0].question)}, stand in"
        yield _issue([(row, wanted(row)) for row in rows], round(0.6 * alike, 4), f"{shown} {len(rows)} rows")


def _strangers(corpus: Corpus, split: set[int]) -> Iterator[Issue]:
    """Prompts to which one answer shares hardly a word with any other, where answers usually do."""
    groups = [some for some in _answered(corpus) if some[0] not in split]
    sample = sorted(groups, key=lambda some: int(corpus.keys[some[0]]))[: corpus.options.sample // _FELLOWS]
    counts = Counter(word for some in sample for words in _words(corpus, some) for word in words)
    rows = sum(len(some) for some in sample)
    weight = {word: log(rows / count) for word, count in counts.items()}
    usual = sorted(share for some in sample for share in _shares(_words(corpus, some), weight, log(rows + 1)))
    if rows < MEASURED or usual[rows // 2] < USUAL:
        return
    for some in groups:
        shares = _shares(_words(corpus, some), weight, log(rows + 1))
        if min(shares) < SHARED:
            ordered = [at for _, at in sorted(zip(shares, some, strict=True))]
            yield _stranger(
                corpus, ordered, min(shares), f"half of {rows} answers share {usual[rows // 2]:.0%} or more"
            )


def _stranger(corpus: Corpus, places: Sequence[int], share: float, usual: str) -> Issue:
    lone = corpus.rows[places[0]]
    return Issue(
        check="contradiction",
        examples=tuple(corpus.rows[at].id for at in places),
        severity=0.6,
        flagged=True,
        why=f"the answer of {lone.id}, {excerpt(lone.answer)}, shares {share:.0%} of its telling words with the other "
        f"answers to its prompt, where {usual}",
        remedy="check which of the answers belongs to the prompt",
    )


def _answered(corpus: Corpus) -> Iterator[list[int]]:
    """Places of each prompt that has several text answers, _FELLOWS at most."""
    for places in prompts(corpus).repeated():
        rows = [at for at in places if at < len(corpus.rows) and single(corpus.rows[at])]
        texts = [at for at in rows if corpus.rows[at].label is None][:_FELLOWS]
        if len(texts) > 1 and worded(corpus.rows[texts[0]].prompt):
            yield texts


def _words(corpus: Corpus, places: Sequence[int]) -> list[set[str]]:
    return [set(worded((Message("assistant", corpus.rows[at].answer),)).split()) for at in places]


def _shares(words: Sequence[set[str]], weight: dict[str, float], unknown: float) -> list[float]:
    """Of each answer and the one most like it: the share of the lighter one's weight of words that both have."""

    def heavy(some: set[str]) -> float:
        return fsum(weight.get(word, unknown) for word in some)

    own = [heavy(some) for some in words]
    return [
        max(
            heavy(some & other) / least if (least := min(own[at], own[to])) else 1.0
            for to, other in enumerate(words)
            if to != at
        )
        for at, some in enumerate(words)
    ]


def wanted(row: Example) -> str:
    """What a row's answer comes down to: its label, its final number or its verdict; empty where that is not said."""
    if row.label is not None:
        return " ".join(row.label.casefold().split())
    if finals := _FINAL.findall(row.answer):
        return _plain(finals[-1])
    verdict = _VERDICT.match(row.answer)
    return verdict.group(1).lower() if verdict else ""


def _plain(digits: str) -> str:
    """A number without separators of thousands, plus sign or trailing noughts after the point."""
    bare = digits.replace(",", "").lstrip("+")
    return bare.rstrip("0").rstrip(".") if "." in bare else bare


def single(row: Example) -> bool:
    return len(row.completions) == 1


def _issue(said: Sequence[tuple[Example, str]], severity: float, where: str) -> Issue:
    """Rows by what they want, the rarest first, so that a lone one is the first that is seen."""
    rows: defaultdict[str, list[str]] = defaultdict(list)
    shown: dict[str, str] = {}
    for row, want in said:
        rows[want].append(row.id)
        shown.setdefault(want, row.label if row.label is not None else want)
    wants = sorted(rows, key=lambda want: (-len(rows[want]), want))
    told = ", ".join(f"{shown[want]!r} in {len(rows[want])} ({rows[want][0]})" for want in wants[:4])
    more = f" and {len(wants) - 4} more" if len(wants) > 4 else ""
    return Issue(
        check="contradiction",
        examples=tuple(name for want in reversed(wants) for name in rows[want]),
        severity=severity,
        flagged=True,
        why=f"{where} with different answers: {told}{more}",
        remedy="decide which answer is right, and give it to all these rows or tell the prompts apart",
    )
