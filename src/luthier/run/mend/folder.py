"""The folder of the mended files: what each is called there, and what may not be written over.

Only the unchanged files of an earlier mending of the same files are, so that nothing that a person made is lost.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from luthier.data.hub import hub_name
from luthier.data.split import PARTS
from luthier.errors import RunError
from luthier.run.mend.ledger import LINES, SUMMARY, load, rewritten


@dataclass(frozen=True, slots=True)
class Source:
    """A file that was read."""

    path: str
    name: str
    """What its rows' ids begin with."""
    sha256: str


def named(sources: Mapping[str, Source], parts: Collection[str] | None) -> dict[str, str]:
    """The mended files' names by role: the file's own, without .gz, and jsonl where it is no table.

    parts: those a file is divided into, of which each names one; None where none is divided.
    """
    found: dict[str, str] = {}
    for role, source in sources.items():
        hub = hub_name(source.path)
        plain = Path("_".join(hub).replace("/", "_") + ".jsonl" if hub else source.path.removesuffix(".gz"))
        ending = plain.suffix.lower() if plain.suffix.lower() in (".csv", ".tsv") else ".jsonl"
        if parts is not None:
            return {part: part + ending for part in PARTS if part == "train" or part in parts}
        name = plain.stem + ending
        found[role] = name if name not in found.values() else f"{role}-{name}"
    return found


def refuse_loss(sources: Mapping[str, Source], folder: Path, parts: Collection[str] | None) -> None:
    """Raises RunError where writing into the folder would lose a file that no mending of these files wrote."""
    for source in sources.values():
        if Path(source.path).exists() and Path(source.path).resolve().parent == folder.resolve():
            raise RunError(
                f"{folder}: holds {source.path} itself; name another folder with --fix, so that nothing is lost"
            )
    known: set[str] = set()
    if (folder / SUMMARY).exists():
        summary = load(folder)
        known = {*summary.sha256, SUMMARY}
        if edited := rewritten(folder, summary):
            remedy = "give what you changed to `luthier check` itself, or name another folder with --fix"
            raise RunError(f"{', '.join(map(str, edited))}: changed since --fix wrote it; {remedy}")
        if not {one.sha256 for one in summary.origins} <= {source.sha256 for source in sources.values()}:
            remedy = "undo it first (luthier check --undo), or name another folder with --fix"
            raise RunError(f"{folder}: holds the mended copies of other files, and their ledger; {remedy}")
    targets = [folder / name for name in (*named(sources, parts).values(), LINES) if name not in known]
    if there := [str(path) for path in targets if path.exists() or path.is_symlink()]:
        raise RunError(f"{', '.join(there)}: is there already and not --fix's own; name another folder with --fix")
