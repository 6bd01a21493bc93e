"""When to look: evaluations are planned by the epoch, and made as far as their share of the time allows.

How many rows a look has follows from counts alone. Which of the planned looks are made follows from the clock; a look
that is made is decided by what is in the state, so that a resumed run makes the looks that were decided before it.
"""

from __future__ import annotations

FEWEST_ROWS = 32
"""Rows of a look, where there are as many: fewer say little."""
LOOKS = 6
"""Looks that a run should be able to afford; where it could not, looks have fewer rows."""
COST = 2.0
"""Training rows that a row of a look costs as much as, before one is measured."""


def rows_per_look(available: int, *, share: float, rows_trained: int) -> int:
    """Rows of every look of a run that goes over `rows_trained` rows, epochs counted."""
    if share >= 1:
        return available
    return min(available, max(FEWEST_ROWS, int(share * rows_trained / (COST * LOOKS))))


def affordable(*, cost: float, spent: float, trained: float, left: float, share: float) -> bool:
    """Whether one more look keeps looking within its share of the time: now, and with the last look yet to come.

    All in seconds: cost of a look, spent on looks so far, trained so far, training left.
    """
    now = spent + cost <= share * (trained + spent + cost)
    at_the_end = spent + 2 * cost <= share * (trained + left + spent + 2 * cost)
    return now and at_the_end
