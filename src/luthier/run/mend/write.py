"""The mended files and their ledger, row by row: what is not changed is copied to the byte."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import file_digest, sha256
from pathlib import Path
from typing import BinaryIO

from luthier.checks import checks
from luthier.data.files import Fault, Record
from luthier.data.hub import hub_name
from luthier.data.raw import Form, Written, opened, texts
from luthier.data.save import on_a_line
from luthier.data.text import open_bytes
from luthier.manifest import sha256 as sha256_of
from luthier.recipe import DataOptions
from luthier.run.mend.balance import WEIGHT
from luthier.run.mend.folder import Source, named, refuse_loss
from luthier.run.mend.ledger import LINES, Exact, Origin, Summary, read_as, save
from luthier.run.mend.plan import Plan, Reason
from luthier.types import Json
from luthier.words import counted

AGAIN = ("format", "input", "output", "group", "weight", "system", "instruction", "encoding", "learn")
"""Settings that a mended file is read with as its original was."""
EXACT: tuple[Exact, ...] = ("bytes", "content", "records")


@dataclass(frozen=True, slots=True)
class Fixed:
    """What was written."""

    folder: Path
    files: Mapping[str, Path]
    """By role."""
    rows: Mapping[str, int]
    """Rows of each file."""
    read: int
    done: Mapping[tuple[str, str], tuple[int, tuple[str, ...]]]
    """(what was done, the check that asked for it) -> how many rows, and the first of them."""
    shares: Mapping[tuple[str, str], Mapping[str, int]]
    """The same keys -> of how many rows of each file that was read, by role."""
    remaining: Mapping[str, int]
    """Findings that are left to people, by check."""
    stops: Mapping[str, int]
    """What gates find in the mended rows, by check."""
    exact: Exact
    """What an undo gives back at least."""
    withheld: int
    """Rows whose text the ledger must not hold."""
    divided: bool
    """Whether one file became several."""
    settings: Mapping[str, str]
    """By key, what must be said to read the mended files as the rows were read, where it is not the default."""
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Log:
    """What was done so far, in numbers."""

    rows: Counter[str] = field(default_factory=Counter)
    done: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    shares: dict[tuple[str, str], Counter[str]] = field(default_factory=dict)
    changed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(role, what was done) -> rows that are gone or read otherwise; a weight alone changes no text."""
    read: int = 0
    withheld: int = 0

    def note(self, entry: Mapping[str, Json], role: str) -> None:
        """role: of the file that the row stood in."""
        named = str(entry["check"]).split(", ")
        self.changed[role, str(entry["action"])] += named != ["balance"]
        for check in named:
            key = (str(entry["action"]), check)
            self.done[key] += 1
            self.shares.setdefault(key, Counter())[role] += 1
            if len(self.first.setdefault(key, [])) < 3:
                self.first[key].append(str(entry["id"]))


def write(sources: Mapping[str, Source], folder: Path, plan: Plan, data: DataOptions) -> Fixed:
    """Writes the mended files, `fixes.jsonl` and `fixes.json`, each whole or not at all.

    sources: by role. data: how these were read.

    Raises RunError where a file would be lost that no earlier mending of these files wrote.
    """
    parts = None if plan.parts is None else frozenset(plan.parts.values())
    refuse_loss(sources, folder, parts)
    folder.mkdir(parents=True, exist_ok=True)
    names, log = named(sources, parts), _Log()
    drafts = {name: folder / f".{name}.unfinished" for name in (*names.values(), LINES)}
    try:
        origins = _drafted(sources, drafts, names, plan, log, data.encoding)
    except BaseException:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)
        raise
    for name, draft in drafts.items():
        draft.replace(folder / name)
    digests = {name: sha256_of(folder / name) for name in drafts}
    warnings = (*plan.warnings, *_held_out(log))
    save(folder, Summary(tuple(origins), names, digests, log.withheld, warnings))
    return Fixed(
        folder=folder,
        files={role: folder / name for role, name in names.items()},
        rows={role: log.rows[role] for role in names},
        read=log.read,
        done={key: (count, tuple(log.first[key])) for key, count in log.done.most_common()},
        shares={key: dict(by_role) for key, by_role in log.shares.items()},
        remaining=dict(Counter(issue.check for issue in plan.remaining).most_common()),
        stops=dict(Counter(issue.check for issue in plan.stops)),
        exact=max((one.exact for one in origins), key=EXACT.index),
        withheld=log.withheld,
        divided=plan.parts is not None,
        settings=_settings(data, origins[0].form, weighted=bool(plan.weights)),
        warnings=warnings,
    )


def _held_out(log: _Log) -> Iterator[str]:
    """What was done to the rows that scores are measured on."""
    for role in ("validation", "test"):
        lost, reworded = log.changed[role, "left out"], log.changed[role, "rewritten"]
        said = [f"lost {counted(lost, 'row')}"] if lost else []
        said += [f"has {counted(reworded, 'row')} with other words"] if reworded else []
        if said:
            apart = "scores on it compare no longer with those published on the whole file"
            yield f"the {role} file {' and '.join(said)}: {apart}"


def _drafted(
    sources: Mapping[str, Source],
    drafts: Mapping[str, Path],
    names: Mapping[str, str],
    plan: Plan,
    log: _Log,
    encoding: str | None,
) -> list[Origin]:
    """Writes everything under the drafts' names; what the files were."""
    origins = []
    with ExitStack() as stack:
        streams = {name: stack.enter_context(draft.open("wb")) for name, draft in drafts.items()}
        for role, source in sources.items():
            homes = names if plan.parts is not None else {role: names[role]}
            desk = _Desk(role, source, plan, log, {part: streams[name] for part, name in homes.items()}, streams[LINES])
            origins.append(desk.mend(drafts[LINES].parent, encoding))
    return origins


