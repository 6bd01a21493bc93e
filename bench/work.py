"""What both sides are given, and what each gives back: plain records that travel as JSON. Knows neither side."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

from limit import Counts, Shape

Setting: TypeAlias = "bool | int | str | None"

RANK, ALPHA = 16, 32
LR, FULL_LR, CLIP, WEIGHT_DECAY = 2e-4, 2e-5, 1.0, 0.0
BETAS, EPS = (0.9, 0.999), 1e-8


@dataclass(frozen=True, slots=True)
class Row:
    """One example as text."""

    id: str
    prompt: str
    """Rendered by the model's chat template, up to where generation begins."""
    answer: str
    """Without the token that ends the turn; both sides learn that one too."""
    turns: tuple[tuple[str, str], ...]
    """The prompt again as (role, content)."""


@dataclass(frozen=True, slots=True)
class Work:
    """Rows in the order both sides take them, `rows_per_step` a step."""

    key: str
    title: str
    rows_per_step: int
    rows: tuple[Row, ...]
    counts: tuple[Counts, ...]
    """One a step."""
    shape: Shape
    full: bool = False
    """Whether every weight learns, rather than adapters beside them."""

    @property
    def lr(self) -> float:
        """Every step's learning rate."""
        return FULL_LR if self.full else LR

    @property
    def rank(self) -> int | None:
        """Of the adapters; None where every weight learns."""
        return None if self.full else RANK

    def save(self, path: Path) -> None:
        """Writes it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def open(cls, path: Path) -> Work:
        """Reads what `save` wrote."""
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        shape: dict[str, Any] = {
            name: tuple(map(tuple, value)) if isinstance(value, list) else value
            for name, value in found.pop("shape").items()
        }
        rows = tuple(Row(**{**row, "turns": tuple(map(tuple, row["turns"]))}) for row in found.pop("rows"))
        counts = tuple(Counts(**step) for step in found.pop("counts"))
        return cls(**found, rows=rows, counts=counts, shape=Shape(**shape))

    def mean(self, name: str, *, skip: int) -> float:
        """Mean of one of the counts over the steps after the first `skip`."""
        values = [float(getattr(step, name)) for step in self.counts[skip:]]
        return sum(values) / len(values)


@dataclass(frozen=True, slots=True)
class Order:
    """What one arm, a process of its own, is asked to do."""

    work: Path
    model: Path
    steps: int
    """Timed ones."""
    warmup: int
    """Steps before them, trained on and not timed."""
    seed: int
    threads: int
    settings: dict[str, Setting] = field(default_factory=dict)
    """TRL's options that differ from its defaults; of ours, `dtype`."""

    @classmethod
    def from_command_line(cls) -> Order:
        """The order as `arguments` wrote it."""
        parser = argparse.ArgumentParser()
        for name, kind in (
            ("work", Path),
            ("model", Path),
            *((n, int) for n in ("steps", "warmup", "seed", "threads")),
        ):
            parser.add_argument(f"--{name}", type=kind, required=True)
        parser.add_argument("--settings", type=json.loads, default={})
        return cls(**vars(parser.parse_args()))

    def arguments(self) -> list[str]:
        """The order as a command line."""
        plain = [f"--{name}={getattr(self, name)}" for name in ("work", "model", "steps", "warmup", "seed", "threads")]
        return [*plain, f"--settings={json.dumps(self.settings)}"]


@dataclass(frozen=True, slots=True)
class Measured:
    """What one arm found; printed as one line of JSON."""

    arm: str
    work: str
    seed: int
    warmup: int
    step_s: tuple[float, ...]
    """Every step's time, warm-up first."""
    losses: tuple[float, ...]
    """Every step's mean loss a supervised token, before its update."""
    peak_bytes: int
    """Most memory the process ever held (VmHWM)."""
    rate: float
    """FLOP/s of its matrix products alone, in this process, at its rows and in its number format."""
    rate_rows: int
    dtype: str
    fingerprint: str
    """Of the tokens it trained on and which of them it learned."""
    versions: dict[str, str]
    settings: dict[str, Setting]
    processor_s: float = 0.0
    """Of all threads together, over all steps, where it was asked for."""
    began: float = 0.0
    """When its first step began, by the clock of the machine, where it was noted."""
    failed: str = ""
    """Why it gave nothing."""

    @property
    def timed(self) -> tuple[float, ...]:
        """Seconds of the steps that count."""
        return self.step_s[self.warmup :]

    def line(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Measured:
        """Reads what `line` wrote."""
        found: dict[str, Any] = json.loads(line)
        fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found.items()}
        return cls(**fields)


def fingerprint(rows: Iterable[tuple[list[int], list[int]]]) -> str:
    """Of rows in order, each its tokens and the places of those it learns."""
    digest = sha256()
    for tokens, learned in rows:
        digest.update(json.dumps([tokens, learned]).encode())
    return digest.hexdigest()[:16]


def peak_bytes() -> int:
    """Most memory this process ever held."""
    status = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) * 1024
