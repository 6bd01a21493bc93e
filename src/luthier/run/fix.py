"""The mended data: what checks know how to mend is mended in new files, and every change is written down.

The files that were read stay as they are. What only a person can decide (which of two labels is right) is left alone.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from luthier.checks import checks
from luthier.data.files import Fault, Record
from luthier.data.write import rewrite, texts
from luthier.errors import RunError
from luthier.types import Issue, Json

NAME = "fixes.jsonl"


@dataclass(frozen=True, slots=True)
class Fixed:
    """What was written."""

    files: Mapping[str, Path]
    """By role."""
    rows: int
    dropped: int
    rewritten: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to which row."""

    drops: Mapping[str, Issue]
    rewrites: Mapping[str, tuple[Issue, ...]]


def planned(issues: Iterable[Issue]) -> Plan:
    """What the checks can mend by themselves, of their flagged issues."""
    drops: dict[str, Issue] = {}
    rewrites: defaultdict[str, list[Issue]] = defaultdict(list)
    for issue in issues:
        check = checks.get(issue.check)
        if check is None or not issue.flagged:
            continue
        for row in check.drop(issue) if check.drop else ():
            drops.setdefault(row, issue)
        for row in issue.examples if check.rewrite else ():
            rewrites[row].append(issue)
    return Plan(drops, {row: tuple(some) for row, some in rewrites.items()})


def fix(
    paths: Mapping[str, tuple[str, str]],
    folder: Path,
    plan: Plan,
    *,
    redact: Callable[[str], str] | None = None,
    encoding: str | None = None,
) -> Fixed:
    """Writes the mended files and `fixes.jsonl`. paths: role -> (file, what its rows' ids begin with).

    Raises RunError where the folder holds one of the files that are read.
    """
    for path, _ in paths.values():
        if Path(path).exists() and Path(path).resolve().parent == folder.resolve():
            raise RunError(f"{folder}: holds {path} itself; name another folder with --fix, so that nothing is lost")
    log: list[dict[str, Json]] = []
    written: dict[str, Path] = {}
    rows = 0
    for role, (path, source) in paths.items():

        def mend(row: Record | Fault, source: str = source) -> dict[str, Json] | None:
            return _mended(row, f"{source}:{row.line}", plan, redact, log)

        written[role], count = rewrite(path, folder, mend, encoding=encoding)
        rows += count
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in log)
    (folder / NAME).write_text(lines, encoding="utf-8")
    dropped = sum(entry["action"] == "left out" for entry in log)
    return Fixed(written, rows, dropped, len(log) - dropped)


def _mended(
    row: Record | Fault, name: str, plan: Plan, redact: Callable[[str], str] | None, log: list[dict[str, Json]]
) -> dict[str, Json] | None:
    if isinstance(row, Fault):
        log.append({"id": name, "action": "left out", "check": "unreadable", "why": row.reason})
        return None
    if name in plan.drops:
        issue = plan.drops[name]
        log.append({"id": name, "action": "left out", "check": issue.check, "why": issue.why})
        return None
    changed = row.values
    used: list[str] = []
    for issue in plan.rewrites.get(name, ()):
        before, changed = changed, _rewritten(changed, issue)
        used += [issue.check] if changed != before else []
    if redact is not None:
        before, changed = changed, {column: texts(value, redact) for column, value in changed.items()}
        used += ["redact"] if changed != before else []
    if used:
        columns = [column for column in row.values if row.values[column] != changed[column]]
        shown: dict[str, Json] = {"id": name, "action": "rewritten", "check": ", ".join(used), "columns": list(columns)}
        if redact is None:
            shown |= {"before": [row.values[c] for c in columns], "after": [changed[c] for c in columns]}
        log.append(shown)
    return changed


def _rewritten(values: dict[str, Json], issue: Issue) -> dict[str, Json]:
    change = checks[issue.check].rewrite
    if change is None:
        return values
    return {column: texts(value, lambda text: change(issue, text)) for column, value in values.items()}
