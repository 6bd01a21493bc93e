"""How far a choice's confidence can be trusted, as pictures: reliability, and accuracy on the rows it is surest of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from luthier.report.axis import Frame, Scale, Tick, bounds, framed, ticks
from luthier.report.records import Answered, Bin, Calibration, Confidence, Interval, Known

FRAME = framed(480, 300, left=52, right=14, top=14, bottom=44)


@dataclass(frozen=True, slots=True)
class Mark:
    """A point with its interval, in pixels."""

    x: float
    y: float
    low: float
    high: float
    title: str
    """What it is, for whoever points at it."""


@dataclass(frozen=True, slots=True)
class Side:
    """One model's points."""

    name: str
    style: str
    marks: tuple[Mark, ...]
    path: str


@dataclass(frozen=True, slots=True)
class Picture:
    """A small plot of a share against a share."""

    name: str
    across: str
    """What the axis below says."""
    sides: tuple[Side, ...]
    x: tuple[Tick, ...]
    y: tuple[Tick, ...]
    diagonal: str
    """SVG path of perfect calibration; empty where there is none."""
    frame: Frame = FRAME


@dataclass(frozen=True, slots=True)
class Score:
    """A line of the table."""

    name: str
    base: Interval
    tuned: Interval
    cooled: Interval | None
    """At the temperature fitted on validation rows."""
    chance: tuple[Known, ...] = ()
    """Of a calibration error: what each of them would show at most if its confidence were true."""


@dataclass(frozen=True, slots=True)
class CalibrationView:
    """What the template reads."""

    calibration: Calibration
    pictures: tuple[Picture, ...]
    scores: tuple[Score, ...]
    told: tuple[tuple[str, str, str], ...]
    """(name, style, sentence): whether each side's confidence can be taken at its word."""


TITLES = {
    "ece": "calibration error, 15 equal bins",
    "ece_adaptive": "calibration error, bins of equal rows",
    "brier": "Brier score",
    "log_loss": "log loss",
    "coverage_area": "accuracy over all coverages",
    "out_of_scope_auroc": "telling what is out of scope (AUROC)",
}


def calibration_view(found: Calibration | None) -> CalibrationView | None:
    """The page's part about confidence; None where none was measured."""
    if found is None:
        return None
    sides = [("base", "base", found.base), ("tuned", "tuned", found.tuned)]
    if found.temperature is not None:
        sides.append(("tuned, cooled", "cooled", found.temperature.tuned))
    told = tuple((name, style, side.sentence) for name, style, side in sides if side.sentence)
    return CalibrationView(found, (_reliability(sides), _abstention(sides[:2])), tuple(_scores(found)), told)


def _scores(found: Calibration) -> list[Score]:
    cooled = found.temperature.tuned if found.temperature is not None else None
    sides = [side for side in (found.base, found.tuned, cooled) if side is not None]
    rows = [
        Score(
            title,
            getattr(found.base, name),
            getattr(found.tuned, name),
            None if cooled is None else getattr(cooled, name),
            tuple(side.if_calibrated[name].high for side in sides if name in side.if_calibrated),
        )
        for name, title in TITLES.items()
    ]
    return [row for row in rows if row.tuned.value is not None]


def _reliability(sides: Sequence[tuple[str, str, Confidence]]) -> Picture:
    unit = FRAME.x(0, 1), FRAME.y(0, 1)
    return Picture(
        name="reliability",
        across="how sure it was",
        sides=tuple(_side(name, style, [_bin(one, *unit) for one in side.reliability]) for name, style, side in sides),
        x=ticks(unit[0]),
        y=ticks(unit[1]),
        diagonal=f"M{unit[0](0)} {unit[1](0)}L{unit[0](1)} {unit[1](1)}",
    )


def _abstention(sides: Sequence[tuple[str, str, Confidence]]) -> Picture:
    ends = [end for _, _, side in sides for one in side.abstention for end in (one.accuracy.low, one.accuracy.high)]
    low, high = bounds([end for end in ends if end is not None], margin=0.03)
    x, y = FRAME.x(0, 1), FRAME.y(max(0.0, low), min(1.0, high))
    return Picture(
        name="abstention",
        across="share of rows answered, the surest first",
        sides=tuple(_side(name, style, [_kept(one, x, y) for one in side.abstention]) for name, style, side in sides),
        x=ticks(x),
        y=ticks(y),
        diagonal="",
    )


def _side(name: str, style: str, marks: Sequence[Mark]) -> Side:
    return Side(name, style, tuple(marks), "M" + "L".join(f"{one.x:g},{one.y:g}" for one in marks) if marks else "")


def _bin(one: Bin, x: Scale, y: Scale) -> Mark:
    title = f"{one.n:,} rows: sure {one.confidence or 0:.3f}, right {one.accuracy.value or 0:.3f}"
    return _mark(x(one.confidence or 0.0), one.accuracy, y, title)


def _kept(one: Answered, x: Scale, y: Scale) -> Mark:
    title = f"{one.n:,} rows, at least {one.least or 0:.3f} sure: right {one.accuracy.value or 0:.3f}"
    return _mark(x(one.coverage or 0.0), one.accuracy, y, title)


def _mark(across: float, right: Interval, y: Scale, title: str) -> Mark:
    value = right.value or 0.0
    low, high = (value if end is None else end for end in (right.low, right.high))
    ends = f" [{low:.3f}, {high:.3f}]"
    return Mark(across, y(value), y(low), y(high), title + ends)
