"""report.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from luthier.report.records.cost import Cost, ModelFacts, Speed
from luthier.report.records.evidence import Calibration, Forgetting, Looks, Validation, Warned
from luthier.report.records.number import Comparison
from luthier.report.records.verdict import Bar, ClassResult, Confusion, OnAll, OtherTask, Reads, Task, Verdict


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch of a rendered row whose tokens are all learned, or all not."""

    text: str
    learned: bool


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row as the trainer saw it."""

    id: str
    pieces: tuple[Piece, ...] = ()


@dataclass(frozen=True, slots=True)
class IssueCount:
    """How many issues the checks raised."""

    flagged: int = 0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A run that was gone on from."""

    run: str
    step: int | None = None
    """The checkpoint that was taken."""
    data: tuple[str, ...] = ()
    """Its training rows."""


@dataclass(frozen=True, slots=True)
class MixedRows:
    """A file of a mixture, and how often an epoch drew from it."""

    name: str
    rows: int
    """Of it that can be drawn."""
    drawn: int
    """Fewer than there are, or some several times."""


@dataclass(frozen=True, slots=True)
class Report:
    """report.json."""

    title: str
    verdict: Verdict
    created: str = ""
    task: Task = field(default_factory=Task)
    metrics: Mapping[str, Comparison] = field(default_factory=dict)
    tuned_on_all: OnAll = field(default_factory=OnAll)
    classes: tuple[ClassResult, ...] | None = None
    confusions: tuple[Confusion, ...] | None = None
    cost: Cost = field(default_factory=Cost)
    speed: Speed = field(default_factory=Speed)
    model: ModelFacts = field(default_factory=ModelFacts)
    method: Mapping[str, object] = field(default_factory=dict)
    steps: int | None = None
    best_step: int | None = None
    averaged: tuple[int, ...] = ()
    """Steps of the checkpoints that the best is the mean of."""
    stopped_early: bool = False
    shown: tuple[ShownRow, ...] = ()
    use: str = ""
    issues: IssueCount | None = None
    baselines: tuple[Bar, ...] = ()
    warnings: tuple[Warned, ...] = ()
    looks: Looks | None = None
    validation: Validation | None = None
    calibration: Calibration | None = None
    forgetting: Forgetting | None = None
    """None for a run that did not measure it."""
    tasks: tuple[OtherTask, ...] = ()
    """What else was learned, in a mixture."""
    mixture: tuple[MixedRows, ...] = ()
    """What an epoch of a mixture is, the main file first; empty where there is only that."""
    reads: Reads | None = None
    """None for a run without test rows."""
    lineage: tuple[Ancestor, ...] | None = None
    """The runs that this one goes on from, the nearest first."""
