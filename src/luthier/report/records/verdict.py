"""Whether tuning helped: the metrics, classes and confusions, the bar to beat, how often the rows were read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from luthier.report.records.number import Interval, Known


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether tuning helped, on the metric the run was judged by."""

    word: str
    metric: str
    base: Interval = field(default_factory=Interval)
    tuned: Interval = field(default_factory=Interval)
    difference: Interval = field(default_factory=Interval)
    n: int = 0
    rows_needed: int | None = None
    """Test rows that would tell, where these do not."""
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class OtherTask(Verdict):
    """A task that was learned with the main one, judged on test rows of its own."""

    metric: str = ""
    name: str = ""
    kind: str = "text"
    learned: int = 0
    """Rows that were learned from."""
    drawn: int = 0
    """Of these, what an epoch saw: fewer, or some several times."""
    p_holm: Known = None
    """The p-value, raised for all tasks that are claimed at once."""


@dataclass(frozen=True, slots=True)
class Task:
    """What the model was asked to do."""

    kind: Literal["choice", "text", "number"] = "text"
    labels: tuple[str, ...] | None = None
    max_new_tokens: int = 256
    """Most tokens an answer was allowed."""
    signatures: Mapping[str, str] = field(default_factory=dict)
    """sacreBLEU's, by metric: which version counted what how."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Precision, recall and F1 of one class, in [0, 1]."""

    precision: Known = None
    recall: Known = None
    f1: Known = None


@dataclass(frozen=True, slots=True)
class ClassResult:
    """One class before and after."""

    label: str
    support: int = 0
    base: Accuracy = field(default_factory=Accuracy)
    tuned: Accuracy = field(default_factory=Accuracy)
    difference: Interval = field(default_factory=Interval)
    """In F1, paired by row."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """One class taken for another, and how often."""

    gold: str
    predicted: str
    count: int
    base_count: int | None = None


@dataclass(frozen=True, slots=True)
class OnAll:
    """The tuned model on every test row, where the base was asked only some of them."""

    n: int = 0
    metrics: Mapping[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Reads:
    """How often the test rows were read before this run."""

    before: int = 0
    by: tuple[str, ...] = ()
    """Run folders and models, the oldest first."""
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    """What a simple method without a language model reaches: the bar a tuned model must beat."""

    name: str
    metric: str
    value: Known
    low: Known = None
    high: Known = None
    n: int | None = None
    part: str = ""
    """Which rows it was measured on: `test`, `validation`, or folds of `train`."""
