"""Rows that say what another row says: within a split, and held-out rows nearly the same as earlier ones.

Two rows with one prompt and different answers are no duplicates: several references to one prompt are common and
meant. What disagrees is found by `contradictions`; copies of a whole prompt across splits by `splits.leak`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import product

import numpy as np

from luthier.checks.check import Corpus
from luthier.checks.meaning import Alike, alike_in_meaning, mean_the_same
from luthier.checks.prompts import but_for, excerpt, prompts, same_numbers, wording
from luthier.checks.runs import mixed, worded
from luthier.checks.twins import jaccard, pairs, stars
from luthier.data.split import PARTS
from luthier.types import Example, Issue, Message

VOICES = 8
"""Different answers to one prompt that are held against those of a prompt like it."""


def duplicate(corpus: Corpus) -> Iterator[Issue]:
    """Rows of one split with the same prompt, but for case, punctuation and white space, and the same answer.

    One Issue for each cluster, its rows by place: the first is the one to keep.
    """
    for part in PARTS:
        for places in copies(corpus, part):
            first, names = corpus.rows[places[0]], tuple(corpus.rows[at].id for at in places)
            apart = but_for(first, (corpus.rows[at] for at in places[1:]))
            yield Issue(
                check="duplicate",
                examples=names,
                severity=0.4,
                flagged=True,
                why=f"{_listed(names)} of {part} have the same prompt{apart}, {excerpt(first.question)}, and the "
                "same answer",
                remedy=f"keep {names[0]} and remove the others, unless the weight they add is meant",
            )


def near_duplicate(corpus: Corpus) -> Iterator[Issue]:
    """Rows of one split whose prompts share `options.near` of their three-word runs and whose answers agree.

    One Issue for each cluster; each of its rows is that like the first, which is the one to keep.
    """
    for part in PARTS:
        links = near_links(corpus, part)
        yield from (_near_duplicate(corpus, part, places, links) for places in stars(links))


def near_links(corpus: Corpus, part: str) -> dict[tuple[int, int], float]:
    """Pairs of a split's rows (the earlier first) with like prompts and answers that agree, and how alike they are."""
    return {
        (min(one, other), max(one, other)): alike
        for first, second, alike in pairs(corpus)
        for one, other in _comparable(corpus, first, second, part)
        if _agree(corpus, corpus.rows[one], corpus.rows[other])
    }


def near_leak(corpus: Corpus) -> Iterator[Issue]:
    """Rows of validation and test nearly the same as one of an earlier split; one Issue for each such row.

    Those with the same prompt are `splits.leak`'s.
    """
    found, twins = prompts(corpus), defaultdict(list)
    for first, second, alike in pairs(corpus):
        if second < len(corpus.rows) and corpus.parts[first] != corpus.parts[second]:
            twins[second].append((alike, first))
    for place, others in sorted(twins.items()):
        part = corpus.parts[place]
        alike, closest = max(others, key=lambda other: (other[0], -other[1]))
        earlier = [at for _, first in others for at in found.same(first) if _before(corpus, at, part)]
        for at in found.same(place):
            if at < len(corpus.rows) and corpus.parts[at] == part:
                shared = f"shares {alike:.0%} of its three-word runs with"
                yield _leak(corpus, "near_leak", at, [closest, *(e for e in earlier if e != closest)], shared, 0.6)


def meaning_duplicate(corpus: Corpus) -> Iterator[Issue]:
    """Rows of one split that say the same in other words, and whose answers do too; one Issue for each cluster."""
    for part in PARTS:
        links = {
            (pair.first, pair.second): pair.cosine
            for pair in _meant(corpus, within=True)
            if corpus.parts[pair.first] == part
        }
        for places in stars(links):
            first, second = (corpus.rows[at] for at in places[:2])
            cosine = links[min(places[:2]), max(places[:2])]
            yield Issue(
                check="meaning_duplicate",
                examples=tuple(corpus.rows[at].id for at in places),
                severity=0.2,
                flagged=True,
                why=f"{first.id} and {second.id} of {part} say the same in other words (cosine {cosine:.2f}), "
                f"{excerpt(first.question)} and {excerpt(second.question)}, with one answer{_sampled(corpus, part)}",
                remedy="keep both if the variety is meant; else the clearer one",
            )


def meaning_leak(corpus: Corpus) -> Iterator[Issue]:
    """Held-out rows that say in other words what a row of an earlier split says, with the same answer."""
    twins: defaultdict[int, list[Alike]] = defaultdict(list)
    for pair in _meant(corpus, within=False):
        twins[pair.second].append(pair)
    for place, others in sorted(twins.items()):
        best = max(others, key=lambda pair: (pair.cosine, -pair.first))
        places = [best.first, *(pair.first for pair in others if pair is not best)]
        says = f"says in other words (cosine {best.cosine:.2f}{_sampled(corpus, 'train')}) what stands in"
        yield _leak(corpus, "meaning_leak", place, places, says, 0.3)


