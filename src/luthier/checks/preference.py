"""Preference pairs that say nothing, contradict each other, or prefer something other than the better answer.

Reading already refuses rows whose two sides are the same turns, and sides that part from each other at a user's turn
(`luthier.data.shape.pair`); what gets past it is found here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from luthier.checks.check import Corpus, number
from luthier.stats import wilson
from luthier.types import Completion, Example, Issue

MARGIN = 0.1
"""How far from one half the whole interval of a rate must lie to be flagged."""
FEWEST = 20
"""Pairs below which no rate is told."""
SHOWN = 10
_TRANSCRIPT = re.compile(r"(?:^|\n\n)(Human|Assistant):")
_WINNER = ("winner", "preferred", "preference", "choice", "better", "position", "chosen_position", "chosen_index")
_FIRST = frozenset({"a", "first", "left", "model_a", "response_a", "answer_a", "response_1", "option_a"})
_SECOND = frozenset({"b", "second", "right", "model_b", "response_b", "answer_b", "response_2", "option_b"})


@dataclass(frozen=True, slots=True)
class Pair:
    """What was preferred to what."""

    place: int
    """Row of the corpus."""
    chosen: Completion
    rejected: Completion


def pairs(corpus: Corpus) -> Iterator[Pair]:
    """Every row with a completion of score 1 and one of score 0, of all splits."""
    for at, row in enumerate(corpus.rows):
        if (found := pair(row)) is not None:
            yield Pair(at, *found)


def pair(row: Example) -> tuple[Completion, Completion] | None:
    """The first completion of score 1 and the first of score 0; None where a row has not both."""
    if len(row.completions) < 2:
        return None
    chosen = next((one for one in row.completions if one.score == 1), None)
    rejected = next((one for one in row.completions if one.score == 0), None)
    return (chosen, rejected) if chosen is not None and rejected is not None else None


def said(completion: Completion) -> str:
    """All its turns, white space as single blanks."""
    return "\n".join(f"{turn.role} {' '.join(turn.content.split())}" for turn in completion.messages)


def pair_equal(corpus: Corpus) -> Iterator[Issue]:
    """Pairs whose sides differ in nothing but white space; one Issue each."""
    for one in pairs(corpus):
        if said(one.chosen) == said(one.rejected) and _same_calls(one):
            name = corpus.rows[one.place].id
            yield Issue(
                check="pair_equal",
                examples=(name,),
                severity=0.8,
                flagged=True,
                why=f"chosen and rejected of {name} differ at most in white space, so there is nothing to prefer",
                remedy="leave the row out",
            )


def pair_prompts(corpus: Corpus) -> Iterator[Issue]:
    """Pairs whose sides answer different things: what people say in them differs; one Issue each.

    A transcript ("\\n\\nHuman: …") given as an answer is read for its turns.
    """
    for one in pairs(corpus):
        chosen, rejected = _asked(one.chosen), _asked(one.rejected)
        if chosen != rejected:
            name = corpus.rows[one.place].id
            first, second = next(
                (left, right)
                for left, right in zip((*chosen, ""), (*rejected, ""), strict=False)
                if left != right or not (left and right)
            )
            yield Issue(
                check="pair_prompts",
                examples=(name,),
                severity=0.7,
                flagged=True,
                why=f"the sides of {name} answer different things: {_short(first)} before the chosen end, "
                f"{_short(second)} before the rejected one",
                remedy="end the prompt where the sides part, so that both answer the same",
            )


def pair_longer(corpus: Corpus) -> Iterator[Issue]:
    """The rate at which the longer side is the preferred one; one Issue where its interval lies clear of one half."""
    sizes = [(one.place, len(said(one.chosen)), len(said(one.rejected))) for one in pairs(corpus)]
    table = np.array([size for size in sizes if size[1] != size[2]], np.int64).reshape(-1, 3)
    longer = table[:, 1] > table[:, 2]
    found = _away(int(longer.sum()), len(table))
    if found is None:
        return
    usual = longer if longer.mean() > 0.5 else ~longer
    kept = table[usual]
    widest = np.argsort(-np.abs(kept[:, 1] - kept[:, 2]), kind="stable")[:SHOWN]
    what = "longer" if longer.mean() > 0.5 else "shorter"
    yield Issue(
        check="pair_longer",
        examples=tuple(corpus.rows[at].id for at in kept[widest, 0]),
        severity=found.severity,
        flagged=found.flagged,
        why=f"the {what} side is preferred in {found.rate} of {len(table):,} pairs, so length alone tells much of what "
        "is preferred",
        remedy=f"add pairs in which the {what} side is the worse one, or compare sides of about one length",
    )


def pair_cycle(corpus: Corpus) -> Iterator[Issue]:
    """Preferences among answers to one prompt that go in a circle (A over B, B over A; A over B over C over A).

    One Issue for each knot of answers that are all preferred to each other by some way; its rows are the pairs within.
    """
    where, first, second = _edges(corpus)
    if not len(where):
        return
    component = _knots(first, second)
    inside = component[first] == component[second]
    order = np.argsort(component[first[inside]], kind="stable")
    places, knot = where[inside][order], component[first[inside]][order]
    answers = np.bincount(component)
    found = [(rows, int(answers[knot[at]])) for at, rows in _runs(places, knot)]
    for rows, count in sorted(found, key=lambda one: int(one[0][0])):
        names = tuple(corpus.rows[at].id for at in np.sort(rows))
        what = "each of two answers to the other" if count == 2 else f"{count} answers over each other in a circle"
        yield Issue(
            check="pair_cycle",
            examples=names,
            severity=0.7,
            flagged=True,
            why=f"{' and '.join(names[:5])}{f' and {len(names) - 5} more' if len(names) > 5 else ''} prefer {what}, to "
            "the same prompt",
            remedy="keep the preference that holds and leave out those against it",
        )


def pair_position(corpus: Corpus) -> Iterator[Issue]:
    """The rate at which what was shown first is preferred, by each column that tells where the winner stood."""
    columns: dict[str, list[tuple[int, str]]] = {}
    for one in pairs(corpus):
        for name, value in corpus.rows[one.place].meta.items():
            if name.casefold() in _WINNER and isinstance(value, str | int) and not isinstance(value, bool):
                columns.setdefault(name, []).append((one.place, str(value).strip().casefold()))
    for name, values in sorted(columns.items()):
        yield from _position(corpus, name, values)


def _position(corpus: Corpus, column: str, values: list[tuple[int, str]]) -> Iterator[Issue]:
    """An Issue where the first is preferred clearly more or less often; ties and other words are passed over."""
    distinct = {value for _, value in values}
    counted_from_0 = "0" in distinct
    firsts = _FIRST | {"0" if counted_from_0 else "1"}
    seconds = _SECOND | {"1" if counted_from_0 else "2"}
    placed = [(at, value in firsts) for at, value in values if value in firsts | seconds]
    first = sum(won for _, won in placed)
    found = _away(first, len(placed))
    if found is None:
        return
    more = 2 * first > len(placed)
    yield Issue(
        check="pair_position",
        examples=tuple(corpus.rows[at].id for at, won in placed if won == more)[:SHOWN],
        severity=found.severity,
        flagged=found.flagged,
        why=f"by the column {column!r} the {'first' if more else 'second'} of two answers is preferred in "
        f"{found.rate} of {len(placed):,} pairs, whatever they say",
        remedy="have pairs judged in both orders and keep those that agree",
    )


@dataclass(frozen=True, slots=True)
class _Away:
    """A rate whose interval leaves one half out."""

    rate: str
    severity: float
    flagged: bool


def _away(successes: int, count: int) -> _Away | None:
    """How far a rate is from one half; None where its interval holds it, or too few were counted."""
    if count < FEWEST:
        return None
    found = wilson(successes, count)
    least = max(found.low - 0.5, 0.5 - found.high)
    if least <= 0:
        return None
    value, low, high = (found.value, found.low, found.high)
    if value < 0.5:
        value, low, high = 1 - value, 1 - high, 1 - low
    return _Away(f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})", 0.1 + least, least >= MARGIN)


def _edges(corpus: Corpus) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Places of pairs whose prompt has more than one, and the chosen and the rejected answer of each by number."""
    places: list[int] = []
    sides: list[tuple[int, int]] = []
    keys, counts = np.unique(corpus.keys, return_counts=True)
    shared = set(keys[counts > 1].tolist())
    for one in pairs(corpus):
        key = int(corpus.keys[one.place])
        if key in shared:
            places.append(one.place)
            sides.append((number(f"{key} {said(one.chosen)}"), number(f"{key} {said(one.rejected)}")))
    _, codes = np.unique(np.array(sides, np.uint64).reshape(-1), return_inverse=True)
    codes = codes.reshape(-1, 2).astype(np.int64)
    different = codes[:, 0] != codes[:, 1]
    return np.array(places, np.int64)[different], codes[different, 0], codes[different, 1]


