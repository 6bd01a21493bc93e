"""What the test rows can show, told before a run: the smallest difference that would be seen 4 times in 5.

What the models will answer is not known yet. Right-or-wrong rows are told for the worst case; of other metrics the
spread is that of the best simple method on some test rows. Nothing is told where neither is at hand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

from luthier.checks.baselines import baselines
from luthier.evaluate.subset import sample
from luthier.evaluate.task import lower_is_better
from luthier.evaluate.verdict import change
from luthier.metrics import named
from luthier.run.prepare import Prepared
from luthier.stats import FEWEST, clusters, independent_groups, reach, visible
from luthier.types import Json
from luthier.words import counted, spelled

RIGHT_OR_WRONG = ("accuracy", "exact", "numeric")
WORST = 0.5
"""Share of rows on which one of two unrelated models is right and the other is not, each right on half: the most
for models that do not contradict each other on purpose."""
USUAL = 0.25
"""The same share of two models that agree on three rows of four."""
TRIED = 300
"""Test rows at most on which a simple method is tried."""


@dataclass(frozen=True, slots=True)
class Visible:
    """The smallest difference that a run's test rows can show."""

    metric: str
    n: int
    """Rows that both models are asked."""
    groups: int | None
    """None where every row stands alone."""
    worth: float
    """How many rows they are worth where those of a group stand or fall together."""
    spread: float
    """Standard deviation over rows of tuned minus base, in the metric's units."""
    method: str | None
    """The simple method whose answers gave the spread, group by group; None for the worst case."""
    of: int
    """Test rows in all."""

    @property
    def difference(self) -> float:
        """In the metric's units."""
        return visible(self.spread, self.n)

    def told(self) -> str:
        """For people."""
        rows = counted(self.n, "test row") + (f" in {counted(self.groups, 'group')}" if self.groups else "")
        if (self.groups or self.n) < FEWEST:
            return f"{rows} can show no difference at all: it takes at least {FEWEST} that differ"
        difference = f"{spelled(self.metric)} of {self._amount(self.difference)}"
        least = f"{rows} can show a difference in {difference} or more, 4 times in 5"
        return f"{least}{self._assumed()}; {self._more()}"

    def _assumed(self) -> str:
        if self.method is not None:
            return f" (if answers vary as those of the simple method do: {self.method})"
        usual = self._amount(visible(self.spread * sqrt(USUAL / WORST), self.n), bare=True)
        apart = f" ({usual} if base and tuned agree on three rows of four"
        if self.groups:
            together = self._amount(visible(self.spread, self.worth), bare=True)
            apart += f"; {together} if a group's rows stand or fall together"
        return f"{apart})"

    def _more(self) -> str:
        rows = self.of if self.of >= 2 * self.n else 4 * self.n
        show = f"{rows:,} would show {self._amount(visible(self.spread, rows), bare=True)}"
        return f"all {show} (evaluate.base_rows=none)" if rows == self.of else show

    def _amount(self, difference: float, *, bare: bool = False) -> str:
        said = change(difference, self.metric).lstrip("+")
        points = said.endswith(" points")
        number = said.removesuffix(" points")
        number = f"{float(number):.0f}" if float(number) >= (3 if points else 10) else f"{float(number):.2g}"
        return number if bare or not points else f"{number} points"

    def json(self) -> dict[str, Json]:
        """For machines."""
        names = ("metric", "n", "groups", "difference", "method")
        return {**{name: getattr(self, name) for name in names}, "sentence": self.told()}


def foreseen(prepared: Prepared) -> Visible | None:
    """What the test rows can show by the metric that decides; None where that cannot be told, or there are none."""
    rows, metric = prepared.compared, prepared.task.primary
    if not rows:
        return None
    found = (sqrt(WORST), None) if metric in RIGHT_OR_WRONG else _measured(prepared, metric)
    if found is None:
        return None
    index = clusters([row.group for row in rows])
    return Visible(
        metric=metric,
        n=len(rows),
        groups=None if index is None else int(index.max()) + 1,
        worth=len(rows) if index is None else independent_groups(index),
        spread=found[0],
        method=found[1],
        of=len(prepared.asked),
    )


def told_visible(prepared: Prepared, found: Visible | None) -> str:
    """For people, also where nothing can be told."""
    if found is not None:
        return found.told()
    if not prepared.compared:
        return "there are no test rows, so nothing can be shown"
    rows = counted(len(prepared.compared), "test row")
    return f"which difference in {prepared.task.primary} {rows} can show depends on the answers: the report will say"


def _measured(prepared: Prepared, metric: str) -> tuple[float, str | None] | None:
    return None if lower_is_better(metric) else _tried(prepared, metric) or _bounded(metric)


def _tried(prepared: Prepared, metric: str) -> tuple[float, str] | None:
    """The spread of two models that each vary as the best simple method does, and the method's name."""
    test = sample(prepared.corpus.splits["test"], TRIED, seed=prepared.recipe.evaluate.seed)
    some = replace(prepared.corpus, splits={"train": prepared.corpus.splits["train"], "test": test})
    best = max((one for one in baselines(some) if one.metric == metric), key=lambda one: one.value, default=None)
    if best is None or best.high <= best.low:
        return None
    error = (best.high - best.low) / (2 * reach(best.n))
    return sqrt(2 * best.n) * error, best.name


def _bounded(metric: str) -> tuple[float, None] | None:
    """The worst case of any metric whose rows lie between 0 and 1."""
    found = named(metric)
    return (sqrt(WORST), None) if found.by_row and found.top == 1 else None
