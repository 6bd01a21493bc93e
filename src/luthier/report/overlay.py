"""The curves of several runs on one axis: passes over the rows, since steps of runs may differ in rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from luthier.report.axis import Scale, bounds, ticks
from luthier.report.curves import FRAME, MARKED, Chart, Points, Series, thin
from luthier.report.folder import Run
from luthier.report.records import Measured
from luthier.words import spelled

Value = Callable[[Measured], float | None]
STYLES = 6
"""Colours of runs; a seventh run begins them again."""


def overlaid(runs: Sequence[tuple[str, Run]], primary: str) -> tuple[Chart, ...]:
    """The validation loss, the training rows' loss, their gap and the deciding metric, where any run measured them."""
    wanted: list[tuple[str, Value]] = [
        ("validation loss", lambda line: line.metrics.get("loss")),
        ("loss on training rows", lambda line: None if line.train is None else line.train.loss),
        ("gap", lambda line: None if line.gap is None or not line.step else line.gap.value),
        (f"{spelled(primary)} on validation rows", lambda line: line.metrics.get(primary)),
    ]
    if primary == "loss":
        wanted.pop()
    drawn = [(name, [_points(run, value) for _, run in runs]) for name, value in wanted]
    last = max((at for _, lines in drawn for points in lines for at, _ in points), default=1.0)
    x = FRAME.x(0, last)
    return tuple(_chart(name, [one for one, _ in runs], lines, x) for name, lines in drawn if any(lines))


def _points(run: Run, value: Value) -> Points:
    found = ((line.epoch, value(line)) for line in run.evaluations if line.split == "validation")
    return thin(tuple((epoch, one) for epoch, one in found if epoch is not None and one is not None))


def _chart(name: str, runs: Sequence[str], lines: Sequence[Points], x: Scale) -> Chart:
    y = FRAME.y(*bounds([value for points in lines for _, value in points]))
    return Chart(
        name=name,
        series=tuple(
            _series(run, f"run-{at % STYLES}", points, x, y)
            for at, (run, points) in enumerate(zip(runs, lines, strict=True))
            if points
        ),
        steps=ticks(x),
        values=ticks(y),
        best=None,
        bars=(),
        zero=y(0.0) if name == "gap" and y.low <= 0 <= y.high else None,
        refused=(),
        x=x,
        y=y,
        unit="epoch",
    )


def _series(run: str, style: str, points: Points, x: Scale, y: Scale) -> Series:
    pixels = tuple((x(epoch), y(value)) for epoch, value in points)
    path = "M" + "L".join(f"{across:g},{down:g}" for across, down in pixels)
    return Series(run, style, points, path, pixels if len(pixels) <= MARKED else ())