@dataclass(slots=True)
class _Desk:
    """One file on its way into the mended ones."""

    role: str
    source: Source
    plan: Plan
    log: _Log
    outs: Mapping[str, BinaryIO]
    """By the part that the rows go to."""
    ledger: BinaryIO

    def mend(self, folder: Path, encoding: str | None) -> Origin:
        """Writes every row or notes why not; what the file was."""
        digest, rows = sha256(), 0
        with opened(self.source.path, encoding=encoding) as (form, found):
            head = form.with_column(WEIGHT) if self.plan.weights else form
            for out in self.outs.values():
                out.write(bytes.fromhex(form.mark) + form.encoded(head.head))
            digest.update(bytes.fromhex(form.mark) + form.encoded(form.head))
            for rows, one in enumerate(found, 1):
                digest.update(form.encoded(one.text))
                self._row(rows, one, form)
        self.log.read += rows
        near = os.path.relpath(Path(self.source.path).expanduser().resolve(), folder.resolve())
        content = digest.hexdigest()
        path = self.source.path if hub_name(self.source.path) else Path(near).as_posix()
        exact = _exact(self.source, form, content)
        return Origin(path, self.source.name, self.role, self.source.sha256, content, exact, rows, form)

    def _row(self, number: int, one: Written, form: Form) -> None:
        """Writes a row as the plan has it, and a line of the ledger if anything was done to it."""
        name = f"{self.source.name}:{one.row.line}"
        reason = self.plan.left_out.get(name)
        if isinstance(one.row, Fault):
            reason = Reason("unreadable", one.row.reason)
        part = self.role if self.plan.parts is None else self.plan.parts.get(name, "train")
        entry: dict[str, Json] = {"row": number, "id": name}
        if reason is not None:
            entry |= {"action": "left out", "check": reason.check, "why": reason.why, "kept": reason.kept}
        else:
            values = one.row.values if isinstance(one.row, Record) else {}
            mended, reasons = self._mended(name, values)
            text = form.row(mended, one.text) if reasons else one.text
            self.outs[part].write(form.encoded(text))
            self.log.rows[part] += 1
            if reasons:
                entry |= _rewriting(values, mended, reasons)
            elif part == self.role:
                return
            else:
                entry |= {"action": "moved", "check": "split", "why": f"drawn for {part}"}
        entry |= {"to": part} if part != self.role and reason is None else {}
        entry |= {"text": one.text} if entry["action"] != "moved" else {}
        entry = self._withheld(entry, one) if self.plan.redact is not None else entry
        self.log.note(entry, self.role)
        self.ledger.write(f"{on_a_line(entry)}\n".encode())

    def _mended(self, name: str, values: dict[str, Json]) -> tuple[dict[str, Json], list[Reason]]:
        """The row's fields as they are to be, and why they are so."""
        mended, reasons = values, []
        for rewrite in self.plan.rewrites.get(name, ()):
            after = {column: texts(value, rewrite.change) for column, value in mended.items()}
            reasons += [rewrite.reason] if after != mended else []
            mended = after
        if self.plan.redact is not None:
            after = {column: texts(value, self.plan.redact) for column, value in mended.items()}
            reasons += [Reason("redact", "holds personal data or a secret")] if after != mended else []
            mended = after
        if name in self.plan.weights:
            weight, reason = self.plan.weights[name]
            mended, reasons = {**mended, WEIGHT: weight}, [*reasons, reason]
        return mended, reasons

    def _withheld(self, entry: dict[str, Json], one: Written) -> dict[str, Json]:
        """A line of the ledger without what was redacted: evidence quotes rows, so the check's title stands for it."""
        held = isinstance(one.row, Fault) or self._holds(str(entry["id"]), one.row.values)
        named = str(entry["check"]).split(", ")
        kept = {key: value for key, value in entry.items() if not held or key not in ("text", "before", "after")}
        self.log.withheld += held and "text" in entry
        whys: dict[str, Json] = {"why": "; ".join(checks[name].title if name in checks else name for name in named)}
        return {**kept, **whys, **({"withheld": True} if held and "text" in entry else {})}

    def _holds(self, name: str, values: dict[str, Json]) -> bool:
        """Whether a row's texts hold what is redacted, as they stand or once they are repaired."""
        redact = self.plan.redact
        assert redact is not None, "only where something is redacted"
        as_read = {column: texts(value, redact) for column, value in values.items()}
        return as_read != values or any(reason.check == "redact" for reason in self._mended(name, values)[1])


def _settings(data: DataOptions, form: Form, *, weighted: bool) -> dict[str, str]:
    now = replace(data, encoding=read_as(form), weight=WEIGHT if weighted else data.weight)
    usual = DataOptions()
    return {
        f"data.{key}": str(getattr(now, key)) for key in AGAIN if getattr(now, key) not in (None, getattr(usual, key))
    }


def _rewriting(values: dict[str, Json], mended: dict[str, Json], reasons: Iterable[Reason]) -> dict[str, Json]:
    columns = [column for column in mended if column not in values or values[column] != mended[column]]
    return {
        "action": "rewritten",
        "check": ", ".join(dict.fromkeys(reason.check for reason in reasons)),
        "why": "; ".join(dict.fromkeys(reason.why for reason in reasons)),
        "columns": list(columns),
        "before": [values.get(column) for column in columns],
        "after": [mended[column] for column in columns],
    }


def _exact(source: Source, form: Form, content: str) -> Exact:
    """What the texts of a file give back."""
    if content == source.sha256:
        return "bytes"
    if form.kind == "records":
        return "records"
    with open_bytes(Path(source.path).expanduser()) as raw:
        return "content" if file_digest(raw, "sha256").hexdigest() == content else "records"  # type: ignore[arg-type]
