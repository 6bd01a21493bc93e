"""data.json, and the lines of rows.jsonl, metrics.jsonl and predictions.jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from luthier.report.records.evidence import Beside
from luthier.report.records.number import Interval, Known


@dataclass(frozen=True, slots=True)
class File:
    """A file the run read."""

    role: str = ""
    path: str = ""
    sha256: str = ""
    rows: int | None = None
    bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Split:
    """One part of the examples."""

    rows: int


@dataclass(frozen=True, slots=True)
class Data:
    """data.json."""

    files: tuple[File, ...] = ()
    splits: Mapping[str, Split] = field(default_factory=dict)
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """A line of rows.jsonl: an input row and what became of it."""

    id: str
    fate: Literal["kept", "cut", "left out"]
    split: str | None = None
    reason: str | None = None
    tokens: int | None = None
    supervised: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A line of metrics.jsonl: one optimizer step. `loss` is a mean per unit."""

    step: int
    kind: Literal["step"]
    epoch: Known = None
    loss: Known = None
    refused: bool = False
    distinct: int = 0
    """Tokens computed."""
    logical: int = 0
    """Tokens learned from."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A line of metrics.jsonl: one evaluation while training."""

    step: int
    kind: Literal["evaluation"]
    epoch: Known = None
    split: str = "validation"
    n: int | None = None
    metrics: Mapping[str, Known] = field(default_factory=dict)
    train: Beside | None = None
    gap: Interval | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one model said to one test row."""

    text: str = ""
    logprob: Known = None
    scores: Mapping[str, Known] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A line of predictions.jsonl: a test row answered by the base model and by the tuned one."""

    id: str
    base: Answer | None
    """None where the base was not asked."""
    tuned: Answer
    split: str = "test"
    question: str = ""
    reference: tuple[str, ...] = ()
    label: str | None = None
