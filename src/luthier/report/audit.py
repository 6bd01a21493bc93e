"""The audit as a page to browse: worst first, the rows concerned side by side, what was counted below.

One HTML file like a run's report, and by the same rules; made to be mailed, so of personal data and secrets it shows
what their findings do and no more. Not here: finding anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from luthier.checks import Table, checks
from luthier.checks.audit import Audit
from luthier.checks.check import Corpus
from luthier.checks.redact import masked
from luthier.report.page import environment, policy, static
from luthier.types import Example, Issue, Json
from luthier.words import counted

NAME = "audit.html"
CARDS = 40
"""Findings of one kind that stand on the page; the others are in issues.jsonl."""
OPEN, OPEN_OF_KINDS = 6, 2
"""Findings shown at once of a check, and of each kind where it has several; the others of many open on demand."""
MANY = 3
"""Findings more than those shown at once, from which they are many."""
TWINS = 4
"""Rows of one finding shown side by side."""
EVIDENCE = 420
"""Characters of a row's text shown at once."""


TITLES = {"unreadable": "rows that could not be read, so that no check has seen them"}
"""What is found beside the checks, by name."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A row as evidence."""

    id: str
    part: str
    turns: tuple[tuple[str, str], ...]
    """(role, text) of the prompt and of each completion."""
    label: str | None


@dataclass(frozen=True, slots=True)
class Card:
    """One finding with its rows."""

    issue: Issue
    rows: tuple[Shown, ...]
    others: int
    """Rows it concerns that are not shown."""


@dataclass(frozen=True, slots=True)
class Kind:
    """All findings of one check about one sort of thing."""

    name: str
    """Empty where the check looks for one sort."""
    total: int
    remedy: str
    """What mends all of those shown; empty where it differs from one to another."""
    open: tuple[Card, ...]
    folded: tuple[Card, ...]
    """Shown on demand."""


@dataclass(frozen=True, slots=True)
class Group:
    """All findings of one check."""

    name: str
    title: str
    gate: bool
    flagged: int
    total: int
    rows: int
    """Different rows concerned."""
    worst: float
    kinds: tuple[Kind, ...]

    @property
    def left(self) -> int:
        """Findings that are not on the page."""
        return self.total - sum(len(kind.open) + len(kind.folded) for kind in self.kinds)


@dataclass(frozen=True, slots=True)
class Fact:
    """A number at the top."""

    name: str
    value: str
    note: str = ""


def write(folder: Path, found: Audit, corpus: Corpus, files: Sequence[str]) -> Path:
    """Writes `audit.html` into a folder and returns its path; an older one is replaced whole or not at all."""
    page = render(found, corpus, files)
    target, unfinished = folder / NAME, folder / f".{NAME}.unfinished"
    unfinished.write_text(page, encoding="utf-8", newline="\n", errors="replace")
    os.replace(unfinished, target)
    return target


def render(found: Audit, corpus: Corpus, files: Sequence[str]) -> str:
    """The HTML of an audit."""
    style, script = static("report.css") + static("audit.css"), static("audit.js")
    return (
        environment()
        .get_template("audit.html.j2")
        .render(
            found=found,
            groups=groups(found, corpus),
            facts=facts(found, corpus),
            sentence=sentence(found),
            tables=[(table, scaled(table)) for table in found.tables],
            skipped=skipped(found),
            files=files,
            clean=[(name, check.title) for name, check in checks.items() if _silent(name, found)],
            version=version("luthier"),
            style=style,
            script=script,
            policy=policy(style, script),
        )
    )


def skipped(found: Audit) -> list[tuple[str, list[tuple[str, str]]]]:
    """Each reason why checks were not run, once, with the (title, name) of those checks."""
    reasons: dict[str, list[tuple[str, str]]] = {}
    for name, why in found.skipped.items():
        title = checks[name].title if name in checks else TITLES.get(name, name.replace("_", " "))
        reasons.setdefault(why, []).append((title, name))
    return [(why, sorted(names)) for why, names in sorted(reasons.items())]


def sentence(found: Audit) -> str:
    """The outcome in one sentence."""
    flagged = [issue for issue in found.issues if issue.flagged]
    rows = len({name for issue in flagged for name in issue.examples})
    said = f"{counted(len(flagged), 'finding')} in {counted(rows, 'row')}" if flagged else "no finding"
    if noted := len(found.issues) - len(flagged):
        said += f", {noted:,}{' more' if flagged else ''} noted"
    stopped = "Stopped before every check was run: " if found.interrupted else ""
    if found.failed:
        names = ", ".join(dict.fromkeys(issue.check.replace("_", " ") for issue in found.failed))
        return f"{stopped}{said}; mend before training: {names}"
    return f"{stopped}{said}; nothing that stops a run" + (" so far" if found.interrupted else "")


def groups(found: Audit, corpus: Corpus) -> tuple[Group, ...]:
    """The findings by check: gates first, then by their worst."""
    known = {row.id: (row, part) for row, part in zip(corpus.rows, corpus.parts, strict=True)}
    known |= {row.id: (row, name) for name, rows in corpus.against.items() for row in rows if row.id not in known}
    by_check = [
        _group(name, tuple(some), name in found.gates, known)
        for name, some in groupby(sorted(found.issues, key=lambda issue: issue.check), key=lambda issue: issue.check)
    ]
    return tuple(sorted(by_check, key=lambda one: (not (one.gate and one.flagged), -one.worst, one.name)))


