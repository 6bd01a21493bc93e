"""Learning curves as small charts: loss first, then the validation metrics, over optimizer steps.

Geometry only; the template draws it, and `static/report.js` adds the reading under the pointer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

from luthier.report.axis import Frame, Scale, Tick, bounds, framed, ticks
from luthier.report.records import Measured, Step
from luthier.words import spelled

FRAME = framed(480, 250, left=52, right=14, top=22, bottom=34)
DRAWN = 400
"""Most points drawn of one series; longer ones are averaged in equal stretches of steps."""
CHARTS = 4
"""Most charts shown: the loss, the gap and two metrics."""
MARKED = 60
"""Most points of a series that are marked one by one."""
SPARSE = ("validation", "learned", "gap")
"""Series measured at evaluations only."""

Points = tuple[tuple[float, float], ...]
"""(step, value) in order of steps; values finite."""


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart."""

    name: str
    style: str
    """CSS class: `train` and `smooth` (its moving average; `batch` where `learned` is drawn, too), `only` (too short to
    smooth), `learned` (training rows as validation rows are measured), `validation`, or `gap`."""
    points: Points
    path: str
    """SVG path through the points."""
    dots: tuple[tuple[float, float], ...]
    """Pixels of the marks, of sparse series only."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One small chart, in pixels of a box `width` by `height`."""

    name: str
    series: tuple[Series, ...]
    steps: tuple[Tick, ...]
    values: tuple[Tick, ...]
    best: float | None
    """Pixels from the left of the best checkpoint."""
    bars: tuple[tuple[float, float, float], ...]
    """Pixels (across, low, high) of intervals, where points have any."""
    zero: float | None
    """Pixels from the top of zero, where it stands for no difference."""
    refused: tuple[float, ...]
    """Pixels from the left of each step refused for a non-finite gradient."""
    x: Scale
    y: Scale
    unit: str = "step"
    """What the axis across counts."""
    frame: Frame = FRAME


def charts(
    steps: Sequence[Step], evaluations: Sequence[Measured], *, best: int | None, judged_by: str
) -> tuple[Chart, ...]:
    """The charts worth drawing; the metric the run was judged by comes right after the loss.

    A metric that was measured once makes no curve, and stands in the sentence below the charts.
    """
    held_out = [line for line in evaluations if line.split == "validation"] or list(evaluations)
    names = sorted({name for line in held_out for name in line.metrics} - {"loss"})
    names.sort(key=lambda name: name != judged_by)
    last = max([step.step for step in steps] + [line.step for line in held_out], default=0)
    x = FRAME.x(0, max(last, 1))
    refused = tuple(x(line.step) for line in steps if line.refused)
    drawn = [_loss(steps, held_out, x), _lines("gap", [("gap", _gap(held_out))], x)]
    drawn += [_lines(spelled(name), [("validation", _metric(held_out, name))], x) for name in names]
    return tuple(
        _chart(
            name,
            series,
            x,
            best=best,
            refused=refused if name == "loss" else (),
            intervals=_intervals(held_out) if name == "gap" else (),
        )
        for name, series in drawn
        if series and (name == "loss" or any(len(points) > 1 for _, points in series))
    )[:CHARTS]


Drawn = tuple[str, list[tuple[str, Points]]]
"""A chart's name and its non-empty series by style."""


def _loss(steps: Sequence[Step], held_out: Sequence[Measured], x: Scale) -> Drawn:
    raw = tuple((line.step, line.loss) for line in steps if line.loss is not None and math.isfinite(line.loss))
    average = smooth(raw)
    learned = _learned(held_out)
    train = [("train", thin(raw)), ("batch" if learned else "smooth", thin(average))] if average else [("only", raw)]
    return _lines("loss", [*train, ("learned", learned), ("validation", _metric(held_out, "loss"))], x)


def _lines(name: str, series: list[tuple[str, Points]], x: Scale) -> Drawn:
    return name, [(style, points) for style, points in series if points]


