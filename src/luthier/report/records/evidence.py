"""What else is known of a tuned model: forgetting, confidence, how its curves went."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from luthier.report.records.number import Interval, Known


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
class Chance:
    """What calibration error chance alone gives."""

    high: Known = None
    """95 of 100 models whose confidence is true show no more on as many rows."""
    p: Known = None
    miscalibrated: bool = False


@dataclass(frozen=True, slots=True)
class Confidence:
    """How far one model's confidence can be trusted."""

    ece: Interval = field(default_factory=Interval)
    ece_adaptive: Interval = field(default_factory=Interval)
    brier: Interval = field(default_factory=Interval)
    log_loss: Interval = field(default_factory=Interval)
    coverage_area: Interval = field(default_factory=Interval)
    out_of_scope_auroc: Interval = field(default_factory=Interval)
    if_calibrated: Mapping[str, Chance] = field(default_factory=dict)
    """By the calibration error's name."""
    sentence: str = ""
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
