"""Rows alike: prompts that share most of their three-word runs.

MinHash proposes pairs (Broder 1997; bands as in Leskovec et al., Mining of Massive Datasets, 3.4), the exact Jaccard
of their runs decides. Long stretches that stand in many rows, such as an instruction, say nothing about two of them: a
pair must be alike with and without those. Prompts that are equal but for case, punctuation and white space count once,
so that no copy costs more than its own row. Not here: what is wrong with being alike (`duplicates`, `contradictions`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from luthier.checks.check import Corpus
from luthier.checks.prompts import Prompts, prompts
from luthier.checks.runs import Numbers, Places, Runs, runs, worded
from luthier.types import Example

HASHES = 64
"""Of a row's sketch, 2 bytes each."""
SEEN = 0.998
"""Chance at which a pair just alike enough is proposed."""
ROUNDS = 16
"""Rows of one bucket with which the others are compared."""
CLOSEST = 8
"""Earlier rows with which a row is compared exactly at most: those that its sketch resembles most."""
COMMON = 0.05
"""Share of rows from which a run is one of many rows, and how many rows it takes at least."""
STRETCH = 6
"""Common runs one after the other (8 words) from which they are an instruction; fewer do not make texts alike."""
_COMMON_ROWS, _SAMPLE, _CHUNK, _PAIRS, _SETS = 10, 2_000, 2_048, 2**16, 2**10
_BELOW, _ABOVE = 0.2, 0.15
"""How far a sketch's estimate may be off: 4 and 3 standard errors of 64 hashes at 0.8."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Pairs of distinct prompts that are alike; places are those of `Prompts.rows`, first < second."""

    first: Places
    second: Places
    jaccard: NDArray[np.float64]

    def __iter__(self) -> Iterator[tuple[int, int, float]]:
        return zip(self.first.tolist(), self.second.tolist(), self.jaccard.tolist(), strict=True)


_pairs: WeakKeyDictionary[Corpus, Pairs] = WeakKeyDictionary()
"""What several checks ask of one corpus; it goes when the corpus goes."""


def pairs(corpus: Corpus) -> Pairs:
    """Pairs of distinct prompts with a Jaccard of `options.near`, with and without common stretches; made once.

    Of more than ROUNDS rows that fall together, some pairs are left out; every row still stands in one.
    """
    if corpus not in _pairs:
        found, rows = prompts(corpus), prompts(corpus).rows
        places = found.distinct
        common = common_runs([worded(rows[at].prompt) for at in _sample(found)])
        sketch = _sketch(corpus, rows, places, common)
        first, second = _proposed(sketch, corpus.options.near)
        del sketch
        proposed = Pairs(places[first], places[second], np.zeros(len(first)))
        _pairs[corpus] = _verified(proposed, lambda at: worded(rows[at].prompt), common, corpus.options.near)
    return _pairs[corpus]


def jaccard(one: str, other: str) -> float:
    """Share of three-word runs that two texts, as `worded` writes them, have in common; 1 for two empty ones."""
    if one == other:
        return 1.0
    both = runs([one, other])
    return _jaccard(set(both.of(0).tolist()), set(both.of(1).tolist()))


