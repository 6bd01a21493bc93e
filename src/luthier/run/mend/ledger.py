"""The ledger of a mending: `fixes.jsonl`, a line for each row that was changed, moved or left out, and `fixes.json`,
which files it is about, by SHA-256. The two and the mended files are enough to rebuild the originals.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from luthier.data.raw import Form
from luthier.errors import RunError
from luthier.manifest import sha256
from luthier.run.files import write_json

LINES, SUMMARY = "fixes.jsonl", "fixes.json"

Exact = Literal["bytes", "content", "records"]
"""What an undo gives back: the same file; the same once decompressed; the same rows as JSON lines."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A file that was mended, as it was."""

    path: str
    """From the folder of the mended files."""
    name: str
    """What its rows' ids begin with."""
    role: str
    sha256: str
    """Of its bytes; of its rows for a dataset on the hub."""
    content: str
    """SHA-256 of what an undo writes, before it is compressed."""
    exact: Exact
    rows: int
    form: Form


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything `fixes.json` holds."""

    origins: tuple[Origin, ...]
    files: Mapping[str, str]
    """Mended file by role."""
    sha256: Mapping[str, str]
    """Of the mended files and of the ledger, by name."""
    withheld: int
    """Rows whose text is not in the ledger, because it held what was redacted."""
    warnings: tuple[str, ...] = ()
    """What whoever asked for it was warned of."""


def save(folder: Path, summary: Summary) -> None:
    """Writes `fixes.json` whole or not at all."""
    write_json(folder / SUMMARY, {"format": 1, **asdict(summary)})


def load(folder: Path) -> Summary:
    """What `fixes.json` says. Raises RunError where there is none, or none that was written here."""
    if not (folder / SUMMARY).is_file():
        raise RunError(f"{folder}: holds no {SUMMARY}; name the folder that --fix wrote")
    try:
        found = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        origins = tuple(Origin(**{**one, "form": Form(**one["form"])}) for one in found["origins"])
        return Summary(origins, found["files"], found["sha256"], found["withheld"], tuple(found.get("warnings", ())))
    except (ValueError, KeyError, TypeError) as error:
        remedy = "restore it from a copy, or mend the original files anew"
        raise RunError(f"{folder / SUMMARY}: is damaged ({error}); {remedy}") from error


def entries(folder: Path) -> list[dict[str, Any]]:
    """The lines of the ledger."""
    with (folder / LINES).open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]


def changed(folder: Path, summary: Summary) -> list[str]:
    """The mended files that are not what was written, and why."""
    missing = [f"{name} is missing" for name in summary.sha256 if not (folder / name).is_file()]
    return missing + [f"{path.name} was changed since" for path in rewritten(folder, summary)]


def rewritten(folder: Path, summary: Summary) -> list[Path]:
    """The mended files that are there and hold something else than was written."""
    paths = {folder / name: digest for name, digest in summary.sha256.items()}
    return [path for path, digest in paths.items() if path.is_file() and sha256(path) != digest]


def read_as(form: Form) -> str | None:
    """The encoding that the mended files are read with; None where a byte-order mark or UTF-8 tells it."""
    return None if form.mark or form.encoding == "utf-8" else form.encoding
