"""The data side of a report: where each row went, what was left out and why, how long rows are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from luthier.report.records import Row
from luthier.types import Issue

EXAMPLES = 6
"""Most row ids named beside a reason or an issue."""


@dataclass(frozen=True, slots=True)
class Fate:
    """Rows that were cut or left out for one reason."""

    fate: str
    reason: str
    count: int
    ids: tuple[str, ...]
    """The first few."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens a row over the training rows."""

    median: int
    longest: int
    supervised: int
    """Supervised tokens in all."""
    tokens: int
    """Tokens in all."""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every row counted once."""

    total: int
    kept: int
    cut: int
    left_out: int
    fates: tuple[Fate, ...]
    lengths: Lengths | None
    replay: int = 0
    """Rows that are learned beside the task's, and counted nowhere else."""


def ledger(rows: Sequence[Row]) -> Ledger:
    """The rows summed up; reasons by falling count."""
    rows, replay = [row for row in rows if row.split != "replay"], _count(rows, "kept", split="replay")
    return Ledger(
        total=len(rows),
        kept=_count(rows, "kept"),
        cut=_count(rows, "cut"),
        left_out=_count(rows, "left out"),
        fates=_fates(rows),
        lengths=_lengths([row for row in rows if row.split == "train"]),
        replay=replay,
    )


def worst_first(issues: Iterable[Issue]) -> tuple[Issue, ...]:
    """Flagged issues before the rest, each by falling severity."""
    return tuple(sorted(issues, key=lambda issue: (not issue.flagged, -issue.severity, issue.check)))


def _count(rows: Sequence[Row], fate: str, *, split: str | None = None) -> int:
    return sum(row.fate == fate and split in (None, row.split) for row in rows)


def _fates(rows: Sequence[Row]) -> tuple[Fate, ...]:
    groups: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.fate != "kept":
            groups.setdefault((row.fate, row.reason or "no reason given"), []).append(row.id)
    fates = (Fate(fate, reason, len(ids), tuple(ids[:EXAMPLES])) for (fate, reason), ids in groups.items())
    return tuple(sorted(fates, key=lambda found: (found.fate != "left out", -found.count, found.reason)))


def _lengths(rows: Sequence[Row]) -> Lengths | None:
    tokens = sorted(row.tokens for row in rows if row.tokens is not None)
    if not tokens:
        return None
    supervised = sum(row.supervised or 0 for row in rows)
    return Lengths(tokens[len(tokens) // 2], tokens[-1], supervised, sum(tokens))
