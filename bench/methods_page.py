"""What each method reached, took and cost, as a page: between the marks of docs/methods.md."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from environment import Machine

from luthier.evaluate import read_predictions
from luthier.metrics import named
from luthier.words import counted

RESAMPLES = 2000
BEGIN, END = "<!-- measured: begin (written by bench/methods.py) -->", "<!-- measured: end -->"
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
    base: float
    seconds: float
    """In steps, on average."""
    peak_bytes: int
    learning: int
    """Parameters that learn."""
    bytes: int
    """Of what was learned, on disk."""
    forgot: tuple[float, float, float, float] | None
    """Accuracy on general questions: before, and the difference with its interval; None where no run measured it."""

    @classmethod
    def of(cls, runs: Sequence[Path]) -> Task:
        """What finished run folders of one task say."""
        reports = [json.loads((run / "report.json").read_text(encoding="utf-8")) for run in runs]
        metric, n = reports[0]["verdict"]["metric"], reports[0]["verdict"]["n"]
        values, low, high = spread([run / "predictions.jsonl" for run in runs], metric)
        return cls(
            metric=metric,
            value=fmean(values),
            low=low,
            high=high,
            seeds=tuple(values),
            n=n,
            base=reports[0]["verdict"]["base"]["value"],
            seconds=fmean(stepping(run) for run in runs),
            peak_bytes=max(one["cost"]["took"]["peak_bytes"] for one in reports),
            learning=reports[0]["model"]["trainable"],
            bytes=size(runs[0]),
            forgot=next((general(one) for one in reports if one.get("forgetting")), None),
        )


@dataclass(frozen=True, slots=True)
class Learned:
    """Both tasks by one method."""

    name: str
    said: str
    factor: float
    """Of the method's usual rate, what was best on banking77's validation rows."""
    usual: float
    bank: Task
    facts: Task | None

    def told(self) -> str:
        """A line for whoever waits."""
        texts = f", E2E {self.facts.metric} {self.facts.value:.1f}" if self.facts is not None else ""
        return f"{self.said}: banking77 {self.bank.value:.3f}{texts} at {self.factor * self.usual:.2g}"


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


def stepping(run: Path) -> float:
    """Seconds a run took in steps."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return float(sum(line["seconds"] for line in lines if line["kind"] == "step"))


def size(run: Path) -> int:
    """Bytes of what was learned."""
    place = (run / ("best" if (run / "best").exists() else "last")).resolve()
    return sum(file.stat().st_size for file in place.iterdir() if not file.name.startswith(NO_WEIGHTS))


def general(report: dict[str, Any]) -> tuple[float, float, float, float]:
    """General questions before, and the change with its interval."""
    found = next(one for one in report["forgetting"]["measures"] if one["kind"] == "probe")
    change = found["difference"]
    return found["base"]["value"], change["value"], change["low"], change["high"]


def write(page: Path, machine: Machine, found: Sequence[Learned], *, command: str) -> None:
    """Puts the figures between the marks. Raises SystemExit where there are none."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: the lines {BEGIN} and {END} are not there, so the figures have no place")
    made = "\n".join(lines(machine, found, command))
    page.write_text(f"{before}{BEGIN}\n\n{made}\n\n{END}{after}", encoding="utf-8")


def lines(machine: Machine, found: Sequence[Learned], command: str) -> Iterable[str]:
    """The generated part, line by line."""
    some = found[0]
    memory = f"{counted(machine.cores, 'core')}, {machine.memory_gb:.0f} GB"
    yield f"Machine: {machine.processor}, {memory}; {machine.system}; load before {machine.load:.2f}."
    yield f"Command: `{command}`. {len(found)} methods so far, {len(some.bank.seeds)} seeds each.\n"
    yield f"The base: banking77 {some.bank.base:.3f}" + (f", E2E {some.facts.base:.1f}." if some.facts else ".")
    yield ""
    facts = f"E2E, {some.facts.metric} ({some.facts.n} sets of facts)" if some.facts else "E2E"
    yield row(
        "method", "rate", f"banking77, {some.bank.metric} ({some.bank.n} rows)", "seeds", facts, "general questions"
    )
    yield "|---" * 6 + "|"
    for one in found:
        yield row(one.said, rate(one), value(one.bank, 3), seeds(one.bank, 3), value(one.facts, 1), lost(one.bank))
    yield ""
    yield row("method", "parameters that learn", "on disk", "memory", "seconds in steps, banking77", "E2E")
    yield "|---" * 6 + "|"
    for one in found:
        bank, texts = one.bank, one.facts
        took = f"{bank.seconds:.0f}", f"{texts.seconds:.0f}" if texts else "-"
        held = f"{bank.learning:,}", f"{bank.bytes / 1e6:.2f} MB", f"{bank.peak_bytes / 1e9:.1f} GB"
        yield row(one.said, *held, *took)


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


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"
