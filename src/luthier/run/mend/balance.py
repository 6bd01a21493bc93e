"""Training rows balanced over their labels: fewer rows of the frequent ones, or a weight for each. None is repeated."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median_low
from typing import Literal

from luthier.checks.check import Corpus, number
from luthier.checks.prompts import wording
from luthier.errors import RecipeError
from luthier.types import Example
from luthier.words import counted

WEIGHT = "weight"
"""Column of the rows' loss weights; `data.weight` names it to a run."""
HEAVY = 5
"""Weight of a row above which its label is named in a warning; the average is 1."""
NAMED = 8
"""Labels named there at most, rarest first."""


@dataclass(frozen=True, slots=True)
class Balance:
    """How labels are balanced."""

    by: Literal["cap", "weight"]
    rows: int | None = None
    """Rows that a label may have; None for as many as the middle label has."""


def balance(text: str) -> Balance:
    """`weight`, `cap=100` or `cap=median`. Raises RecipeError for anything else."""
    kind, _, rows = text.partition("=")
    if text == "weight":
        return Balance("weight")
    if kind == "cap" and (rows == "median" or (rows.isdecimal() and int(rows) > 0)):
        return Balance("cap", None if rows == "median" else int(rows))
    raise RecipeError(f"--balance {text}: write cap=ROWS (rows a label may have), cap=median, or weight")


def balanced(corpus: Corpus, options: Balance) -> tuple[dict[str, str], dict[str, tuple[float, str]]]:
    """Training rows to leave out, with the reason; and the weight of every row, with the reason.

    Held-out rows weigh 1: a run reads its files by one set of columns. Raises RecipeError where training rows have no
    labels, or rows a column of weights already.
    """
    rows = [corpus.rows[at] for at in corpus.of("train")]
    if missing := [row.id for row in rows if row.label is None]:
        remedy = "name the column of the labels with --output, or leave --balance out"
        raise RecipeError(f"--balance: {counted(len(missing), 'row')} ({missing[0]} ...) have no label; {remedy}")
    counts = Counter(row.label or "" for row in rows)
    if options.by == "weight":
        _refuse_weighted(corpus.rows)
        even = {row.id: (1.0, "held out, so that all files have the same columns") for row in corpus.rows}
        return {}, even | {row.id: _weight(row.label or "", counts) for row in rows}
    most = options.rows if options.rows is not None else median_low(counts.values())
    return _over(rows, counts, most, corpus.options.seed), {}


def heavy(corpus: Corpus, options: Balance) -> str | None:
    """The labels whose rows a weight makes count many times over: a misspelt or made-up label is the rarest of all."""
    counts = Counter(corpus.rows[at].label or "" for at in corpus.of("train"))
    weights = {label: _weight(label, counts)[0] for label in counts} if options.by == "weight" else {}
    found = sorted((label for label in weights if weights[label] > HEAVY), key=lambda label: (counts[label], label))
    if not found:
        return None
    said = ", ".join(f"{label!r} {weights[label]:.1f} ({counted(counts[label], 'row')})" for label in found[:NAMED])
    more = f" and {len(found) - NAMED:,} more labels" if len(found) > NAMED else ""
    return (
        f"--balance weight gives each row of {counted(len(found), 'label')} a weight above {HEAVY}: {said}{more}; "
        "a label that is a slip or no label at all counts as much as any other: mend or leave out such rows first"
    )


def lavish(corpus: Corpus, options: Balance) -> str | None:
    """What a cap costs where it leaves out more than half of the training rows, and the cap that keeps half."""
    counts = Counter(corpus.rows[at].label or "" for at in corpus.of("train"))
    if options.by == "weight" or not counts:
        return None
    most = options.rows if options.rows is not None else median_low(counts.values())
    kept, half = _kept(counts, most), (counts.total() + 1) // 2
    if 2 * kept >= counts.total():
        return None
    gentler = next(cap for cap in range(most, max(counts.values()) + 1) if _kept(counts, cap) >= half)
    asked = f"cap={most}" if options.rows is not None else f"cap=median (a cap of {most:,})"
    return (
        f"--balance {asked} leaves {kept:,} of {counts.total():,} training rows, at most {counted(most, 'row')} of "
        f"each of {counted(len(counts), 'label')}; cap={gentler} keeps {_kept(counts, gentler):,}, and weight keeps all"
    )


def _kept(counts: Counter[str], most: int) -> int:
    return sum(min(count, most) for count in counts.values())


def _refuse_weighted(rows: Iterable[Example]) -> None:
    if held := next((row.id for row in rows if WEIGHT in row.meta), None):
        remedy = f"rename it, or train with data.weight={WEIGHT} if it holds the rows' loss weights already"
        raise RecipeError(f"--balance weight: {held} has a column {WEIGHT!r}; {remedy}")


def _weight(label: str, counts: Counter[str]) -> tuple[float, str]:
    """So that every label counts the same, and a row 1 on average."""
    weight = float(f"{counts.total() / (len(counts) * counts[label]):.6g}")
    return weight, f"{label!r} has {counts[label]:,} of {counts.total():,} rows of {len(counts):,} labels"


def _over(rows: list[Example], counts: Counter[str], most: int, seed: int) -> dict[str, str]:
    """The rows of each label beyond `most`, in the order of a hash of their text, so that no order of rows matters."""
    seen = Counter[str]()
    over: dict[str, str] = {}
    for row in sorted(rows, key=lambda row: (_drawn(row, seed), row.id)):
        label = row.label or ""
        seen[label] += 1
        if seen[label] > most:
            over[row.id] = f"{label!r} has {counts[label]:,} rows, of which {most:,} stay, drawn by seed {seed}"
    return over


def _drawn(row: Example, seed: int) -> int:
    asked = [message.content for message in row.prompt]
    return number(json.dumps([seed, *asked, wording(row)]))
