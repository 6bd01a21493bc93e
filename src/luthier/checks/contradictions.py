"""Rows that ask the same and want different things.

Several answers to one prompt are no contradiction where they say the same in other words, as references to one fact
set do. Found are different labels, different final numbers, a yes against a no, and texts that part over two words
which exclude each other and on which answers to one prompt elsewhere agree, as two names or two values do. Not found: a
"not" too many, a value left out, or one that stands nowhere else. Preference pairs are not looked at.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import fsum

from luthier.checks.check import Corpus
from luthier.checks.prompts import but_for, excerpt, prompts, same_numbers
from luthier.checks.runs import worded
from luthier.checks.twins import joined, pairs
from luthier.types import Example, Issue, Message

SETTLED = 0.7
"""Kappa from which a word is one that answers to one prompt agree on."""
APART = 0.1
"""How many answers have two words, of those that would by chance, up to which the two exclude each other."""
MOST = 2 / 3
"""Share of the answers to a prompt that must have one of the two."""
MEASURED = 30
"""Prompts with several answers before that can be said."""
RARE, PRIOR = 5, 5
"""Prompts below which a word is rare; rows that what holds of rare words counts for beside what is known of a word."""
_MOST, _USUAL_ANSWERS = 64, 8
_FINAL = re.compile(r"####\s*([-+]?[\d.,]*\d)")
_VERDICT = re.compile(r"\s*(yes|no|true|false)\b", re.IGNORECASE)


def contradiction(corpus: Corpus) -> Iterator[Issue]:
    """The same or nearly the same prompt with different labels, or with answers that disagree.

    One Issue for each cluster, all its rows in it. Severity: 0.9 for one prompt with two labels, numbers or verdicts,
    0.6 for answers that name different things, up to 0.6 for prompts nearly the same, by how alike they are.
    """
    split: set[int] = set()  # rows of prompts that are told once already
    for places in prompts(corpus).repeated():
        rows = [at for at in places if at < len(corpus.rows) and single(corpus.rows[at])]
        if issue := _disagreement(corpus, rows):
            split.update(places)
            yield issue
    yield from _nearly(corpus, split)
    yield from _otherwise(corpus, split)


def _disagreement(corpus: Corpus, places: Sequence[int]) -> Issue | None:
    """What rows of one prompt disagree in, if they do."""
    rows = [corpus.rows[at] for at in places]
    wants = [wanted(row) for row in rows]
    if len({want for want in wants if want}) < 2 or not worded(rows[0].prompt):
        return None
    said = [(row, want) for row, want in zip(rows, wants, strict=True) if want]
    apart = but_for(rows[0], rows[1:])
    return _issue(said, 0.9, f"the prompt {excerpt(rows[0].question)} stands in {len(said)} rows{apart}")


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


@dataclass(frozen=True, slots=True, eq=False)
class _Usage:
    """How the answers to one prompt use words."""

    answers: int
    having: Mapping[str, set[int]]
    """Of each word the answers that have it."""
    kappa: Mapping[str, float]
    """How much surer another answer to the prompt has a word that one has than any answer has it (Cohen 1960)."""
    rare: float
    """The same for rare and unknown words."""

    def settled(self, word: str) -> bool:
        """Whether answers to one prompt agree on it."""
        return self.kappa.get(word, self.rare) >= SETTLED

    def apart(self, one: str, other: str) -> bool:
        """Whether hardly an answer has both, as of two names or two values of one kind."""
        ones, others = (self.having.get(word, set()) for word in (one, other))
        return len(ones & others) <= APART * len(ones) * len(others) / self.answers


def _usage(groups: Iterable[Sequence[set[str]]]) -> _Usage:
    """What is known of a word is weighed with PRIOR rows of what holds of the rare ones."""
    both: defaultdict[str, float] = defaultdict(float)
    having: defaultdict[str, set[int]] = defaultdict(set)
    met: Counter[str] = Counter()
    answers = 0
    for words in groups:
        for answer, said in enumerate(words, answers):
            for word in said:
                having[word].add(answer)
        counts = Counter(word for said in words for word in said)
        met.update(counts.keys())
        for word, count in counts.items():
            both[word] += count * (count - 1) / (len(words) - 1)
        answers += len(words)
    few = [word for word in sorted(met) if met[word] < RARE]
    rare = fsum(both[word] for word in few) / max(1, sum(len(having[word]) for word in few))
    kappa = {}
    for word, some in having.items():
        chance = len(some) / (answers + 1)
        kappa[word] = ((both[word] + PRIOR * rare) / (len(some) + PRIOR) - chance) / (1 - chance)
    return _Usage(answers, having, kappa, rare)


def _otherwise(corpus: Corpus, split: set[int]) -> Iterator[Issue]:
    """Prompts whose answers part into those with one name or value and those with another."""
    groups = [some for some in _answered(corpus) if some[0] not in split]
    sample = sorted(groups, key=lambda some: int(corpus.keys[some[0]]))[: corpus.options.sample // _USUAL_ANSWERS]
    if len(sample) < MEASURED:
        return
    usage = _usage(_words(corpus, some) for some in sample)
    for some in groups:
        words = _words(corpus, some)
        if parted := _parted(words, usage):
            lone = [at for at, said in zip(some, words, strict=True) if parted[0] in said]
            usual = [at for at, said in zip(some, words, strict=True) if parted[1] in said]
            yield _other(corpus, [*lone, *(at for at in some if at not in lone)], parted, len(lone), len(usual))


def _parted(words: Sequence[set[str]], usage: _Usage) -> tuple[str, str] | None:
    """Two words on which answers agree and which no answer has both of, here each in some of most answers; the rarer
    here first.
    """
    having: defaultdict[str, int] = defaultdict(int)
    for at, said in enumerate(words):
        for word in said:
            having[word] |= 1 << at
    some = sorted(word for word, own in having.items() if own.bit_count() < len(words) and usage.settled(word))
    found = [
        (one, other)
        for one in some
        for other in some
        if not having[one] & having[other]
        and having[one].bit_count() <= having[other].bit_count()
        and having[one].bit_count() + having[other].bit_count() >= MOST * len(words)
        and usage.apart(one, other)
    ]
    return max(found, key=lambda pair: (sum(usage.kappa.get(word, usage.rare) for word in pair), pair), default=None)


def _other(corpus: Corpus, places: Sequence[int], words: tuple[str, str], few: int, many: int) -> Issue:
    lone = corpus.rows[places[0]]
    more = f"and {few - 1} more have" if few > 1 else "has"
    others = "another answer has" if many == 1 else f"{many} other answers have"
    return Issue(
        check="contradiction",
        examples=tuple(corpus.rows[at].id for at in places),
        severity=0.6,
        flagged=True,
        why=f"the answer of {lone.id}, {excerpt(lone.answer)}, {more} {words[0]!r} where {others} {words[1]!r}, two "
        "words on which answers to one prompt agree elsewhere",
        remedy="check which of the answers belongs to the prompt",
    )


def _answered(corpus: Corpus) -> Iterator[list[int]]:
    """Places of each prompt that has several different text answers, the first of each, _MOST at most."""
    for places in prompts(corpus).repeated():
        first: dict[int, int] = {}
        for at in places:
            if at < len(corpus.rows) and single(corpus.rows[at]) and corpus.rows[at].label is None:
                first.setdefault(int(corpus.answers[at]), at)
        if len(first) > 1 and worded(corpus.rows[places[0]].prompt):
            yield list(first.values())[:_MOST]


def _words(corpus: Corpus, places: Sequence[int]) -> list[set[str]]:
    return [set(worded((Message("assistant", corpus.rows[at].answer),)).split()) for at in places]


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
