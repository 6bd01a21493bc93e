"""What a run's own curves say against it: it diverged, learned nothing, learned by heart, or was not finished learning.

Every rule compares two looks on the same rows, row by row, and speaks only of a change that is larger than a stated
share of the loss *and* than the noise of the rows: the 95 % interval excludes 0, and so does the test after
Bonferroni's correction for the looks there were to choose from. That a run does nothing is said of a change that is
small, or that enough rows do not show. Not here: what a run is judged by, its test rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from luthier.stats import FEWEST, LEVEL, Difference, paired
from luthier.train.course import Course, Seen
from luthier.train.look import Losses
from luthier.train.unwatched import risen, unchanged

Name: TypeAlias = Literal["diverges", "does nothing", "overfits", "has not converged"]

RISE = 0.05
"""Overfits: the validation loss stands this share above its lowest."""
BROKEN = 0.25
"""Diverges: the training loss stands this share above its lowest."""
BROKEN_NATS = 0.02
"""And this many nats a token: below that a loss may double and mean nothing."""
NOTHING = 0.01
"""Does nothing: the training loss has moved by less than this share."""
STILL = 0.05
"""Or by less than this, where the rows do not show that it moved; a larger move that they do not show is unknown."""
FALL = 0.05
"""Has not converged: the validation loss fell by this share over the last part of the run."""
LAST_PART = (0.25, 0.6)
"""Shares of the steps between which the last part begins; a run with no look there is not judged."""
RESAMPLES = 10_000
"""Behind each comparison; a p-value can then survive the correction for a hundred looks."""


@dataclass(frozen=True, slots=True)
class Symptom:
    """Something wrong with how a run went."""

    name: Name
    sentence: str
    """With the numbers, their interval and how many rows they are of."""
    remedy: str


def symptoms(course: Course, *, lr: float, best_step: int | None, stopped_early: bool = False) -> tuple[Symptom, ...]:
    """What a finished run should be warned of; the gravest first, and what follows from it left out.

    lr: the highest learning rate. best_step: of the checkpoint that was kept.
    """
    broken = _not_finite(course) or _diverges(course, lr, best_step)
    if broken is not None:
        return (broken,)
    idle = _does_nothing(course, lr)
    if idle is not None:
        return (idle,)
    found = (_overfits(course, best_step), None if stopped_early else _not_converged(course))
    return tuple(one for one in found if one is not None)


def _not_finite(course: Course) -> Symptom | None:
    if course.broken is not None:
        what = f"It diverges: at step {course.broken:,} the loss was no number any more."
    elif course.refused:
        all_steps = len(course.steps) + course.refused
        what = (
            f"It is close to diverging: {course.refused:,} of {all_steps:,} steps had a loss or gradient that was not "
            "finite, and were left out."
        )
    else:
        return None
    return Symptom("diverges", what, "Lower train.lr, or use model.dtype=float32.")


def _diverges(course: Course, lr: float, best_step: int | None) -> Symptom | None:
    remedy = f"Lower train.lr (now {lr:.3g}), or raise train.warmup."
    if len(course.looks) < 2:
        told = risen(course.steps, share=BROKEN, nats=BROKEN_NATS, unit=course.unit)
        return (
            None if told is None else Symptom("diverges", f"It diverges: the loss of its steps rose, {told}.", remedy)
        )
    *before, last = course.looks
    lowest = min(before, key=lambda look: look.train.mean)
    rise = _change(lowest.train, last.train)
    if not (_certain(rise, len(before)) and rise.value > max(BROKEN * lowest.train.mean, BROKEN_NATS)):
        return None
    return Symptom(
        "diverges",
        f"It diverges: from step {lowest.step:,} to {last.step:,} the loss rose even on the rows it learns from, "
        f"{_told(lowest.train, last.train, rise, course.unit)}.{_kept(best_step)}",
        remedy,
    )


def _does_nothing(course: Course, lr: float) -> Symptom | None:
    remedy = (
        "train.lr is 0: only a control needs that."
        if lr == 0
        else f"Raise train.lr (now {lr:.3g}; ten times as much is worth a try), or train for more epochs."
    )
    if len(course.looks) < 2:
        told = unchanged(course.steps, share=NOTHING, unit=course.unit)
        return (
            None
            if told is None
            else Symptom("does nothing", f"It does nothing: the loss of its steps is what it was, {told}.", remedy)
        )
    first, last = course.looks[0], course.looks[-1]
    change = _change(first.train, last.train)
    moved = abs(change.value) / first.train.mean if first.train.mean else 0.0
    could_tell = last.train.rows >= FEWEST and not _certain(change, 1)
    if moved >= (STILL if could_tell else NOTHING):
        return None
    return Symptom(
        "does nothing",
        "It does nothing: the loss on the rows it learns from is what it was, "
        f"{_told(first.train, last.train, change, course.unit)}.",
        remedy,
    )


def _overfits(course: Course, best_step: int | None) -> Symptom | None:
    if len(course.looks) < 2:
        return None
    *before, last = course.looks
    lowest = min(before, key=lambda look: look.validation.mean)
    rise = _change(lowest.validation, last.validation)
    fall = _change(lowest.train, last.train)
    if not (_certain(rise, len(before)) and rise.value >= RISE * lowest.validation.mean):
        return None
    if not (_certain(fall, 1) and fall.value < 0):
        return None
    return Symptom(
        "overfits",
        f"It overfits: from step {lowest.step:,} to {last.step:,} the validation loss rose, "
        f"{_told(lowest.validation, last.validation, rise, course.unit)}, while the training loss fell, "
        f"{_told(lowest.train, last.train, fall, course.unit)}.{_kept(best_step)}",
        f"Fewer epochs ({lowest.epoch:.2g} gave the lowest validation loss), a lower train.lr, or more rows.",
    )


def _not_converged(course: Course) -> Symptom | None:
    if len(course.looks) < 2:
        return None
    *before, last = course.looks
    start = _last_part(before, last)
    if start is None:
        return None
    fall = _change(start.validation, last.validation)
    still = last.validation.mean < min(look.validation.mean for look in before)
    if not (still and _certain(fall, 1) and -fall.value >= FALL * start.validation.mean):
        return None
    return Symptom(
        "has not converged",
        f"It has not converged: from step {start.step:,} to the end, {last.step:,}, the validation loss was still "
        f"falling, {_told(start.validation, last.validation, fall, course.unit)}.",
        f"More epochs would help (now {last.epoch:.2g}), or a higher train.lr.",
    )


def _last_part(before: Sequence[Seen], last: Seen) -> Seen | None:
    """The look that the last part of the steps comes after: the latest that leaves a quarter of them."""
    shortest, longest = LAST_PART
    fit = [look for look in before if shortest <= 1 - look.step / last.step <= longest]
    return fit[-1] if fit else None


def _change(before: Losses, after: Losses) -> Difference:
    """After minus before, on the same rows."""
    return paired(before.sample, after.sample, resamples=RESAMPLES, rng=np.random.default_rng(0))


def _certain(change: Difference, chosen_from: int) -> bool:
    return change.seen and change.p * chosen_from < 1 - LEVEL


def _told(before: Losses, after: Losses, change: Difference, unit: str) -> str:
    ends = f"{change.low:+.2g} to {change.high:+.2g}"
    return (
        f"{before.mean:#.3g} to {after.mean:#.3g} {unit} "
        f"({change.value:+.2g}, 95 % interval {ends}, {after.rows:,} rows)"
    )


def _kept(best_step: int | None) -> str:
    return "" if best_step is None else f" The checkpoint that was kept is that of step {best_step:,}."
