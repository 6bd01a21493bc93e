"""A check held to what was planted: what it found, what else it told, and what it cost."""

from __future__ import annotations

import time
from dataclasses import dataclass
from random import Random

from audit_plants import Plant, Planted, Rows

from luthier.checks import checks
from luthier.checks.check import Corpus
from luthier.stats import wilson
from luthier.types import Issue

SEEDS = 5
"""Times a defect of the whole is planted."""


@dataclass(frozen=True, slots=True)
class Score:
    """What one check made of one plant."""

    plant: Plant
    found: int
    """Planted rows that it told; or plantings of the whole that it saw."""
    of: int
    right: int
    """Issues that name a planted row; or real rows left untouched on which it was silent."""
    told: int
    """Flagged issues that did not stand in the untouched rows already; or sets left untouched."""
    before: int
    """Flagged issues in the untouched rows."""
    rows: int
    """Rows that were looked at."""
    seconds: float
    """CPU time of one look."""

    @property
    def recall(self) -> str:
        """With its interval at 95 %."""
        return rate(self.found, self.of)

    @property
    def precision(self) -> str:
        """With its interval at 95 %."""
        return rate(self.right, self.told)


def rate(some: int, of: int) -> str:
    """A share with its interval, or a dash where there is nothing to share."""
    if not of:
        return "–"
    found = wilson(some, of)
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def score(plant: Plant, rows: Rows, *, seed: int = 0) -> Score:
    """Plants, looks, and counts; a defect of the whole is planted SEEDS times."""
    once = plant.make(rows, Random(seed))
    if once.ids:
        return _rows(plant, once)
    looks = [once, *(plant.make(rows, Random(seed + more)) for more in range(1, SEEDS))]
    seen = silent = before = 0
    begun = time.process_time()
    for look in looks:
        old = {issue.why for issue in _flagged(plant.check, look.clean)}
        seen += any(issue.why not in old for issue in _flagged(plant.check, look.broken))
        silent += not old
        before += len(old)
    spent = (time.process_time() - begun) / (2 * len(looks))
    return Score(plant, seen, len(looks), silent, len(looks), before, len(once.broken.rows), spent)


def _rows(plant: Plant, look: Planted) -> Score:
    old = _flagged(plant.check, look.clean)
    stood = {name for issue in old for name in issue.examples}
    begun = time.process_time()
    new = _flagged(plant.check, look.broken)
    spent = time.process_time() - begun
    named = {name for issue in new for name in _accused(issue)}
    told = [issue for issue in new if look.ids & set(issue.examples) or not set(_accused(issue)) <= stood]
    right = sum(bool(look.ids & set(_accused(issue))) for issue in told)
    return Score(plant, len(look.ids & named), len(look.ids), right, len(told), len(old), len(look.broken.rows), spent)


def _accused(issue: Issue) -> tuple[str, ...]:
    """The rows an issue says something of; of these checks the others are only shown beside."""
    return (
        issue.examples[:1]
        if issue.check in ("label_error", "far_from_training") and len(issue.examples) == 2
        else issue.examples
    )


def _flagged(name: str, corpus: Corpus) -> list[Issue]:
    return [issue for issue in checks[name].find(corpus) if issue.flagged]
