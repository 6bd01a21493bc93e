"""What is learned beside the task, so that a model keeps what it could do before: replay.

Replay rows are added to the task's and take no place from them: a step sees as many task rows as without, and the run
has as many steps. They are never validation or test. Where they come from is told by `MixOptions.source`; making the
model answer is `run/replay.py`, and which step sees which is `train/loader.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from luthier.errors import RecipeError
from luthier.types import TokenSequence

GENERAL = Path(__file__).parent / "general.txt"
"""One instruction a line, our own, CC0; none of them is among those that forgetting is measured on."""


@dataclass(frozen=True, slots=True)
class MixOptions:
    """What is learned beside the task, so that less is forgotten."""

    replay: float = 0.0
    """Share of the examples of each step that are replay, added to the task's own; 0 adds none."""
    source: str = "general"
    """What is replayed: `general`, bundled instructions with what the model answers before it is tuned; `sampled`,
    instructions and answers that it samples itself; `parent`, the training rows of the run that `from` names and of
    those before it; or a file of rows with prompts and answers."""
    weight: float | None = None
    """Loss weight of each learned token of replay; None makes a replay row weigh as much as a task row on average."""
    rows: int = 200
    """Most rows the model is asked to write for replay; a run goes through them as often as it needs."""
    max_new_tokens: int = 128
    """Most tokens that it writes for an instruction, and for an answer."""

    def __post_init__(self) -> None:
        bounds = [
            ("replay", 0 <= self.replay < 1, "a share in [0, 1)"),
            ("source", bool(self.source), "general, sampled, parent or a file"),
            ("weight", self.weight is None or 0 < self.weight < math.inf, "above 0, or none"),
            ("rows", self.rows >= 1, "at least 1"),
            ("max_new_tokens", self.max_new_tokens >= 1, "at least 1"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)!r}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))

    @property
    def each(self) -> float:
        """Replay examples beside each task example."""
        return self.replay / (1 - self.replay)

    @property
    def generated(self) -> bool:
        """Whether the untuned model writes the rows."""
        return self.source in ("general", "sampled")


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """Replay rows, rendered, as the training loop takes them."""

    sequences: tuple[TokenSequence, ...]
    """The sequences of one `group` are one example."""
    each: float
    """Replay examples beside each task example."""


@cache
def general_prompts() -> tuple[str, ...]:
    """The bundled instructions."""
    return tuple(filter(None, GENERAL.read_text(encoding="utf-8").splitlines()))


def weighed(
    replay: Sequence[TokenSequence], task: Sequence[TokenSequence], weight: float | None
) -> tuple[TokenSequence, ...]:
    """The replay with each learned token's weight multiplied.

    weight: the factor; None takes that which makes an example of replay weigh as much as one of the task on average.
    """
    factor = _mean_weight(task) / (_mean_weight(replay) or 1.0) if weight is None else weight
    return tuple(replace(one, weight=(one.weight * factor).astype(np.float32)) for one in replay)


def loss_share(replay: Replay, task: Sequence[TokenSequence]) -> float:
    """The share of the loss's weight that is replay, over a long run."""
    beside = replay.each * _mean_weight(replay.sequences)
    return beside / (beside + _mean_weight(task) or 1.0)


def _mean_weight(sequences: Sequence[TokenSequence]) -> float:
    """Loss weight of an example, on average."""
    total = sum(float(one.weight.sum(dtype=np.float64)) for one in sequences)
    return total / max(1, len({one.group for one in sequences}))