def _metric(lines: Sequence[Measured], name: str) -> Points:
    found = ((line.step, line.metrics.get(name)) for line in lines)
    return thin(tuple((step, value) for step, value in found if value is not None and math.isfinite(value)))


def _learned(lines: Sequence[Measured]) -> Points:
    """The loss on a fixed sample of training rows, measured as the validation loss is."""
    found = ((line.step, line.train.loss) for line in lines if line.train is not None)
    return thin(tuple((step, loss) for step, loss in found if loss is not None))


def _gap(lines: Sequence[Measured]) -> Points:
    """After the first step: before it there is nothing to learn by heart."""
    found = ((line.step, line.gap.value) for line in lines if line.gap is not None and line.step)
    return thin(tuple((step, value) for step, value in found if value is not None))


def _intervals(lines: Sequence[Measured]) -> tuple[tuple[int, float, float], ...]:
    """(step, low, high) of each gap; none of a run of more looks than are drawn."""
    found = [(line.step, line.gap.low, line.gap.high) for line in lines if line.gap is not None and line.step]
    known = tuple((step, low, high) for step, low, high in found if low is not None and high is not None)
    return known if len(known) <= MARKED else ()


def smooth(points: Points) -> Points:
    """Centred moving average over a twentieth of the points; empty when there are too few to smooth."""
    reach = len(points) // 40
    if reach == 0:
        return ()
    values = [value for _, value in points]
    return tuple(
        (step, fmean(values[max(0, index - reach) : index + reach + 1])) for index, (step, _) in enumerate(points)
    )


def thin(points: Points) -> Points:
    """At most DRAWN points, each the mean of an equal stretch; short series pass unchanged."""
    if len(points) <= DRAWN:
        return points
    edges = [round(index * len(points) / DRAWN) for index in range(DRAWN + 1)]
    parts = (points[start:stop] for start, stop in pairwise(edges))
    return tuple((part[len(part) // 2][0], fmean(value for _, value in part)) for part in parts)


_NAMES = {
    "train": "each step",
    "only": "each step",
    "batch": "moving average",
    "smooth": "moving average",
    "learned": "training rows",
    "validation": "validation rows",
    "gap": "validation minus training",
}


def _chart(
    name: str,
    lines: list[tuple[str, Points]],
    x: Scale,
    *,
    best: int | None,
    refused: tuple[float, ...] = (),
    intervals: tuple[tuple[int, float, float], ...] = (),
) -> Chart:
    ends = [end for _, low, high in intervals for end in (low, high)]
    low, high = _range(lines)
    y = FRAME.y(*(bounds([*ends, low, high, 0.0]) if name == "gap" else (low, high)))
    return Chart(
        name=name,
        series=tuple(_series(style, points, x, y) for style, points in lines),
        steps=ticks(x),
        values=ticks(y),
        best=None if best is None or not x.low <= best <= x.high else x(best),
        refused=refused,
        bars=tuple((x(step), y(low), y(high)) for step, low, high in intervals),
        zero=y(0.0) if name == "gap" else None,
        x=x,
        y=y,
    )


def _range(lines: list[tuple[str, Points]]) -> tuple[float, float]:
    """Bounds that one early spike of the unsmoothed loss does not stretch: its top fiftieth may leave the chart."""
    values: list[float] = []
    for style, points in lines:
        ordered = sorted(value for _, value in points)
        values += ordered[: math.ceil(len(ordered) * 0.98)] if style == "train" else ordered
    return bounds(values)


def _series(style: str, points: Points, x: Scale, y: Scale) -> Series:
    pixels = tuple((x(step), y(value)) for step, value in points)
    path = "M" + "L".join(f"{across:g},{down:g}" for across, down in pixels)
    dots = pixels if style in SPARSE and len(pixels) <= MARKED else ()
    return Series(_NAMES[style], style, points, path, dots)
