"""Where a run stands between two steps: everything a resumed run needs beside weights and moments."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace

from luthier.errors import RunError
from luthier.types import Json


@dataclass(frozen=True, slots=True)
class TrainState:
    """The loop's own memory; a step's examples and randomness follow from its number and need no place here."""

    step: int = 0
    """Steps done, refused ones included."""
    best_step: int | None = None
    """Step of the best evaluation so far."""
    best_value: float | None = None
    """The deciding metric there."""
    stale: int = 0
    """Evaluations since the last gain."""
    refused: int = 0
    """Steps left out because their loss or gradient was not finite."""
    stopped_early: bool = False
    """Whether patience ended the run."""
    distinct: int = 0
    """Tokens computed so far."""
    logical: int = 0
    """Tokens learned from so far, before sharing."""
    seconds: float = 0.0
    """Time spent in steps so far."""
    looking: float = 0.0
    """Time spent in evaluations so far."""
    look: float | None = None
    """Time the latest whole evaluation took."""
    measuring: float = 0.0
    """Of it, in evaluations that measured the losses alone."""
    measure: float | None = None
    """Time the latest of those took."""
    looks: int = 0
    """Whole evaluations made."""
    passed: int = 0
    """Planned evaluations that were not made whole, for want of time."""
    metrics_bytes: int = 0
    """Length of metrics.jsonl at this moment: what comes after it belongs to steps that will be taken again."""

    def judged(self, value: float, *, higher_is_better: bool, min_gain: float, patience: int | None) -> TrainState:
        """The state after an evaluation: a gain over the best resets the patience; NaN is never a gain.

        The first finite value is a gain; after it, a gain is more than `min_gain` in the metric's own direction.
        """
        gain = value - (self.best_value or 0.0) if higher_is_better else (self.best_value or 0.0) - value
        if value == value and (self.best_value is None or gain > min_gain):
            return replace(self, best_step=self.step, best_value=value, stale=0)
        stale = self.stale + 1
        return replace(self, stale=stale, stopped_early=patience is not None and stale >= patience)

    def to_json(self) -> dict[str, Json]:
        """The fields by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, saved: dict[str, Json]) -> TrainState:
        """Raises RunError when a field is missing or unknown: another version wrote it."""
        known = {field.name for field in fields(cls)}
        if set(saved) != known:
            raise RunError(f"state.json has other fields than expected: {sorted(set(saved) ^ known)}")
        return cls(**saved)  # type: ignore[arg-type]
