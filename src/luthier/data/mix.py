"""What is learned beside the main file's rows: other tasks, and replay of what the model could do before.

A mixture draws the examples of an epoch from several files, each by its weight and size. Replay rows are added on top
and take no place from them: a step sees as many task rows as without, and the run has as many steps; they are never
validation or test. Where they come from is told by `MixOptions.source`; making the model answer is `run/replay.py`,
and which step sees which is `train/loader.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np

from luthier.data.read import ReadOptions
from luthier.errors import RecipeError
from luthier.types import TokenSequence

GENERAL = Path(__file__).parent / "general.txt"
"""One instruction a line, our own, CC0; none of them is among those that forgetting is measured on."""


@dataclass(frozen=True, slots=True)
class MixedFile(ReadOptions):
    """Another task that is learned with the main one, read and judged in its own way."""

    data: str = ""
    """File or hub name of its rows."""
    name: str | None = None
    """What it is called in reports; by default the file's name, or its folder's where that says only `train`."""
    test: float | str = 0.1
    """A file, or the share of its rows that is held out to judge it by, before tuning and after."""
    share: float = 1.0
    """How often its rows are drawn, against 1 for the main file's; before the temperature evens sizes out."""

    def __post_init__(self) -> None:
        share = self.test if isinstance(self.test, float | int) else 0.0
        bounds = [
            ("data", bool(self.data), "a file or hub name"),
            ("test", bool(self.test) if isinstance(self.test, str) else 0 <= share < 1, "a file, or a share in [0, 1)"),
            ("share", 0 < self.share < math.inf, "above 0"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)!r}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))

    @property
    def title(self) -> str:
        """What it is called."""
        path = Path(self.data.rsplit(":", 1)[-1])
        stem = path.name.split(".")[0]
        return self.name or (path.parent.name if stem in ("train", "data") else "") or stem


@dataclass(frozen=True, slots=True)
class MixOptions:
    """What is learned beside the main file: other tasks, and replay, so that less is forgotten."""

    files: tuple[MixedFile, ...] = ()
    """Other tasks, each `data: FILE` with its own `input`, `output`, `instruction`, `format`, `test` and `share`."""
    share: float = 1.0
    """How often the main file's rows are drawn, against those of `files`."""
    temperature: float = 1.0
    """Evens out how often files are drawn: at 1 by their rows, at 2 by the root of these, at inf all alike."""

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
        titles = [one.title for one in self.files]
        bounds = [
            ("files", len(set(titles)) == len(titles), "of different names; give each a `name`"),
            ("share", 0 < self.share < math.inf, "above 0"),
            ("temperature", self.temperature >= 1, "at least 1 (inf draws all files alike)"),
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


@dataclass(frozen=True, slots=True)
class Mixture:
    """How many examples each of several files gives to an epoch."""

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    """Examples of each file, in the order in which they are laid end to end."""
    drawn: tuple[int, ...]
    """Of these an epoch sees so many: fewer than there are, or some several times."""


def mixture(names: Sequence[str], sizes: Sequence[int], shares: Sequence[float], temperature: float) -> Mixture:
    """Draws each file by share x size^(1 / temperature); an epoch has as many examples as all files together.

    Every file gives an epoch at least one. Source: Raffel et al. 2020, arXiv:1910.10683, section 3.5.2.
    """
    weights = np.asarray(shares, np.float64) * np.asarray(sizes, np.float64) ** (1 / temperature)
    wanted = weights / weights.sum() * sum(sizes)
    drawn = np.maximum(1, np.floor(wanted)).astype(int)
    for place in np.argsort(drawn - wanted, kind="stable")[: max(0, sum(sizes) - int(drawn.sum()))]:
        drawn[place] += 1
    return Mixture(tuple(names), tuple(sizes), tuple(drawn.tolist()))


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
