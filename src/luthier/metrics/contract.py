"""What every metric must hold; run it on a metric of your own: `check(metric, known)`.

Each law raises AssertionError with the numbers in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.metrics.metric import Metric

_TEXTS = ("the cat sat on the mat", "A dog!", "#### 12", "yes", "карта не пришла", "我的卡在哪里", "3.5", "a", "!!!")


@dataclass(frozen=True, slots=True)
class Known:
    """Predictions with references, and the score they must get."""

    predictions: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    score: float
    within: float = 1e-9


def check(metric: Metric, known: Sequence[Known]) -> None:
    """All laws: known answers, order, emptiness, bounds, and totals that add up."""
    assert known, "a metric without a known answer is a guess: bring at least one"
    for answer in known:
        gives_known_answers(metric, answer)
    ignores_order(metric)
    if metric.better == "higher":
        scores_empty_answers_zero(metric)
    if metric.better == "lower":
        holds_empty_answers_against_it(metric)
    stays_in_bounds(metric)


def overall(metric: Metric, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """The score of all rows together."""
    statistics = metric.statistics(predictions, references)
    return float(metric.score(statistics.sum(axis=0, keepdims=True))[0])


def gives_known_answers(metric: Metric, known: Known) -> None:
    """The score is the one worked out by hand or published."""
    got = overall(metric, known.predictions, known.references)
    assert abs(got - known.score) <= known.within, f"got {got}, expected {known.score} for {known.predictions}"


def ignores_order(metric: Metric) -> None:
    """Neither the order of rows nor that of a row's references matters."""
    references = [(one, other) for one, other in zip(_TEXTS, _TEXTS[1:] + _TEXTS[:1], strict=True)]
    predictions = [" ".join(pair) for pair in references[::2]] + list(_TEXTS[: len(references) // 2])
    forward = overall(metric, predictions, references)
    backward = overall(metric, predictions[::-1], references[::-1])
    assert np.isclose(forward, backward, rtol=0, atol=1e-9), f"{forward} turned into {backward} by reversing rows"
    if metric.by_row:
        for text, right in zip(predictions, references, strict=True):
            once, swapped = overall(metric, [text], [right]), overall(metric, [text], [right[::-1]])
            assert np.isclose(once, swapped, rtol=0, atol=1e-9), f"{once} turned into {swapped} by references"


def scores_empty_answers_zero(metric: Metric) -> None:
    """An empty or blank answer gets 0 and still counts as a row; no rows at all score 0."""
    for blank in ("", "  \n"):
        for text in _TEXTS:
            got = overall(metric, [blank], [(text,)])
            assert got == 0, f"an empty answer to {text!r} scored {got}"
    singles = [(text,) for text in _TEXTS]
    whole = overall(metric, _TEXTS, singles)
    half = overall(metric, ["" if at % 2 == 0 else text for at, text in enumerate(_TEXTS)], singles)
    assert half < whole, f"emptying half the answers left the score at {half}: they were skipped"
    nothing = metric.statistics(_TEXTS, singles)[:0].sum(axis=0, keepdims=True)
    assert float(metric.score(nothing)[0]) == 0, "no rows must score 0"


def holds_empty_answers_against_it(metric: Metric) -> None:
    """An empty answer still counts as a row, and is worse than the right one."""
    singles = [(text,) for text in _TEXTS]
    whole = overall(metric, _TEXTS, singles)
    half = overall(metric, ["" if at % 2 == 0 else text for at, text in enumerate(_TEXTS)], singles)
    assert half > whole, f"emptying half the answers left the score at {half}: they were skipped"


def stays_in_bounds(metric: Metric) -> None:
    """Every score is a finite number from `bottom` to `top`."""
    for text in (*_TEXTS, "", "x" * 2000):
        for right in (*_TEXTS, ""):
            got = overall(metric, [text], [(right,)])
            assert np.isfinite(got), f"{text!r} against {right!r} scored {got}"
            assert metric.bottom <= got <= metric.top * (1 + 1e-9), f"{text!r} against {right!r} scored {got}"
