"""The files as they were before they were mended: rebuilt from those and the ledger, proved by SHA-256."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

from luthier.data.raw import Written, opened
from luthier.errors import RunError
from luthier.manifest import sha256 as sha256_of
from luthier.run.mend.ledger import Origin, Summary, changed, entries, load, read_as


@dataclass(frozen=True, slots=True)
class Undone:
    """A file as it was."""

    name: str
    path: Path
    rows: int
    how: Literal["bytes", "content", "records", "copied"]
    """Rebuilt to the byte, but for its compression, or row for row as JSON lines; or copied from the original."""


def undo(folder: Path, out: Path) -> list[Undone]:
    """Writes the originals of a folder of mended files into another.

    Raises RunError where the mended files or the ledger were changed since, where redacted texts are gone with their
    original, and where a file would be written over.
    """
    summary = load(folder)
    if broken := changed(folder, summary):
        where = ", ".join(origin.path for origin in summary.origins)
        remedy = f"put back what --fix wrote, or use the originals ({where}, from that folder) if they are still there"
        raise RunError(f"{folder}: cannot be undone: {'; '.join(broken)}; {remedy}")
    targets = {origin.role: out / _name(origin, folder) for origin in summary.origins}
    if there := [str(path) for path in targets.values() if path.exists()]:
        raise RunError(f"{', '.join(there)}: is there already; name another folder with --out")
    out.mkdir(parents=True, exist_ok=True)
    lines = entries(folder)
    return [_restored(origin, folder, targets[origin.role], summary, lines) for origin in summary.origins]


def _restored(origin: Origin, folder: Path, target: Path, summary: Summary, lines: list[dict[str, Any]]) -> Undone:
    own = {int(one["row"]): one for one in lines if str(one["id"]).rpartition(":")[0] == origin.name}
    withheld = sum("withheld" in one for one in own.values())
    if (withheld or origin.exact != "bytes") and _there(origin, folder):
        draft = target.with_name(f".{target.name}.unfinished")
        shutil.copyfile(folder / origin.path, draft)
        draft.replace(target)
        return Undone(origin.name, target, origin.rows, "copied")
    if withheld:
        raise RunError(
            f"{origin.name}: {withheld:,} of its rows held what was redacted, so their texts are not in the ledger, "
            f"and {origin.path} (seen from {folder}) is gone or was changed; only a copy of it can bring them back"
        )
    _rebuild(origin, folder, target, summary, own)
    return Undone(origin.name, target, origin.rows, origin.exact)


def _there(origin: Origin, folder: Path) -> bool:
    """Whether the original still lies where it was read."""
    path = folder / origin.path
    return path.is_file() and sha256_of(path) == origin.sha256


def _rebuild(
    origin: Origin, folder: Path, target: Path, summary: Summary, own: Mapping[int, Mapping[str, Any]]
) -> None:
    digest = sha256()
    draft = target.with_name(f".{target.name}.unfinished")
    with ExitStack() as stack:
        out = stack.enter_context(_opened(draft, zipped=target.suffix == ".gz"))
        homes = {origin.role} if len(summary.origins) > 1 else summary.files.keys()
        rows = {
            part: stack.enter_context(opened(str(folder / summary.files[part]), encoding=read_as(origin.form)))[1]
            for part in homes
        }
        for text in _texts(origin, own, rows):
            digest.update(text)
            out.write(text)
    if digest.hexdigest() != origin.content:
        draft.unlink()
        raise RunError(f"{origin.name}: the ledger does not give back the file that was read; mend the original anew")
    draft.replace(target)


def _opened(path: Path, *, zipped: bool) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "wb")) if zipped else path.open("wb")


def _texts(
    origin: Origin, own: Mapping[int, Mapping[str, Any]], rows: Mapping[str, Iterator[Written]]
) -> Iterator[bytes]:
    """The original's head and rows, in their order: from the ledger where it holds them, else from the mended files."""
    form = origin.form
    yield bytes.fromhex(form.mark) + form.encoded(form.head)
    for number in range(1, origin.rows + 1):
        entry = own.get(number, {})
        mended = None if entry.get("action") == "left out" else next(rows[str(entry.get("to", origin.role))])
        text = entry.get("text")
        yield form.encoded(str(text) if text is not None or mended is None else mended.text)


def _name(origin: Origin, folder: Path) -> str:
    """The original's own name, or with the ending jsonl where only its rows can be given back."""
    name = origin.name.replace("/", "_")
    if origin.exact != "records" or _there(origin, folder):
        return name
    plain = Path(name.removesuffix(".gz"))
    return plain.stem + ".jsonl" if origin.form.kind == "records" else plain.name