def all_but_first(issue: Issue) -> tuple[str, ...]:
    """Of a cluster what the first can stand for; of a leak the earlier split's rows, never the held-out one."""
    return issue.examples[1:]


def copies(corpus: Corpus, part: str) -> Iterator[list[int]]:
    """Places of each prompt and answer that stand in a split several times, by the first."""
    places = np.arange(corpus.of(part).start, corpus.of(part).stop)
    both = corpus.keys[places] ^ mixed(corpus.answers[places])
    order = np.argsort(both, kind="stable")
    groups = np.split(places[order], np.flatnonzero(np.diff(both[order])) + 1)
    for group in sorted((group.tolist() for group in groups if len(group) > 1), key=lambda group: group[0]):
        same: defaultdict[str, list[int]] = defaultdict(list)
        for at in group:
            same[wording(corpus.rows[at])].append(at)
        yield from (some for some in same.values() if len(some) > 1)


def _comparable(corpus: Corpus, first: int, second: int, part: str) -> set[tuple[int, int]]:
    """Rows of two prompts whose answers are held against each other: equal ones, and the first VOICES of each."""
    ones, others = _voices(corpus, first, part), _voices(corpus, second, part)
    same = {(at, others[answer]) for answer, at in ones.items() if answer in others}
    return same | set(product(list(ones.values())[:VOICES], list(others.values())[:VOICES]))


def _voices(corpus: Corpus, place: int, part: str) -> dict[int, int]:
    """Of the rows of a split with this prompt the first of each answer."""
    first: dict[int, int] = {}
    for at in prompts(corpus).same(place):
        if at < len(corpus.rows) and corpus.parts[at] == part:
            first.setdefault(int(corpus.answers[at]), at)
    return first


def _agree(corpus: Corpus, one: Example, other: Example) -> bool:
    """Whether two rows with like prompts want the same: one label, or nearly the same text to the same numbers."""
    if one.label is not None and other.label is not None:
        return one.label == other.label
    texts = [worded((Message("assistant", wording(row)),)) for row in (one, other)]
    return same_numbers(one, other) and jaccard(*texts) >= corpus.options.near


def _near_duplicate(corpus: Corpus, part: str, places: tuple[int, ...], links: dict[tuple[int, int], float]) -> Issue:
    alike = [links[min(places[0], at), max(places[0], at)] for at in places[1:]]
    first, closest = corpus.rows[places[0]], corpus.rows[places[1 + int(np.argmax(alike))]]
    return Issue(
        check="near_duplicate",
        examples=tuple(corpus.rows[at].id for at in places),
        severity=0.3,
        flagged=True,
        why=f"{first.id} and {closest.id} of {part} share {max(alike):.0%} of the three-word runs of their prompts, "
        f"{excerpt(first.question)} and {excerpt(closest.question)}, and their answers agree",
        remedy=f"keep {first.id} and remove the others, unless the variety is meant",
    )


def _leak(corpus: Corpus, check: str, place: int, twins: list[int], shared: str, severity: float) -> Issue:
    """What is said of a held-out row; the closest of `twins` comes first."""
    row, twin, part = corpus.rows[place], corpus.rows[twins[0]], corpus.parts[place]
    return Issue(
        check=check,
        examples=(row.id, *(corpus.rows[at].id for at in twins)),
        severity=severity,
        flagged=True,
        why=f"{row.id} ({part}), {excerpt(row.question)}, {shared} {twin.id} ({corpus.parts[twins[0]]}), "
        f"{excerpt(twin.question)}, so its result is weak evidence",
        remedy=f"remove {twin.id}, or take {row.id} out of the {part} rows",
    )


def _meant(corpus: Corpus, *, within: bool) -> list[Alike]:
    """Pairs of one split, or of two, that are alike in meaning and whose answers agree."""
    some = [
        pair for pair in alike_in_meaning(corpus) if (corpus.parts[pair.first] == corpus.parts[pair.second]) is within
    ]
    return mean_the_same(corpus, some)


def _before(corpus: Corpus, place: int, part: str) -> bool:
    return place < len(corpus.rows) and PARTS.index(corpus.parts[place]) < PARTS.index(part)


def _listed(names: tuple[str, ...]) -> str:
    return f"{names[0]} and {names[1]}" if len(names) == 2 else f"{names[0]}, {names[1]} and {len(names) - 2} more rows"


def _sampled(corpus: Corpus, part: str) -> str:
    rows = len(corpus.of(part))
    return f", of {corpus.options.sample} sampled rows of {rows}" if rows > corpus.options.sample else ""
