"""What a run took, and of which model."""

from __future__ import annotations

from dataclasses import dataclass, field

from luthier.report.records.number import Known


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
