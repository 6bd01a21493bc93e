"""Which test rows tuning mended and which it broke, the clearest first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from luthier.report.records import Answer, Prediction
from luthier.report.worse import better

SHOWN = 10


@dataclass(frozen=True, slots=True)
class Change:
    """A row with what tuning did to its score."""

    row: Prediction
    before: Answer
    """What the base said."""
    base: float
    tuned: float
    lower_is_better: bool = False

    @property
    def gain(self) -> float:
        """How much better the tuned score is than the base's."""
        return (self.base - self.tuned) if self.lower_is_better else (self.tuned - self.base)


@dataclass(frozen=True, slots=True)
class Changes:
    """The rows whose score changed, by `score`."""

    score: str
    """Name of the score the rows were chosen by."""
    total: int
    """Rows that both models were scored on."""
    mended: tuple[Change, ...]
    """All of them, largest gain first."""
    broken: tuple[Change, ...]
    """All of them, largest loss first."""

    @property
    def right_or_wrong(self) -> bool:
        """Whether the score knows no between, so that a row can be mended or broken, not only better or worse."""
        return all(score in (0, 1) for one in (*self.mended, *self.broken) for score in (one.base, one.tuned))

    @property
    def names(self) -> tuple[str, str]:
        """What the rows of either kind are called."""
        return ("mended", "broken") if self.right_or_wrong else ("improved", "got worse")


def changes(predictions: Sequence[Prediction], *, judged_by: str) -> Changes | None:
    """Rows mended and broken, by the metric the run was judged by where rows carry it, else by their first score.

    None when no row was scored for both models. Rows of equal change come so that labels alternate.
    """
    name = _score(predictions, judged_by)
    if name is None:
        return None
    scored = [change for row in predictions if (change := _change(row, name)) is not None]
    return Changes(
        score=name,
        total=len(scored),
        mended=_ordered([change for change in scored if change.gain > 0]),
        broken=_ordered([change for change in scored if change.gain < 0]),
    )


def _score(predictions: Sequence[Prediction], judged_by: str) -> str | None:
    names = [name for row in predictions for name in (row.base.scores if row.base else ()) if name in row.tuned.scores]
    return judged_by if judged_by in names else names[0] if names else None


def _change(row: Prediction, name: str) -> Change | None:
    if row.base is None:
        return None
    base, tuned = row.base.scores.get(name), row.tuned.scores.get(name)
    if base is None or tuned is None or not (math.isfinite(base) and math.isfinite(tuned)):
        return None
    return Change(row, row.base, base, tuned, better(name) == "lower")


def _ordered(found: list[Change]) -> tuple[Change, ...]:
    """Largest change first; among equals every label's first row, then every label's second, and so on."""
    seen: Counter[str | None] = Counter()
    turn: dict[int, int] = {}
    for index, change in enumerate(found):
        turn[index] = seen[change.row.label] if change.row.label is not None else 0
        seen[change.row.label] += 1
    order = sorted(range(len(found)), key=lambda index: (-abs(found[index].gain), turn[index], index))
    return tuple(found[index] for index in order)
