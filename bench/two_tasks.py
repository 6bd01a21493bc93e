"""The two tasks that several benchmarks learn, cut to size: banking77's wishes and E2E's restaurants."""

from __future__ import annotations

import csv
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import numpy as np

BANK = "Which wish does this message of a bank's customer express?"
FACTS = "Say these facts about a restaurant in one or two sentences."


def carried_out(run: Path, words: Sequence[str], *, first: Callable[[], None] = lambda: None) -> Path:
    """A finished run folder: found, gone on with, or taken from the start. Raises SystemExit where it fails.

    first: called before a run that starts.
    """
    if (run / "report.json").is_file():
        return run
    begun = (run / "recipe.yaml").is_file()
    if not begun:
        first()
    print(f"{run.name}: {'goes on' if begun else 'begins'}", flush=True)
    began = monotonic()
    luthier("train", *(["--resume", str(run)] if begun else [*words, f"run={run}"]))
    print(f"{run.name}: {monotonic() - began:.0f} s", flush=True)
    return run


def luthier(*words: str) -> None:
    """A command of this tree's own."""
    done = subprocess.run([sys.executable, "-m", "luthier", *words], check=False, stdout=subprocess.DEVNULL)
    if done.returncode:
        raise SystemExit(f"luthier {shlex.join(words)} ended with {done.returncode}")


def read(path: Path) -> list[dict[str, str]]:
    """A table's rows. Raises SystemExit where it is not there."""
    if not path.is_file():
        raise SystemExit(f"{path}: is not there; name the folder that holds it with --data")
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def drawn(rows: Sequence[dict[str, str]], count: int) -> list[dict[str, str]]:
    """As many rows, by a fixed seed."""
    return [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:count].tolist()]


def whole(rows: Sequence[dict[str, str]], count: int) -> list[dict[str, str]]:
    """All rows of as many sets of facts."""
    facts = list(dict.fromkeys(row["mr"] for row in rows))
    kept = {facts[i] for i in np.random.default_rng(0).permutation(len(facts))[:count].tolist()}
    return [row for row in rows if row["mr"] in kept]


def save(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """A table; one that is there stays."""
    if path.exists():
        return
    with path.open("w", newline="", encoding="utf-8") as stream:
        made = csv.DictWriter(stream, list(rows[0]))
        made.writeheader()
        made.writerows(rows)