def facts(found: Audit, corpus: Corpus) -> tuple[Fact, ...]:
    """What stands at the top."""
    counts = {part: len(rows) for part, rows in corpus.splits.items() if rows}
    lost = len({row for issue in found.issues if issue.check == "unreadable" for row in issue.examples})
    note = ", ".join(f"{count:,} {part}" for part, count in counts.items())
    note += f"; {lost:,} more could not be read" if lost else ""
    labels = {row.label for row in corpus.rows if row.label is not None}
    failed = len({issue.check for issue in found.failed})
    return (
        Fact("rows", f"{len(corpus.rows):,}", note),
        Fact("labels", f"{len(labels):,}" if labels else "none", "" if labels else "the answers are text"),
        Fact("flagged findings", f"{sum(issue.flagged for issue in found.issues):,}", f"of {len(found.issues):,}"),
        Fact("gates failed", str(failed), f"of {len(found.gates)}"),
    )


def scaled(table: Table) -> tuple[float, ...]:
    """Each row's share of the longest bar, in percent; empty for a plain table."""
    if table.chart is None:
        return ()
    values = [float(row[-1]) if isinstance(row[-1], int | float) else 0.0 for row in table.rows]
    longest = max(values, default=0.0) or 1.0
    return tuple(round(100 * value / longest, 2) for value in values)


def _group(name: str, issues: Sequence[Issue], gate: bool, known: Mapping[str, tuple[Example, str]]) -> Group:
    """Issues come worst first."""
    ordered = sorted(issues, key=lambda one: (not one.flagged, -one.severity))
    return Group(
        name=name,
        title=checks[name].title if name in checks else TITLES.get(name, name.replace("_", " ")),
        gate=gate,
        flagged=sum(issue.flagged for issue in issues),
        total=len(issues),
        rows=len({row for issue in issues for row in issue.examples}),
        worst=max(issue.severity for issue in issues),
        kinds=tuple(_kinds(name, ordered, known)),
    )


def _kinds(name: str, issues: Sequence[Issue], known: Mapping[str, tuple[Example, str]]) -> Iterator[Kind]:
    """A check's findings by what they are about, in the order in which they come."""
    tell = checks[name].kind if name in checks else None
    kinds: dict[str, list[Issue]] = {}
    for issue in issues:
        kinds.setdefault(tell(issue) if tell else "", []).append(issue)
    most = OPEN_OF_KINDS if len(kinds) > 1 else OPEN
    for kind, some in kinds.items():
        cards = tuple(_card(issue, known) for issue in some[:CARDS])
        at = most if len(cards) > most + MANY else len(cards)
        remedies = {card.issue.remedy for card in cards}
        remedy = remedies.pop() if len(cards) > 1 and len(remedies) == 1 else ""
        yield Kind(kind if len(kinds) > 1 else "", len(some), remedy, cards[:at], cards[at:])


def _card(issue: Issue, known: Mapping[str, tuple[Example, str]]) -> Card:
    rows = tuple(_shown(*known[name]) for name in issue.examples[:TWINS] if name in known)
    return Card(issue, rows, len(issue.examples) - len(rows))


def _shown(row: Example, part: str) -> Shown:
    turns = [(turn.role, turn.content) for turn in row.prompt]
    names = ("chosen", "rejected") if len({one.score for one in row.completions}) > 1 else ("assistant",) * 9
    for name, one in zip(names, sorted(row.completions, key=lambda one: -one.score), strict=False):
        turns += [(name if turn.role == "assistant" else turn.role, turn.content) for turn in one.messages]
    return Shown(
        row.id,
        part,
        tuple((role, masked(text)) for role, text in turns),
        None if row.label is None else masked(row.label),
    )


def _silent(name: str, found: Audit) -> bool:
    """Whether a check was run to its end and found nothing."""
    return name not in found.skipped and all(issue.check != name for issue in found.issues)


def as_json(found: Audit, corpus: Corpus, files: Sequence[str]) -> dict[str, Json]:
    """What machines read of an audit; its issues are in issues.jsonl."""
    counts = {name: sum(issue.check == name and issue.flagged for issue in found.issues) for name in checks}
    tables: list[Json] = [
        {"title": one.title, "columns": list(one.columns), "rows": [list(row) for row in one.rows], "note": one.note}
        for one in found.tables
    ]
    return {
        "files": list(files),
        "rows": {part: len(rows) for part, rows in corpus.splits.items()},
        "sentence": sentence(found),
        "failed": list(dict.fromkeys(issue.check for issue in found.failed)),
        "flagged": {name: count for name, count in counts.items() if name not in found.skipped},
        "findings": sum(issue.flagged for issue in found.issues),
        "noted": sum(not issue.flagged for issue in found.issues),
        "skipped": dict(found.skipped),
        "interrupted": found.interrupted,
        "tables": tables,
    }
