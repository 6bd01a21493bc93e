"""Failure rates with intervals, and base beside tuned: paired row by row, over all perturbations together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from luthier.evaluate.behaviour.cases import Case
from luthier.evaluate.behaviour.judge import Outcome
from luthier.evaluate.behaviour.perturbation import Perturbation
from luthier.metrics.metric import ratio
from luthier.stats import LEVEL, Difference, Floats, Interval, Sample, clusters, holm, interval, paired

RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of n failed."""

    n: int
    """Cases that could be told."""
    count: int
    interval: Interval | None
    """Wilson's where every case is of a row, and group, of its own; else by a bootstrap of whole groups. None at n = 0.
    """


@dataclass(frozen=True, slots=True)
class Judged:
    """One case, judged for the tuned model and, where it was asked, for its base."""

    case: Case
    tuned: Outcome
    base: Outcome | None


@dataclass(frozen=True, slots=True)
class Line:
    """What came of one perturbation."""

    name: str
    perturbation: Perturbation
    asked: int
    """Rows it applies to."""
    tuned: Rate
    base: Rate | None
    broken: Rate | None
    """Of the labels that the tuned model had right, those that it no longer has; None for texts."""
    difference: Difference | None
    """Failure rate of the tuned model minus that of the base, on the cases that can be told of both."""
    paired: int
    """Cases behind the difference."""
    p: float | None
    """Of no difference, raised by Holm's rule over all perturbations."""

    @property
    def seen(self) -> bool:
        """Whether base and tuned surely differ, however many perturbations were looked at."""
        sure = self.difference is not None and self.p is not None and self.p < 1 - LEVEL
        return sure and self.difference is not None and self.difference.seen


Pick = Callable[[Judged], bool | None]
"""Whether a case counts, or None where it cannot be told."""


def lines(judged: Sequence[Judged], perturbations: Mapping[str, Perturbation], *, seed: int) -> tuple[Line, ...]:
    """One line a perturbation, in their order."""
    own = {name: [one for one in judged if one.case.name == name] for name in perturbations}
    found = {name: difference(some, seed=seed) for name, some in own.items()}
    compared = [name for name, one in found.items() if one is not None]
    raised = dict(zip(compared, holm([one.p for one in found.values() if one is not None]).tolist(), strict=True))
    return tuple(
        Line(
            name=name,
            perturbation=perturbations[name],
            asked=len(some),
            tuned=rate(some, of_tuned, seed=seed),
            base=rate(some, of_base, seed=seed) if any(one.base for one in some) else None,
            broken=rate(some, _broken, seed=seed) if any(one.tuned.broken is not None for one in some) else None,
            difference=found[name],
            paired=len(_both(some)),
            p=raised.get(name),
        )
        for name, some in own.items()
    )


def rate(judged: Sequence[Judged], pick: Pick, *, seed: int) -> Rate:
    """The share that `pick` counts among the cases it can tell."""
    told = [(one, counts) for one in judged if (counts := pick(one)) is not None]
    if not told:
        return Rate(0, 0, None)
    measured = _sample([one for one, _ in told], [counts for _, counts in told])
    around = interval(measured, resamples=RESAMPLES, rng=np.random.default_rng(seed))
    return Rate(len(told), sum(counts for _, counts in told), around)


def difference(judged: Sequence[Judged], *, seed: int) -> Difference | None:
    """Failure rate of tuned minus base, paired; None where there is no case that both can fail."""
    both = _both(judged)
    if not both:
        return None
    tuned, base = (_sample(both, [bool(pick(one)) for one in both]) for pick in (of_tuned, of_base))
    return paired(base, tuned, resamples=RESAMPLES, rng=np.random.default_rng(seed))


def of_tuned(one: Judged) -> bool | None:
    """Whether the tuned model failed."""
    return one.tuned.failed


def of_base(one: Judged) -> bool | None:
    """Whether the base failed."""
    return None if one.base is None else one.base.failed


def _broken(one: Judged) -> bool | None:
    return one.tuned.broken


def _both(judged: Sequence[Judged]) -> list[Judged]:
    return [one for one in judged if of_tuned(one) is not None and of_base(one) is not None]


def _sample(judged: Sequence[Judged], counts: Sequence[bool]) -> Sample:
    """Right-or-wrong statistics; the cases of one group, or of one row without a group, belong together."""
    stats = np.column_stack((np.array(counts, dtype=np.float64), np.ones(len(counts))))
    together = clusters([one.case.row.group or f"row {one.case.row.id}" for one in judged])
    return Sample(stats, _share, together)


def _share(totals: Floats) -> Floats:
    return ratio(totals[:, 0], totals[:, 1])
