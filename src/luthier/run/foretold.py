"""When a run tells what it will take: before it starts where that is long, else as soon as its first step has shown it.

A taste costs as much as a step. Where the model is asked nothing before it trains, the first step is its own taste.
"""

from __future__ import annotations

from collections.abc import Callable

from luthier.run.estimate import Expected, expect, size_of, with_evaluation
from luthier.run.prepare import Prepared
from luthier.train.forecast import Estimate, by_step, startable
from luthier.train.log import StepRecord
from luthier.train.meter import Meter

UNKNOWN = Estimate(0.0, 0, 0.0, "not judged yet")


class Foretold:
    """What one run is expected to take; its method is attached."""

    def __init__(self, prepared: Prepared, say: Callable[[str], None]) -> None:
        """Tells the size, and the cost where something is asked before the first step; raises what `expect` raises."""
        self._prepared, self._judged = prepared, _asks_first(prepared)
        if self._judged:
            self._expected = expect(prepared)
            say(self._expected.told())
        else:
            startable(prepared.model, prepared.recipe.objective, prepared.recipe.train)
            self._expected = with_evaluation(prepared, size_of(prepared), UNKNOWN)
            say(self._expected.size_told())

    def step(self, record: StepRecord, meter: Meter, say: Callable[[str], None]) -> None:
        """A step was taken; the meter runs since before the first one."""
        if not self._judged:
            size = self._expected.size
            self._judged = True
            self._expected = with_evaluation(self._prepared, size, by_step(record, meter.read(), size))
            say(self._expected.cost_told())

    @property
    def expected(self) -> Expected:
        """Tasted now, where a run that is gone on with had no step left."""
        if not self._judged:
            self._judged, self._expected = True, expect(self._prepared)
        return self._expected


def _asks_first(prepared: Prepared) -> bool:
    """Whether the model is asked anything before it trains."""
    return bool(prepared.asked or prepared.recipe.forgetting.measure or any(one.asked for one in prepared.mixed))
