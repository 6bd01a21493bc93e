"""What metrics.jsonl says of a run: the losses of its steps and of its looks, read back."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from luthier.errors import RunError
from luthier.train.look import Losses
from luthier.types import Json


@dataclass(frozen=True, slots=True)
class Seen:
    """An evaluation during training."""

    step: int
    epoch: float
    validation: Losses
    train: Losses


@dataclass(frozen=True, slots=True)
class Course:
    """How a run went."""

    steps: tuple[float, ...]
    """The loss of each step, of the rows it learned from; steps that were refused are left out."""
    looks: tuple[Seen, ...]
    """Those that measured both losses, oldest first."""
    refused: int = 0
    """Steps left out because they were not finite."""
    broken: int | None = None
    """Step of the first look whose loss was not finite."""
    unit: str = "nats a token"
    """What a loss is counted in, as it follows a number."""


def read_course(path: Path) -> Course:
    """The course of the run that wrote this metrics.jsonl. Raises RunError with the line that is damaged."""
    steps: list[float] = []
    looks: list[Seen] = []
    refused, broken = 0, None
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            record = cast(dict[str, Json], json.loads(line))
            if record["kind"] == "step":
                loss = cast(float | None, record["loss"])
                refused += bool(record["refused"])
                steps += [] if loss is None or record["refused"] else [loss]
            elif (seen := _seen(record)) is not None:
                if math.isfinite(seen.validation.mean) and math.isfinite(seen.train.mean):
                    looks.append(seen)
                else:
                    broken = seen.step if broken is None else broken
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}:{number}: not a line of a run ({error!r}); restore the file from a copy") from error
    return Course(tuple(steps), tuple(looks), refused, broken)


def _seen(record: Mapping[str, Json]) -> Seen | None:
    """None for an evaluation that measured no training rows."""
    both = cast(Mapping[str, list[tuple[float | None, float]]], record.get("losses") or {})
    if not {"validation", "train"} <= both.keys():
        return None
    beside = cast(Mapping[str, int], record["train"])
    return Seen(
        step=cast(int, record["step"]),
        epoch=cast(float, record["epoch"]),
        validation=_losses(both["validation"], cast(int, record["n"])),
        train=_losses(both["train"], beside["n"]),
    )


def _losses(entries: list[tuple[float | None, float]], rows: int) -> Losses:
    nats = tuple(math.nan if spent is None else spent for spent, _ in entries)
    return Losses(nats, tuple(tokens for _, tokens in entries), rows)