def stars(links: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Groups of places in which each is linked to the first, so that the first can stand for the others.

    Each place goes to its first neighbour that is no other's; one left alone is told with the first of its neighbours.
    """
    near: defaultdict[int, set[int]] = defaultdict(set)
    for one, other in links:
        near[one].add(other)
        near[other].add(one)
    leads: dict[int, list[int]] = {}
    for place in sorted(near):
        leader = min((other for other in near[place] if other in leads), default=None)
        if leader is None:
            leads[place] = []
        else:
            leads[leader].append(place)
    return [(place, *(members or [min(near[place])])) for place, members in leads.items()]


def joined(links: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Groups of places that hang together by links, each ascending, by their first."""
    root: dict[int, int] = {}

    def find(place: int) -> int:
        while root.setdefault(place, place) != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    for one, other in links:
        low, high = sorted((find(one), find(other)))
        root[high] = low
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for place in sorted(root):
        groups[find(place)].append(place)
    return [tuple(group) for group in groups.values()]


def _sample(found: Prompts) -> Places:
    """At most _SAMPLE places: those whose keys, which are hashes, are lowest; so no order matters."""
    keys = found.keys[found.distinct]
    return found.distinct[np.argsort(keys, kind="stable")[:_SAMPLE]]


def common_runs(texts: Sequence[str]) -> Numbers:
    """The runs that stand in so many of these texts that they say nothing about two of them; sorted."""
    found = runs(texts)
    once = np.unique(np.stack((found.numbers, found.rows().astype(np.uint64))), axis=1)[0]
    numbers, counts = np.unique(once, return_counts=True)
    return numbers[counts > max(COMMON * len(texts), _COMMON_ROWS)]


def _without(found: Runs, common: Numbers) -> Runs:
    """The runs outside stretches of STRETCH common ones; all of a text that has no others."""
    if not len(common):
        return found
    rare = common[np.minimum(np.searchsorted(common, found.numbers), len(common) - 1)] != found.numbers
    rows = found.rows()
    turns = np.concatenate(([True], (rare[1:] != rare[:-1]) | (rows[1:] != rows[:-1])))[: len(rare)]
    stretch = np.cumsum(turns) - 1
    kept = rare | (np.bincount(stretch)[stretch] < STRETCH)
    left = np.bincount(rows[kept], minlength=len(found.offsets) - 1)
    return found.kept(kept | (left == 0)[rows])


def _sketch(corpus: Corpus, rows: Sequence[Example], places: Places, common: Numbers) -> NDArray[np.uint16]:
    """(n, HASHES): of each hash function the low bits of its least value over a row's runs."""
    from rensa import RMinHash

    sketch = np.empty((len(places), HASHES), np.uint16)
    for start in range(0, len(places), _CHUNK):
        corpus.progress("rows alike", start, len(places))
        found = _without(runs([worded(rows[at].prompt) for at in places[start : start + _CHUNK]]), common)
        offsets = found.offsets.astype(np.uint64)
        drawn = RMinHash.digest_matrix_from_flat_token_hashes(found.numbers, offsets, HASHES, 1)
        sketch[start : start + _CHUNK] = np.array(drawn.to_rows(), np.uint32).astype(np.uint16)
    return sketch


def _proposed(sketch: NDArray[np.uint16], near: float) -> tuple[Places, Places]:
    """Pairs (first < second) that fall together in a band and whose sketches may be `near`."""
    width = _width(near)
    kept = np.zeros((0, 3))
    for start in range(0, HASHES - width + 1, width):
        values = np.zeros(len(sketch), np.uint64)
        for column in range(start, start + width):
            values = (values << np.uint64(16) ^ values >> np.uint64(48)) * np.uint64(0x9E3779B97F4A7C15)
            values ^= sketch[:, column]
        kept = _closest(np.concatenate((kept, *_together(values, sketch, near))))
    return kept[:, 0].astype(np.int64), kept[:, 1].astype(np.int64)


def _width(near: float) -> int:
    """The most hashes a band may have for SEEN of the pairs that are just `near` to fall together in one."""
    return max(
        width for width in range(1, HASHES + 1) if width == 1 or 1 - (1 - near**width) ** (HASHES // width) >= SEEN
    )


def _together(values: Numbers, sketch: NDArray[np.uint16], near: float) -> Iterator[NDArray[np.float64]]:
    """(k, 3) first, second and estimated Jaccard of pairs with the same value.

    In turn one row of each bucket is held against the rest, of which in large buckets those surely alike leave.
    """
    members = np.argsort(values, kind="stable")
    _, bucket, sizes = np.unique(values[members], return_inverse=True, return_counts=True)
    members, bucket = members[sizes[bucket] > 1], bucket[sizes[bucket] > 1]
    for _ in range(ROUNDS):
        new = np.concatenate(([True], bucket[1:] != bucket[:-1]))[: len(bucket)]
        if new.all():
            return
        leader, members, bucket = members[new][np.cumsum(new) - 1][~new], members[~new], bucket[~new]
        alike = _estimate(sketch, leader, members)
        some = alike >= near - _BELOW
        yield np.column_stack((leader[some], members[some], alike[some]))
        stay = (alike < near + _ABOVE) | (sizes[bucket] <= ROUNDS + 1)
        members, bucket = members[stay], bucket[stay]


def _estimate(sketch: NDArray[np.uint16], one: Places, other: Places) -> NDArray[np.float64]:
    """(k,) share of equal hashes."""
    equal = np.empty(len(one))
    for start in range(0, len(one), _PAIRS):
        some = slice(start, start + _PAIRS)
        equal[some] = (sketch[one[some]] == sketch[other[some]]).mean(axis=1)
    return equal


def _closest(found: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each pair once, and of each second row the CLOSEST firsts."""
    found = found[np.lexsort((found[:, 0], -found[:, 2], found[:, 1]))]
    found = found[np.concatenate(([True], (found[1:, :2] != found[:-1, :2]).any(axis=1)))[: len(found)]]
    rank = np.arange(len(found)) - np.searchsorted(found[:, 1], found[:, 1])
    return found[rank < CLOSEST]


def _verified(proposed: Pairs, text: Callable[[int], str], common: Numbers, near: float) -> Pairs:
    """The pairs that are alike, by the exact Jaccard of all their runs and of those outside common stretches."""
    ordered = np.lexsort((proposed.second, proposed.first))
    exact = np.zeros(len(ordered))
    for start in range(0, len(ordered), _SETS):
        some = ordered[start : start + _SETS]
        places, index = np.unique(np.concatenate((proposed.first[some], proposed.second[some])), return_inverse=True)
        every = runs([text(int(at)) for at in places])
        rare = _without(every, common)
        sets = [(set(every.of(at).tolist()), set(rare.of(at).tolist())) for at in range(len(places))]
        for pair, one, other in zip(some, index[: len(some)], index[len(some) :], strict=True):
            alike, unlike = (_jaccard(sets[one][kind], sets[other][kind]) for kind in (0, 1))
            exact[pair] = alike if min(alike, unlike) >= near else 0
    some = ordered[exact[ordered] > 0]
    return Pairs(proposed.first[some], proposed.second[some], exact[some])


def _jaccard(one: set[int], other: set[int]) -> float:
    shared = len(one & other)
    either = len(one) + len(other) - shared
    return shared / either if either else 1.0
