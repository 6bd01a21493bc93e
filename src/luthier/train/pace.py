"""When to look: evaluations are planned by the epoch, and made as far as their share of the time allows.

Where a whole one cannot be afforded, the losses alone may be, which take a fraction of it; they get at most half of the
share, so that whole ones come, too. How many rows a look has follows from counts alone; which are made follows from
the clock, by what is in the state, so that a resumed run goes on with what was decided before it.
"""

from __future__ import annotations

from dataclasses import dataclass

from luthier.train.state import TrainState

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


def affordable(*, cost: float, last: float, spent: float, trained: float, left: float, share: float) -> bool:
    """Whether one more look keeps looking within its share of the time: now, and with the last look yet to come.

    All in seconds: cost of this look and of the last one, spent on looks so far, trained so far, training left.
    """
    now = spent + cost <= share * (trained + spent + cost)
    at_the_end = spent + cost + last <= share * (trained + left + spent + cost + last)
    return now and at_the_end


@dataclass(frozen=True, slots=True)
class Pace:
    """Decides at each planned look of a run; the last step's is always made."""

    share: float
    steps: int
    examples_per_step: int
    rows: int
    """Of a look."""

    def whole(self, state: TrainState) -> bool:
        """Whether the network is judged now."""
        if self.share >= 1 or state.step >= self.steps:
            return True
        return self._affords(self._look(state), state, spent=state.looking, share=self.share)

    def losses(self, state: TrainState) -> bool:
        """Whether its losses are measured, at least."""
        if state.measure is None:
            return False
        half = self._affords(state.measure, state, spent=state.measuring, share=self.share / 2, last=0.0)
        return half and self._affords(state.measure, state, spent=state.looking, share=self.share)

    def _affords(
        self, cost: float, state: TrainState, *, spent: float, share: float, last: float | None = None
    ) -> bool:
        left = (self.steps - state.step) * state.seconds / max(1, state.step)
        last = self._look(state) if last is None else last
        return affordable(cost=cost, last=last, spent=spent, trained=state.seconds, left=left, share=share)

    def _look(self, state: TrainState) -> float:
        """Seconds of a whole look, judged by the time of steps before there was one."""
        a_row = state.seconds / max(1, state.step) / self.examples_per_step
        return COST * self.rows * a_row if state.look is None else state.look
