"""Training rows that stand in the evaluation files named with `against`.

Evidence is the same prompt, a prompt nearly the same with the same numbers, and runs of 13 words in common (Brown et
al. 2020, arXiv:2005.14165, appendix C) that cover a good part of the evaluation row (as Touvron et al. 2023,
arXiv:2307.09288, appendix A.6): rows of one form share a run or two and are told of without a flag. A run in many rows
of an evaluation file, or one mostly of what stands in many, such as its instruction, is no evidence at all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from luthier.checks.check import Corpus
from luthier.checks.meaning import alike_in_meaning
from luthier.checks.prompts import excerpt, prompts, same_numbers
from luthier.checks.runs import RUN, Numbers, Places, Runs, runs, worded
from luthier.checks.twins import COMMON, common_runs, pairs
from luthier.data.split import PARTS
from luthier.types import Example, Issue, Message

WORDS = 13
"""Of a run that two texts do not share by chance."""
QUESTION, WHOLE = 0.9, 0.8
"""Share of the words of an evaluation row's prompt, or of all its words, that must stand in runs in common with one
training row for a flag; of those words that stand in runs that can tell anything."""
_COMMON_ROWS, _CHUNK, _TABLE_BITS = 10, 2_048, 24
_RUN_BITS = (1 << WORDS) - 1


@dataclass(slots=True)
class _Found:
    """What training has of one evaluation row."""

    same: list[int] = field(default_factory=list)
    near: list[tuple[float, int]] = field(default_factory=list)
    run: list[int] = field(default_factory=list)
    covered: float = 0.0
    """The largest share of its words, or of its prompt's, that stand in runs of one training row."""
    enough: bool = False
    """Whether that is a flag's worth."""
    words: str = ""
    """The first run of words in common."""


def contamination(corpus: Corpus) -> Iterator[Issue]:
    """Evaluation rows of which training has the prompt, nearly the prompt, or WORDS words in a row; one Issue each."""
    if not corpus.against:
        return
    found: defaultdict[int, _Found] = defaultdict(_Found)
    _prompts(corpus, found)
    _shared_runs(corpus, found)
    names = _names(corpus)
    for place in sorted(found):
        yield _issue(corpus, names[place - len(corpus.rows)], place, found[place])


def meaning_contamination(corpus: Corpus) -> Iterator[Issue]:
    """Evaluation rows whose prompt a training row says in other words, with the same numbers; one Issue each."""
    train = tuple(corpus.rows[at] for at in corpus.of("train"))
    for name in sorted(corpus.against):
        rows = tuple(replace(row, id=f"{at}:{row.id}") for at, row in enumerate(corpus.against[name]))
        both = Corpus({"train": train, "test": rows}, corpus.options, progress=corpus.progress)
        twins: defaultdict[int, list[tuple[float, str]]] = defaultdict(list)
        for pair in alike_in_meaning(both):
            if both.parts[pair.first] != both.parts[pair.second]:
                twins[pair.second].append((pair.cosine, both.rows[pair.first].id))
        for place, others in sorted(twins.items()):
            best = sorted(others, key=lambda other: (-other[0], other[1]))
            row = both.rows[place].id.partition(":")[2]
            yield Issue(
                check="meaning_contamination",
                examples=tuple(other for _, other in best),
                severity=0.4,
                flagged=True,
                why=f"{best[0][1]} says in other words (cosine {best[0][0]:.2f}) what {row} of {name} asks, "
                f"{excerpt(both.rows[place].question)}{_sampled(corpus)}",
                remedy=f"look at both; if they ask the same, remove {best[0][1]} from training",
            )


def all_rows(issue: Issue) -> tuple[str, ...]:
    """The training rows an evaluation row stands in."""
    return issue.examples


def _prompts(corpus: Corpus, found: defaultdict[int, _Found]) -> None:
    """Evaluation rows whose prompt, or nearly, a training row has; keyed by place in `Prompts.rows`."""
    every, train = prompts(corpus), corpus.of("train")
    for place in range(len(corpus.rows), len(every.rows)):
        same = [at for at in every.same(place) if at in train]
        if same and worded(every.rows[place].prompt):
            found[place].same = same
    for first, second, alike in pairs(corpus):
        for place in every.same(second) if same_numbers(every.rows[first], every.rows[second]) else []:
            if place >= len(corpus.rows):
                found_near = [(alike, at) for at in every.same(first) if at in train]
                if found_near:
                    found[place].near += found_near


def _shared_runs(corpus: Corpus, found: defaultdict[int, _Found]) -> None:
    """Training rows that have telling runs of an evaluation row, how many, and the first such run."""
    telling = _telling(prompts(corpus).rows[len(corpus.rows) :])
    table = np.zeros(2**_TABLE_BITS, np.bool_)
    table[telling.numbers & np.uint64(2**_TABLE_BITS - 1)] = True
    train = corpus.of("train")
    for start in range(train.start, train.stop, _CHUNK):
        corpus.progress("runs of evaluation rows", start, len(train))
        texts = [_text(corpus.rows[at]) for at in range(start, min(start + _CHUNK, train.stop))]
        some = runs(texts, WORDS, short=False)
        maybe = np.flatnonzero(table[some.numbers & np.uint64(2**_TABLE_BITS - 1)])
        hits = maybe[np.isin(some.numbers[maybe], telling.numbers)]
        for row, own in _by_row(some, hits):
            words = texts[row].split(" ")
            for at, (share, enough, first) in telling.covered(some.numbers[own]).items():
                one, word = found[len(corpus.rows) + at], int(own[first]) - int(some.offsets[row])
                one.run.append(start + row)
                one.covered, one.enough = max(one.covered, share), one.enough or enough
                one.words = one.words or " ".join(words[word : word + WORDS])


