"""What each method reached, took and cost, as a page: between the marks of docs/methods.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from environment import Machine
from marked import row

from luthier.evaluate import read_predictions
from luthier.metrics import named
from luthier.words import counted

RESAMPLES = 2000
SCRIPT = "bench/methods.py"
NO_WEIGHTS = ("optimizer", "tokenizer", "manifest", "state", "special_tokens", "vocab", "merges", "chat_template")
"""How the names of files begin that lie in a checkpoint and hold nothing that was learned."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task, learned with several seeds."""

    metric: str
    value: float
    """Mean over the seeds."""
    low: float
    high: float
    """95 % interval over other rows and other seeds."""
    seeds: tuple[float, ...]
    n: int
    seconds: float
    """Of the processor in steps: the median of one, times as many."""
    peak_bytes: int
    """Most memory while it learned."""
    learning: int
    """Parameters that learn."""
    bytes: int
    """Of what was learned, on disk."""
    forgot: tuple[float, float, float, float] | None
    """Accuracy on general questions: before, and the difference with its interval; None where it was not measured."""

    @staticmethod
    def size(checkpoint: Path) -> int:
        """Bytes of what was learned."""
        return sum(file.stat().st_size for file in checkpoint.iterdir() if not file.name.startswith(NO_WEIGHTS))


@dataclass(frozen=True, slots=True)
class Learned:
    """Both tasks by one method."""

    name: str
    said: str
    factor: float
    """Of the method's usual rate, what was best on banking77's validation rows."""
    usual: float
    losses: Mapping[str, float | None]
    """On those, by the factors that were tried; None where it diverged."""
    bank: Task
    facts: Task | None

    @classmethod
    def of(cls, line: dict[str, Any]) -> Learned:
        """As its line has it."""
        tasks = {name: None if line[name] is None else Task(**line[name]) for name in ("bank", "facts")}
        return cls(**{**line, **tasks})  # type: ignore[arg-type]

    def told(self) -> str:
        """A line for whoever waits."""
        texts = f", E2E {self.facts.metric} {self.facts.value:.1f}" if self.facts is not None else ""
        return f"{self.said}: banking77 {self.bank.value:.3f}{texts} at {self.factor * self.usual:.2g}"


@dataclass(frozen=True, slots=True)
class Method:
    """What was measured, and on what."""

    processor: str
    learned: Learned


def spread(files: Sequence[Path], metric: str) -> tuple[list[float], float, float]:
    """Each seed's value, and the interval of their mean: rows and seeds are drawn anew together, 2,000 times."""
    judge, draw = named(metric), np.random.default_rng(0)
    tables = []
    for file in files:
        rows, _ = read_predictions(file)
        tables.append(judge.statistics([row.text for row in rows], [row.references for row in rows]))
    whole = [float(judge.score(table.sum(axis=0, keepdims=True))[0]) for table in tables]
    means = []
    for _ in range(RESAMPLES):
        places = draw.integers(0, len(tables[0]), len(tables[0]))
        chosen = draw.integers(0, len(tables), len(tables))
        means.append(fmean(float(judge.score(tables[i][places].sum(axis=0, keepdims=True))[0]) for i in chosen))
    low, high = np.quantile(means, (0.025, 0.975))
    return whole, float(low), float(high)


def lines(machine: Machine, found: Sequence[Method], base: Mapping[str, float], command: str) -> Iterator[str]:
    """The generated part, line by line."""
    each = [one.learned for one in found]
    some, texts = each[0].bank, next((one.facts for one in each if one.facts is not None), None)
    processors = ", ".join(sorted({one.processor for one in found}))
    yield f"Measured on {processors}; the page was written on {counted(machine.cores, 'core')}, {machine.system}."
    yield f"`{command}`, one thread a method: {len(found)} methods so far, {len(some.seeds)} seeds each.\n"
    yield f"The base: banking77 {base['bank']:.3f}, E2E {base['facts']:.1f}."
    yield ""
    facts = f"E2E, {texts.metric} ({texts.n} sets of facts)" if texts else "E2E"
    yield row("method", "rate", f"banking77, {some.metric} ({some.n} rows)", "seeds", facts, "general questions")
    yield row(*["---"] * 6)
    for one in each:
        yield row(one.said, rate(one), value(one.bank, 3), seeds(one.bank, 3), value(one.facts, 1), lost(one.bank))
    yield ""
    yield row("method", "parameters that learn", "on disk", "memory", "processor seconds in steps, banking77", "E2E")
    yield row(*["---"] * 6)
    for one in each:
        bank, texts = one.bank, one.facts
        took = f"{bank.seconds:.0f}", f"{texts.seconds:.0f}" if texts else "-"
        held = f"{bank.learning:,}", f"{bank.bytes / 1e6:.2f} MB", f"{bank.peak_bytes / 1e9:.1f} GB"
        yield row(one.said, *held, *took)
    yield ""
    yield row("method", "loss on banking77's validation rows, by the rate's place against the usual one")
    yield row(*["---"] * 2)
    for one in each:
        yield row(one.said, tried(one))


def tried(one: Learned) -> str:
    """Every rate that was looked at."""
    said = {name: "diverged" if loss is None else f"{loss:.3f}" for name, loss in one.losses.items()}
    return ", ".join(f"{name} x: {loss}" for name, loss in said.items())


def rate(one: Learned) -> str:
    """The rate, and its place against the usual one."""
    return f"{one.factor * one.usual:.2g} ({one.factor:g} x usual)"


def value(task: Task | None, places: int) -> str:
    """The mean over seeds with its interval."""
    return "-" if task is None else f"{task.value:.{places}f} [{task.low:.{places}f}, {task.high:.{places}f}]"


def seeds(task: Task, places: int) -> str:
    """Each seed's value."""
    return ", ".join(f"{one:.{places}f}" for one in task.seeds)


def lost(task: Task) -> str:
    """What became of the general questions."""
    if task.forgot is None:
        return "not measured"
    before, change, low, high = task.forgot
    text = f"{change:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"{before + change:.3f}: " + (f"**{text}**" if low > 0 or high < 0 else text)
