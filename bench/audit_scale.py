"""What an audit costs as rows grow: files made of real rows, each read and audited by a fresh process."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from luthier.types import Example

HERE = Path(__file__).parent
REPEATED = 0.02
"""Share of the rows that stand there twice."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One audit."""

    kind: str
    """`labels` or `texts`."""
    rows: int
    wall_s: float
    read_bytes: int
    """Most memory held until the file was read."""
    peak_bytes: int
    spent_s: Mapping[str, float]
    """CPU seconds of reading, of each check and of the surveys."""
    issues: Mapping[str, int]
    skipped: tuple[str, ...]

    @property
    def cpu_s(self) -> float:
        """Of all of it."""
        return sum(self.spent_s.values())


def made(sets: Sequence[Sequence[Example]], count: int, seed: int) -> Iterator[tuple[str, str]]:
    """(prompt, answer) of new rows: the beginning of one real prompt with the end of another of its set, the first's
    answer; a few rows stand there twice."""
    rng = Random(seed)
    last: tuple[str, str] | None = None
    for _ in range(count):
        if last is None or rng.random() >= REPEATED:
            rows = rng.choice(sets)
            one, other = rng.choice(rows), rng.choice(rows)
            first, second = one.question.split(" "), other.question.split(" ")
            last = " ".join([*first[: len(first) // 2 + 1], *second[len(second) // 2 :]]), one.answer
        yield last


def write(path: Path, sets: Sequence[Sequence[Example]], count: int, *, seed: int = 0) -> None:
    """A CSV file of that many rows."""
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["text", "answer"])
        writer.writerows(made(sets, count, seed))


def measure(path: Path, kind: str) -> Cost:
    """Reads and audits a file in a process of its own. Raises SystemExit where that fails."""
    quiet = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, str(HERE / "audit_child.py"), str(path)]
    done = subprocess.run(command, env={**os.environ, **quiet}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{path.name}: {done.stderr.strip().splitlines()[-1:] or done.returncode}")
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return Cost(kind=kind, **{**found, "skipped": tuple(found["skipped"])})
