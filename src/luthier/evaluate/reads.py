"""How often test rows were read: a small ledger beside their file, a line a reading.

A test part tells the truth about the first model that is judged by it; of many models that were, the best is partly
lucky. So every judgement on test rows is noted, and told at the next. Rows are known by what they say, so that neither
another name of the file nor another order, nor another instruction before them, makes them new.

Not here: a correction of p-values, for nobody knows how much a later run learned from an earlier one; and no lock: a
line is appended in one piece. Where nothing can be written, nothing is noted, and the run goes on.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal, TypeAlias

from luthier.model.gguf import cache_folder
from luthier.types import Example
from luthier.words import counted

LEDGER = "luthier-reads.jsonl"
NAMED = 5
"""Earlier readers that are named."""
By: TypeAlias = Literal["train", "evaluate"]


@dataclass(frozen=True, slots=True)
class Read:
    """One judgement of a model on test rows."""

    rows: str
    """SHA-256 of what the rows say, in no order."""
    n: int
    """Rows."""
    when: str
    """ISO 8601, UTC."""
    run: str
    """The run's folder, or the name of a model that is no run."""
    model: str
    """What was tuned."""
    by: By


def reading(examples: Sequence[Example], *, run: str, model: str, by: By) -> Read:
    """A reading of these rows, now; their prompts without what a recipe puts before every one."""
    when = datetime.now(UTC).isoformat(timespec="seconds")
    return Read(fingerprint(examples), len(examples), when, run, model, by)


def fingerprint(examples: Iterable[Example]) -> str:
    """SHA-256 of what rows with a right answer say: prompts, right answers, label; in no order, whatever their ids."""
    each = sorted(sha256(_said(one).encode("utf-8", "surrogatepass")).hexdigest() for one in examples if _right(one))
    return sha256("".join(each).encode()).hexdigest()


def noted(read: Read, *, file: str) -> tuple[Read, ...]:
    """Notes a reading of rows of a file, and returns those before it, the oldest first. It never fails."""
    before = earlier(read.rows, file=file)
    line = json.dumps(asdict(read), ensure_ascii=False) + "\n"
    for ledger in _ledgers(file):
        if _appended(ledger, line):
            break
    return before


def earlier(rows: str, *, file: str) -> tuple[Read, ...]:
    """What the ledgers know of these rows, the oldest first; a line that cannot be read is passed over."""
    known = (read for ledger in _ledgers(file) for read in _lines(ledger) if read.rows == rows)
    return tuple(sorted(known, key=lambda read: read.when))


def told(before: Sequence[Read]) -> str:
    """How often the rows were read before, for people."""
    if not before:
        return "These test rows were read for the first time."
    times = "once" if len(before) == 1 else f"{len(before):,} times"
    return (
        f"These test rows were read {times} before (by {', '.join(_readers(before))}); "
        "a difference found after many looks is worth less."
    )


def _readers(before: Sequence[Read]) -> list[str]:
    names = Counter(Path(read.run).name or read.run for read in before)
    said = [name if count == 1 else f"{name} {count} times" for name, count in names.items()]
    rest = len(said) - NAMED
    return said if rest <= 0 else [*said[:NAMED], counted(rest, "other")]


def _right(example: Example) -> bool:
    return any(one.score > 0 for one in example.completions)


def _said(example: Example) -> str:
    answers = sorted(one.text for one in example.completions if one.score > 0)
    turns = [(turn.role, turn.content) for turn in example.prompt]
    return json.dumps([turns, answers, sorted(example.references), example.label], ensure_ascii=False)


def _ledgers(file: str) -> tuple[Path, ...]:
    """Where a reading may be noted: beside the file, unless it came with Luthier or lies nowhere, else in the cache."""
    path, installed = Path(file).absolute(), Path(__file__).absolute().parents[1]
    beside = () if installed in path.parents or not path.is_file() else (path.parent / LEDGER,)
    return (*beside, cache_folder() / LEDGER)


def _appended(ledger: Path, line: str) -> bool:
    """Whether the line stands in the ledger now; a line that a crash left unended is ended first."""
    try:
        ledger.parent.mkdir(parents=True, exist_ok=True)
        with ledger.open("ab+", buffering=0) as file:
            file.seek(-min(1, file.seek(0, os.SEEK_END)), os.SEEK_END)
            start = "\n" if file.read(1) not in (b"", b"\n") else ""
            file.write((start + line).encode("utf-8", "surrogatepass"))
    except OSError:
        return False
    return True


def _lines(ledger: Path) -> Iterable[Read]:
    try:
        lines = ledger.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return
    for line in filter(None, lines):
        try:
            yield Read(**json.loads(line))
        except (ValueError, TypeError):
            continue