def _by_row(some: Runs, hits: Places) -> Iterator[tuple[int, Places]]:
    """Each text that has hits, with them."""
    rows = some.rows()[hits]
    begins = np.flatnonzero(_changes(rows))
    for begin, own in zip(begins, np.split(hits, begins[1:]), strict=False):
        yield int(rows[begin]), own


@dataclass(frozen=True, slots=True, eq=False)
class _Telling:
    """Runs of the evaluation rows that do not stand in many of them, each once a row, sorted."""

    numbers: Numbers
    places: Places
    """The evaluation row of each."""
    words: Places
    """The word that each begins with."""
    every: Sequence[int]
    """Of each row the words within its runs, as bits."""
    asked: Sequence[int]
    """Of each row the words of its prompt within its runs, as bits."""

    def covered(self, numbers: Numbers) -> dict[int, tuple[float, bool, int]]:
        """Of each evaluation row that has some of a text's runs: the share of its words, or its prompt's, within them,
        whether that is enough, and the index of the first run.
        """
        _, first = np.unique(numbers, return_index=True)
        found: dict[int, tuple[int, int]] = {}
        for index in np.sort(first).tolist():
            low, high = (int(np.searchsorted(self.numbers, numbers[index], side)) for side in ("left", "right"))
            for place, word in zip(self.places[low:high].tolist(), self.words[low:high].tolist(), strict=True):
                own, begun = found.get(place, (0, index))
                found[place] = own | _RUN_BITS << word, begun
        return {place: (*self._share(place, own), begun) for place, (own, begun) in found.items()}

    def _share(self, place: int, own: int) -> tuple[float, bool]:
        of_all = own.bit_count() / self.every[place].bit_count()
        of_prompt = (own & self.asked[place]).bit_count() / max(1, self.asked[place].bit_count())
        return max(of_all, of_prompt), of_all >= WHOLE or of_prompt >= QUESTION


def _telling(rows: Sequence[Example]) -> _Telling:
    texts = [_text(row) for row in rows]
    every = runs(texts, WORDS, short=False)
    keep = ~_usual(texts, every)
    places = every.rows()[keep]
    numbers, words = every.numbers[keep], (np.arange(len(every.numbers)) - every.offsets[every.rows()])[keep]
    order = np.lexsort((words, places, numbers))
    order = order[_changes(numbers[order]) | _changes(places[order])]
    counts = np.searchsorted(numbers[order], numbers[order], "right") - np.searchsorted(numbers[order], numbers[order])
    order = order[counts <= max(COMMON * len(rows), _COMMON_ROWS)]
    within = [0] * len(rows)
    for place, word in zip(places[order].tolist(), words[order].tolist(), strict=True):
        within[place] |= _RUN_BITS << word
    asked = [own & (1 << len(worded(row.prompt).split())) - 1 for row, own in zip(rows, within, strict=True)]
    return _Telling(numbers[order], places[order], words[order], within, asked)


def _usual(texts: Sequence[str], every: Runs) -> NDArray[np.bool_]:
    """(r,) whether more than half of a long run's RUN-word runs stand in many of these texts."""
    short = runs(texts, RUN, short=False)
    common = np.concatenate(([0], np.cumsum(np.isin(short.numbers, common_runs(texts)))))
    rows = every.rows()
    first = np.arange(len(rows)) - every.offsets[rows] + short.offsets[rows]
    inside = WORDS - RUN + 1
    usual: NDArray[np.bool_] = 2 * (common[first + inside] - common[first]) > inside
    return usual


def _changes(some: NDArray[np.uint64] | NDArray[np.int64]) -> NDArray[np.bool_]:
    """(n,) whether each is another than the one before."""
    return np.concatenate(([True], some[1:] != some[:-1]))[: len(some)]


def _text(row: Example) -> str:
    """Prompt and answer as one run of words."""
    return worded((*row.prompt, *(Message("assistant", one.text) for one in row.completions)))


def _names(corpus: Corpus) -> list[str]:
    return [f"{row.id} of {name}" for name in sorted(corpus.against) for row in corpus.against[name]]


def _issue(corpus: Corpus, name: str, place: int, one: _Found) -> Issue:
    near = sorted(one.near, key=lambda other: (-other[0], other[1]))
    places = list(dict.fromkeys((*one.same, *(at for _, at in near), *one.run)))
    first = corpus.rows[places[0]].id
    asked = excerpt(prompts(corpus).rows[place].question)
    if one.same:
        shared, severity = f"has the prompt of {name}, {asked}", 0.9
    elif near:
        shared, severity = f"shares {near[0][0]:.0%} of its three-word runs with the prompt of {name}, {asked}", 0.7
    else:
        shared = f"has {WORDS} words in a row of {name}, in such runs {one.covered:.0%} of its words or its prompt's"
        severity = 0.5 if one.enough else 0.2
    words = f", with the words {one.words!r}" if one.words else ""
    others = f"; so have {len(places) - 1} more training rows" if len(places) > 1 else ""
    return Issue(
        check="contamination",
        examples=tuple(corpus.rows[at].id for at in places),
        severity=severity,
        flagged=bool(one.same or near or one.enough),
        why=f"{first} {shared}{words}{others}",
        remedy=f"remove {first if len(places) == 1 else 'these rows'} from training, or do not report that evaluation",
    )


def _sampled(corpus: Corpus) -> str:
    most = {part: len(corpus.of(part)) for part in PARTS}["train"]
    return f"; of {corpus.options.sample} sampled rows of {most}" if most > corpus.options.sample else ""
