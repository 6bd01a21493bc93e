"""A check held to what was planted: what it found, what else it told, and what it cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from random import Random
from weakref import WeakKeyDictionary

import numpy as np
from audit_plants import Plant, Planted, Rows
from numpy.typing import NDArray

from luthier.checks import checks
from luthier.checks.check import Corpus
from luthier.checks.labels import suspicions
from luthier.stats import Interval, wilson
from luthier.types import Issue

TIMES = 20
"""Times a defect of the whole is planted, each time in other rows."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one check made of one plant."""

    plant: Plant
    whole: bool
    """Whether the defect is one of the whole set, and not of single rows."""
    found: int
    """Planted rows that it told; or plantings of the whole that it saw."""
    of: int
    right: int
    """Issues about a planted row; or untouched sets on which it was silent."""
    told: int
    """Flagged issues, less those about rows that it accused before anything was planted; or untouched sets."""
    before: int
    """Flagged issues before anything was planted."""
    rows: int
    """Rows that were looked at."""
    seconds: float
    """CPU time of one look."""

    @property
    def reached(self) -> bool:
        """Whether recall and precision are what is asked for."""
        return self.of > 0 < self.told and min(self.found / self.of, self.right / self.told) >= self.plant.bar


@dataclass(frozen=True, slots=True)
class Ranking:
    """How wrong labels stand among all, the most suspicious first."""

    plant: Plant
    area: Interval
    """Under the ROC curve."""
    right: int
    """Planted rows among the first k."""
    k: int
    """Planted rows in all."""
    rows: int


def score(plant: Plant, draw: Callable[[int], Rows]) -> Score:
    """Plants, looks, and counts; a defect of the whole is planted TIMES times, in the rows of another draw each."""
    once = plant.make(draw(0), Random(0))
    if once.ids:
        return _of_rows(plant, once)
    seen = silent = before = 0
    spent = 0.0
    for seed in range(TIMES):
        look = plant.make(draw(seed), Random(seed)) if seed else once
        old = {issue.why for issue in _before(plant.check, look.clean)}
        begun = time.process_time()
        seen += any(issue.why not in old for issue in flagged(plant.check, look.broken))
        spent += time.process_time() - begun
        silent += not old
        before += len(old)
    return Score(plant, True, seen, TIMES, silent, TIMES, before, len(once.broken.rows), spent / TIMES)


def ranking(plant: Plant, rows: Rows) -> Ranking:
    """Every training row by how wrong its label looks, where `plant` made some wrong."""
    look = plant.make(rows, Random(0))
    found = suspicions(look.broken)
    assert found is not None, plant.data
    wrong = np.array([look.broken.rows[at].id in look.ids for at in found.places])
    order = np.argsort(-found.score, kind="stable")
    k = int(wrong.sum())
    return Ranking(plant, area(found.score, wrong), int(wrong[order[:k]].sum()), k, len(wrong))


def area(score: NDArray[np.float64], wrong: NDArray[np.bool_]) -> Interval:
    """Chance that a wrong row scores above a right one. Source: Hanley & McNeil 1982, equation 1, for the interval."""
    ranks = np.empty(len(score))
    ranks[np.argsort(score, kind="stable")] = np.arange(1, len(score) + 1)
    many, few = int((~wrong).sum()), int(wrong.sum())
    value = float((ranks[wrong].sum() - few * (few + 1) / 2) / (few * many))
    first, second = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (few - 1) * (first - value**2) + (many - 1) * (second - value**2)
    margin = 1.96 * sqrt(variance / (few * many))
    return Interval(value, max(0.0, value - margin), min(1.0, value + margin))


def rate(some: int, of: int) -> str:
    """A share with its 95 % interval and what it was counted in, or a dash where there is nothing to share."""
    if not of:
        return "–"
    found = wilson(some, of)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f}) of {of:,}"


def _of_rows(plant: Plant, look: Planted) -> Score:
    old = _before(plant.check, look.clean)
    stood = {name for issue in old for name in _accused(issue)}
    begun = time.process_time()
    new = flagged(plant.check, look.broken)
    spent = time.process_time() - begun
    named = {name for issue in new for name in _accused(issue)}
    told = [issue for issue in new if look.ids & set(issue.examples) or not set(_accused(issue)) <= stood]
    right = sum(bool(look.ids & set(_accused(issue))) for issue in told)
    found, rows = len(look.ids & named), len(look.broken.rows)
    return Score(plant, False, found, len(look.ids), right, len(told), len(old), rows, spent)


def _accused(issue: Issue) -> tuple[str, ...]:
    """The rows an issue says something of; of these checks the others are only shown beside."""
    return issue.examples[:1] if issue.check in ("label_error", "far_from_training") else issue.examples


def flagged(name: str, corpus: Corpus) -> list[Issue]:
    """What a check says of the rows with a flag."""
    return [issue for issue in checks[name].find(corpus) if issue.flagged]


_known: WeakKeyDictionary[Corpus, dict[str, list[Issue]]] = WeakKeyDictionary()


def _before(name: str, clean: Corpus) -> list[Issue]:
    """What is told of rows that nothing was planted in; looked for once."""
    found = _known.setdefault(clean, {})
    if name not in found:
        found[name] = flagged(name, clean)
    return found[name]
