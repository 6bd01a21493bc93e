"""What the files of a run folder say, as types. Reading them is `folder.py`; nothing here computes.

Fields a report can do without have a default, so that a run of an older or a smaller Luthier still opens.
Intervals are 95 % everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import AfterValidator


def finite_or_none(value: float | None) -> float | None:
    """A number that is not finite is no number."""
    return value if value is not None and math.isfinite(value) else None


Known = Annotated[float | None, AfterValidator(finite_or_none)]
"""A measured number, None where there is none; JSON's NaN and Infinity become None as the file is read."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A measured value with its 95 % interval; None where it could not be measured."""

    value: Known = None
    low: Known = None
    high: Known = None
    p: Known = None
    """Two-sided p-value, of differences only."""
    p_family: Known = None
    """The same, raised for all that was claimed with it (Holm)."""
    seen: bool | None = None
    """Whether a difference was seen: its interval excludes 0 and p_family agrees. None where nobody said."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """One metric of the base model and of the tuned one, on the same rows."""

    base: Interval = field(default_factory=Interval)
    tuned: Interval = field(default_factory=Interval)
    difference: Interval = field(default_factory=Interval)
    """Tuned minus base, paired by row."""


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
class Task:
    """What the model was asked to do."""

    kind: Literal["choice", "text"] = "text"
    labels: tuple[str, ...] | None = None
    max_new_tokens: int = 256
    """Most tokens an answer was allowed."""


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
class Spent:
    """Time, memory and energy: estimated beforehand, or measured."""

    seconds: Known = None
    peak_bytes: Known = None
    energy_wh: Known = None
    energy_source: str | None = None
    assumption: str | None = None


@dataclass(frozen=True, slots=True)
class Cost:
    """The estimate beside what it took."""

    estimate: Spent = field(default_factory=Spent)
    took: Spent = field(default_factory=Spent)


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens a second, and how many logical tokens one computed token stood for."""

    distinct_per_s: Known = None
    logical_per_s: Known = None
    sharing: Known = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """The model that was tuned."""

    name: str = ""
    parameters: int | None = None
    trainable: int | None = None
    dtype: str = ""
    device: str = ""
    shared: bool | None = None
    reason: str | None = None


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


@dataclass(frozen=True, slots=True)
class Kept:
    """One thing the model could do before, and what is left of it."""

    name: str
    kind: Literal["probe", "text", "file", "divergence"]
    metric: str = ""
    n: int = 0
    of: str = "rows"
    base: Interval = field(default_factory=Interval)
    tuned: Interval = field(default_factory=Interval)
    difference: Interval | None = None
    """None of a divergence, which is a difference already."""
    drop: Known = None
    """The loss as a share of the measure's scale."""
    word: Literal["lost", "gained", "no loss seen"] | None = None
    sentence: str = ""


@dataclass(frozen=True, slots=True)
class KindOfQuestion:
    """How many general questions of a kind were right before and after."""

    kind: str
    n: int
    base: int
    tuned: int


@dataclass(frozen=True, slots=True)
class Forgetting:
    """What tuning cost of what the model could do before."""

    sentence: str
    word: str = ""
    max_drop: Known = None
    over: tuple[str, ...] = ()
    """Measures that lost more than the recipe allows."""
    seconds: Known = None
    measures: tuple[Kept, ...] = ()
    kinds: tuple[KindOfQuestion, ...] = ()


@dataclass(frozen=True, slots=True)
class Bin:
    """Rows of which a model was about equally sure."""

    n: int
    confidence: Known = None
    accuracy: Interval = field(default_factory=Interval)


@dataclass(frozen=True, slots=True)
class Answered:
    """The rows a model is surest of."""

    n: int
    coverage: Known = None
    """Share of all rows."""
    least: Known = None
    """How sure it is of the least sure of them."""
    accuracy: Interval = field(default_factory=Interval)


@dataclass(frozen=True, slots=True)
class Confidence:
    """How far one model's confidence can be trusted."""

    ece: Interval = field(default_factory=Interval)
    ece_adaptive: Interval = field(default_factory=Interval)
    brier: Interval = field(default_factory=Interval)
    log_loss: Interval = field(default_factory=Interval)
    coverage_area: Interval = field(default_factory=Interval)
    out_of_scope_auroc: Interval = field(default_factory=Interval)
    reliability: tuple[Bin, ...] = ()
    abstention: tuple[Answered, ...] = ()


@dataclass(frozen=True, slots=True)
class Temperature:
    """What makes the tuned model's confidence most likely on validation rows."""

    value: Known = None
    fitted_on: int = 0
    """Validation rows."""
    tuned: Confidence = field(default_factory=Confidence)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Confidence before and after, on the same rows."""

    n: int = 0
    base: Confidence = field(default_factory=Confidence)
    tuned: Confidence = field(default_factory=Confidence)
    temperature: Temperature | None = None


@dataclass(frozen=True, slots=True)
class Warned:
    """What the curves say against a run."""

    name: str
    sentence: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Looks:
    """How often a run looked at its validation rows, and the share of its time that took."""

    made: int = 0
    passed: int = 0
    """Planned, and passed over for want of time."""
    share: Known = None
    allowed: Known = None


@dataclass(frozen=True, slots=True)
class Beside:
    """The loss on training rows, in evaluation mode."""

    n: int = 0
    loss: Known = None


@dataclass(frozen=True, slots=True)
class Validation:
    """All validation rows, by the checkpoint that was kept."""

    n: int = 0
    metrics: Mapping[str, Interval] = field(default_factory=dict)
    train: Beside | None = None
    gap: Interval | None = None
    """Validation loss minus training loss."""


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
    reads: Reads | None = None
    """None for a run without test rows."""


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