def _knots(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """(answers,) number of the strongly connected component of each."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    size = int(max(first.max(), second.max())) + 1
    graph = coo_matrix((np.ones(len(first)), (first, second)), shape=(size, size)).tocsr()
    component: NDArray[np.int64] = connected_components(graph, directed=True, connection="strong")[1].astype(np.int64)
    return component


def _runs(places: NDArray[np.int64], knot: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Where each run of equal numbers begins, and its places."""
    begins = np.flatnonzero(np.r_[True, knot[1:] != knot[:-1]]) if len(knot) else np.zeros(0, np.int64)
    for begin, rows in zip(begins, np.split(places, begins[1:]), strict=False):
        yield int(begin), rows


def _asked(completion: Completion) -> tuple[str, ...]:
    """What people say within a side, in order, white space as single blanks."""
    said_by_people = [turn.content for turn in completion.messages if turn.role != "assistant"]
    for turn in completion.messages:
        if turn.role == "assistant" and "Human:" in turn.content:
            parts = _TRANSCRIPT.split(turn.content)
            said_by_people += [text for who, text in zip(parts[1::2], parts[2::2], strict=True) if who == "Human"]
    return tuple(" ".join(text.split()) for text in said_by_people)


def _same_calls(one: Pair) -> bool:
    """Whether both sides call the same tools."""
    return [turn.fields for turn in one.chosen.messages] == [turn.fields for turn in one.rejected.messages]


def _short(text: str) -> str:
    return repr(text if len(text) <= 50 else f"{text[:50]}…") if text else "nothing"
