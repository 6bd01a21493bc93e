"""What a run tells while it trains: metrics.jsonl for machines, a bar or a line now and then for people."""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from luthier.stats import Interval
from luthier.train.look import Losses
from luthier.types import Json

PLAIN_LINE_EVERY_S = 30.0


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One optimizer step, as metrics.jsonl has it."""

    step: int
    """Counted from 1: steps done."""
    steps: int
    """Steps of the whole run."""
    epoch: float
    """Passes over the examples done."""
    loss: float
    """Mean per unit of the objective."""
    lr: float
    grad_norm: float
    """Global norm before clipping."""
    distinct: int
    """Tokens computed."""
    logical: int
    """Tokens learned from, before sharing."""
    seconds: float
    refused: bool
    """Whether the step was left out because its loss or gradient was not finite."""
    logged: Mapping[str, float]
    """What the objective logged, as means per unit."""

    def line(self) -> dict[str, Json]:
        """The record as a line of metrics.jsonl."""
        figures: dict[str, Json] = {
            n: getattr(self, n) for n in self.__dataclass_fields__ if n not in ("steps", "logged")
        }
        return {"kind": "step", **figures, "logged": dict(self.logged)}


@dataclass(frozen=True, slots=True)
class EvaluationRecord:
    """One evaluation, as metrics.jsonl has it."""

    step: int
    epoch: float
    n: int
    """Rows judged."""
    metrics: Mapping[str, float]
    seconds: float
    best: bool
    """Whether it is the best so far."""
    validation: Losses | None = None
    train: Losses | None = None
    """Of a fixed sample of training rows, measured alike."""
    gap: Interval | None = None
    """Validation loss minus training loss."""

    def line(self) -> dict[str, Json]:
        """The record as a line of metrics.jsonl."""
        return {
            "kind": "evaluation",
            "step": self.step,
            "epoch": self.epoch,
            "split": "validation",
            "n": self.n,
            "metrics": dict(self.metrics),
            "seconds": self.seconds,
            "best": self.best,
            **self._measured(),
        }

    def _measured(self) -> dict[str, Json]:
        """The training rows' loss beside, the gap, and what each row spent, by which later looks are compared."""
        both = {"validation": self.validation, "train": self.train}
        found: dict[str, Json] = {"losses": {name: one.line() for name, one in both.items() if one is not None}}
        if self.train is not None:
            found = {"train": {"n": self.train.rows, "loss": self.train.mean}, **found}
        return found if self.gap is None else {**found, "gap": dict(asdict(self.gap))}


class MetricsLog:
    """metrics.jsonl, appended line by line and flushed, so that it can be followed while the run goes on."""

    def __init__(self, path: Path, *, length: int = 0) -> None:
        """Opens the file and cuts it to its first `length` bytes."""
        self._file = path.open("ab")
        self._file.truncate(min(length, path.stat().st_size))
        self._file.seek(0, os.SEEK_END)

    def write(self, record: StepRecord | EvaluationRecord) -> None:
        """Appends one line; what is not finite is written as null, since JSON has no word for it."""
        self._file.write(json.dumps(_finite(record.line()), allow_nan=False).encode() + b"\n")
        self._file.flush()

    def sync(self) -> int:
        """Makes sure that what was written is on disk; returns the file's length in bytes."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


class Progress:
    """A bar on a terminal, a line every 30 s elsewhere, nothing when silent; its methods are hooks."""

    def __init__(self, mode: Literal["auto", "plain", "silent"] = "auto", *, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr, emoji=False)
        bar = mode == "auto" and self._console.is_terminal
        self._mode = "silent" if mode == "silent" else "bar" if bar else "plain"
        columns = (
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            TimeRemainingColumn(),
        )
        self._bar = Bar(*columns, console=self._console, disable=not bar)
        self._task = self._bar.add_task("starting", total=None)
        self._loss = MovingMean()
        self._seconds = MovingMean()
        self._printed = -math.inf

    def __enter__(self) -> Progress:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._bar.stop()

    def step(self, record: StepRecord) -> None:
        """Shows where the run stands."""
        self._loss.add(record.loss)
        self._seconds.add(record.seconds)
        if self._mode == "bar":
            self._bar.update(self._task, completed=record.step, total=record.steps, description=self._words(record))
        elif self._mode == "plain" and time.monotonic() - self._printed >= PLAIN_LINE_EVERY_S:
            self._printed = time.monotonic()
            left = (record.steps - record.step) * self._seconds.value
            self.say(f"step {record.step}/{record.steps}  {self._words(record)}  {spoken(left)} of steps left")

    def evaluation(self, record: EvaluationRecord) -> None:
        """Shows the figures of an evaluation."""
        figures = "  ".join(f"{name} {value:.4g}" for name, value in record.metrics.items())
        beside = "" if record.train is None else f"  (train loss {record.train.mean:.4g})"
        best = "  (best so far)" if record.best else ""
        self.say(f"step {record.step}  on {record.n} validation rows: {figures}{beside}{best}")

    def say(self, sentence: str) -> None:
        """Prints a sentence above the bar, unless silent."""
        if self._mode != "silent":
            self._bar.console.print(sentence, markup=False, highlight=False)

    def _words(self, record: StepRecord) -> str:
        seconds = max(record.seconds, 1e-9)
        return (
            f"loss {self._loss.value:.4f}  lr {record.lr:.2g}  {record.distinct / seconds:,.0f} distinct tokens/s  "
            f"{record.logical / seconds:,.0f} logical tokens/s  D {record.logical / max(1, record.distinct):.2f}"
        )


class MovingMean:
    """An exponential moving mean that is not pulled to zero at its start; what is not finite is passed over."""

    def __init__(self, keep: float = 0.9) -> None:
        self._keep, self._sum, self._weight = keep, 0.0, 0.0

    def add(self, value: float) -> None:
        """Takes one more value in."""
        if math.isfinite(value):
            self._sum = self._keep * self._sum + value
            self._weight = self._keep * self._weight + 1

    @property
    def value(self) -> float:
        """The mean, NaN before the first value."""
        return self._sum / self._weight if self._weight else math.nan


def spoken(seconds: float) -> str:
    """A duration as people say it: `820 ms`, `4.2 s`, `4 min 12 s`, `1 h 03 min`; a dash where there is none.

    The same words as on the report's page, which opens without what trains; a test holds them equal.
    """
    if not math.isfinite(seconds):
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def _finite(value: Json) -> Json:
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
