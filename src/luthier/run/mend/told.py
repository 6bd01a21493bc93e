"""What was mended, or undone, for a terminal and for machines."""

from __future__ import annotations

from collections.abc import Sequence
from shlex import quote

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luthier.run.mend.undo import Undone
from luthier.run.mend.write import Fixed
from luthier.types import Json
from luthier.words import counted

_HOW = {
    "bytes": "rebuilt from the ledger, byte for byte as it was (SHA-256 agrees)",
    "content": "rebuilt from the ledger and compressed anew; what it holds is byte for byte as it was (SHA-256 agrees)",
    "records": "rebuilt from the ledger row for row, as JSON lines (SHA-256 of the rows agrees)",
    "copied": "copied from the original, which is still there unchanged (SHA-256 agrees)",
}
_BACK = {
    "bytes": "the files as they were, byte for byte",
    "content": "the files as they were, compressed anew",
    "records": "every row as it was, but as JSON lines: keep the original if its bytes matter",
}


def told(fixed: Fixed) -> list[RenderableType]:
    """What was done, by kind, with the first rows; what is left to people; how to go on."""
    parts: list[RenderableType] = [Text(_head(fixed), style="bold")]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    table.add_column(overflow="fold")
    for (action, check), (count, first) in fixed.done.items():
        more = ", ..." if count > len(first) else ""
        named = check.replace("_", " ") + _by_file(fixed, action, check)
        table.add_row(action, f"{count:,}", named, Text(", ".join(first) + more, style="dim"))
    parts += [table] if fixed.done else []
    parts += [Text(f"warning: {warning}", style="bold yellow") for warning in fixed.warnings]
    if fixed.remaining:
        named = ", ".join(f"{check.replace('_', ' ')} {count:,}" for check, count in fixed.remaining.items())
        parts.append(Text(f"left to you: {named}", style="dim"))
    parts += [Text(line) for line in _next(fixed)]
    parts.append(_verdict(fixed))
    return [Group(*parts), Text()]


def as_json(fixed: Fixed) -> dict[str, Json]:
    """The same for machines."""
    return {
        "folder": str(fixed.folder),
        "files": {role: {"path": str(path), "rows": fixed.rows[role]} for role, path in fixed.files.items()},
        "rows_read": fixed.read,
        "done": [
            {
                "action": action,
                "check": check,
                "rows": count,
                "by_file": dict(fixed.shares[action, check]),
                "first": list(first),
            }
            for (action, check), (count, first) in fixed.done.items()
        ],
        "left_to_you": dict(fixed.remaining),
        "failed": list(fixed.stops),
        "undo_gives": fixed.exact,
        "withheld": fixed.withheld,
        "warnings": list(fixed.warnings),
        **({"train": " ".join(command)} if (command := _to_train(fixed)) else {}),
    }


def told_undone(done: Sequence[Undone]) -> RenderableType:
    """What was restored, where and how."""
    return Group(*(Text(f"{one.path}: {counted(one.rows, 'row')}, {_HOW[one.how]}") for one in done))


def undone_as_json(done: Sequence[Undone]) -> dict[str, Json]:
    """The same for machines."""
    return {"files": [{"name": o.name, "path": str(o.path), "rows": o.rows, "how": o.how} for o in done]}


def _head(fixed: Fixed) -> str:
    files = ", ".join(f"{path} ({counted(fixed.rows[role], 'row')})" for role, path in fixed.files.items())
    if not fixed.done:
        return f"nothing to mend: every row stands as it was in {files}"
    return f"mended: {counted(fixed.read, 'row')} read, now {files}"


def _by_file(fixed: Fixed, action: str, check: str) -> str:
    """` (165 train, 160 test)` where several files were read."""
    if fixed.divided or len(fixed.files) == 1:
        return ""
    return f" ({', '.join(f'{rows:,} {role}' for role, rows in fixed.shares[action, check].items())})"


def _verdict(fixed: Fixed) -> Text:
    """Whether the mended rows may be trained on, whatever the rows that were read did."""
    if not fixed.stops:
        return Text("the mended rows pass every gate", style="bold green")
    named = ", ".join(f"{check.replace('_', ' ')} {count:,}" for check, count in fixed.stops.items())
    return Text(f"a gate fails on the mended rows, too: {named}", style="bold red")


def _to_train(fixed: Fixed) -> list[str]:
    """How to train on what was written: the words of a command line, an option with its value each."""
    if not fixed.rows["train"]:
        return []
    options = {"train": "--data", "validation": "--validation", "test": "--test"}
    words = [f"{options[role]} {quote(str(path))}" for role, path in fixed.files.items()]
    # A run draws what it lacks from the training file, which has given its rows away already if it was divided.
    words += [f"data.{role}=0" for role in options if fixed.divided and role not in fixed.files]
    short = {f"data.{name}": f"--{name}" for name in ("input", "output", "group")}
    words += [
        f"{short[key]} {quote(value)}" if key in short else quote(f"{key}={value}")
        for key, value in fixed.settings.items()
    ]
    return ["luthier train", *words]


def _next(fixed: Fixed) -> list[str]:
    lines = ["train: " + " \\\n    ".join(command)] if (command := _to_train(fixed)) else []
    lines += [f"{role}: no row is left; read the ledger" for role, count in fixed.rows.items() if not count]
    if not fixed.done:
        return lines
    lines.append(f"ledger: {fixed.folder / 'fixes.jsonl'}, a line for each row that is not what it was")
    if fixed.withheld:
        held = counted(fixed.withheld, "row")
        lines.append(f"the ledger leaves out the texts of {held}, which held what was redacted")
        return [*lines, f"undo: luthier check --undo {fixed.folder} copies the originals, while they are still there"]
    return [*lines, f"undo: luthier check --undo {fixed.folder} gives back {_BACK[fixed.exact]}"]
