"""What each method reached, took and cost, as a page: between the marks of docs/methods.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np
from environment import Machine
from marked import row

from luthier.evaluate import read_predictions
from luthier.metrics import named

RESAMPLES = 2000
SEEDS = (0, 1, 2)
SCRIPT = "bench/methods.py"
NO_WEIGHTS = ("optimizer", "tokenizer", "manifest", "state", "special_tokens", "vocab", "merges", "chat_template")
"""How the names of files begin that lie in a checkpoint and hold nothing that was learned."""


@dataclass(frozen=True, slots=True)
class Learned:
    """One task learned by one method with several seeds."""

    arm: str
    said: str
    task: str
    metric: str
    factor: float
    """Of the method's usual rate, what lost least on the validation rows."""
    usual: float
    losses: Mapping[str, float | None]
    """On those, by the factors that were tried; None where it diverged."""
    value: float
    """Mean over the seeds."""
    low: float
    high: float
    """95 % interval over other rows and other seeds."""
    seeds: Sequence[float]
    n: int
    seconds: float
    """Of the processor in steps: the median of one, times as many."""
    peak_bytes: int
    """Most memory of a process that does nothing else."""
    learning: int
    """Parameters that learn."""
    bytes: int
    """Of what was learned, on disk."""
    forgot: Sequence[float] | None
    """Accuracy on general questions: before, and the difference with its interval; None where it was not measured."""

    def told(self) -> str:
        """A line for whoever waits."""
        return f"{self.said}: {self.task} {self.metric} {self.value:.3f} at {self.factor * self.usual:.2g}"


@dataclass(frozen=True, slots=True)
class Method:
    """One method on both tasks; None where it is not there, or not yet."""

    bank: Learned | None
    facts: Learned | None

    @property
    def each(self) -> list[Learned]:
        """What is there."""
        return [one for one in (self.bank, self.facts) if one is not None]


def size(checkpoint: Path) -> int:
    """Bytes of what was learned."""
    return sum(file.stat().st_size for file in checkpoint.iterdir() if not file.name.startswith(NO_WEIGHTS))


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


def lines(
    machine: Machine, found: Sequence[Method], processors: set[str], base: Mapping[str, float], command: str
) -> Iterator[str]:
    """The generated part, line by line."""
    banks = [one.bank for one in found if one.bank is not None]
    texts = [one.facts for one in found if one.facts is not None]
    yield f"Measured on {', '.join(sorted(processors))}; {machine.system}. `{command}`, one thread a method: "
    yield f"{len(found)} methods, {len(SEEDS)} seeds each."
    yield ""
    yield f"The base: banking77 {base['bank']:.3f}, E2E {base['facts']:.1f}."
    yield ""
    bank = f"banking77, {banks[0].metric} ({banks[0].n} rows)" if banks else "banking77"
    facts = f"E2E, {texts[0].metric} ({texts[0].n} sets of facts)" if texts else "E2E"
    yield row("method", bank, "at the rate", facts, "at the rate", "general questions, after banking77")
    yield row(*["---"] * 6)
    for one in found:
        cells = *value(one.bank, 3), *value(one.facts, 1), lost(one.bank)
        yield row(one.each[0].said, *cells)
    yield ""
    yield row("method", "parameters that learn", "on disk", "memory", "processor seconds in steps, banking77", "E2E")
    yield row(*["---"] * 6)
    for one in found:
        some = one.each[0]
        took = (f"{each.seconds:.0f}" if each is not None else "-" for each in (one.bank, one.facts))
        held = f"{some.learning:,}", f"{some.bytes / 1e6:.2f} MB", f"{some.peak_bytes / 1e9:.1f} GB"
        yield row(some.said, *held, *took)
    yield ""
    yield row("method", "loss on the validation rows, by the rate's place against the usual one: banking77", "E2E")
    yield row(*["---"] * 3)
    for one in found:
        yield row(one.each[0].said, *(tried(each) for each in (one.bank, one.facts)))


def tried(one: Learned | None) -> str:
    """Every rate that was looked at."""
    losses = {} if one is None else one.losses
    said = {name: "diverged" if loss is None else f"{loss:.3f}" for name, loss in losses.items()}
    return ", ".join(f"{name} x: {loss}" for name, loss in said.items()) or "-"


def value(one: Learned | None, places: int) -> tuple[str, str]:
    """The mean over seeds with its interval and each seed's, and the rate with its place against the usual one."""
    if one is None:
        return "-", "-"
    seeds = ", ".join(f"{each:.{places}f}" for each in one.seeds)
    said = f"**{one.value:.{places}f}** [{one.low:.{places}f}, {one.high:.{places}f}] ({seeds})"
    return said, f"{one.factor * one.usual:.2g} ({one.factor:g} x usual)"


def lost(one: Learned | None) -> str:
    """What became of the general questions."""
    if one is None or one.forgot is None:
        return "not measured"
    before, change, low, high = one.forgot
    text = f"{change:+.3f} [{low:+.3f}, {high:+.3f}]"
    return f"{before + change:.3f}: " + (f"**{text}**" if low > 0 or high < 0 else text)
