"""A folder's manifest: the SHA-256 of every other file in it, by which what was saved is told from what lies there."""

from __future__ import annotations

import json
from hashlib import file_digest
from pathlib import Path

MANIFEST = "manifest.json"


def sha256(path: Path) -> str:
    """Of a file's bytes, in hex."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def write_manifest(folder: Path) -> None:
    """Lists the files of a folder, at any depth, with digest and size."""
    files = {
        name: {"sha256": sha256(folder / name), "bytes": (folder / name).stat().st_size} for name in _names(folder)
    }
    (folder / MANIFEST).write_text(json.dumps({"format": 1, "files": files}, indent=1), encoding="utf-8")


def unproven(folder: Path, *, unread: str | None = None) -> str | None:
    """Why a folder is not what its manifest says, in words; None when it is.

    unread: files whose names begin so are not read, so nothing is asked of them.
    """
    try:
        listed = {
            str(name): facts["sha256"] for name, facts in json.loads((folder / MANIFEST).read_bytes())["files"].items()
        }
        there = set(_names(folder))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        return f"has no readable {MANIFEST} ({type(error).__name__})"
    names = sorted(name for name in there | listed.keys() if unread is None or not name.startswith(unread))
    return next((reason for name in names if (reason := _doubt(folder, name, listed.get(name)))), None)


def _doubt(folder: Path, name: str, digest: object) -> str | None:
    if digest is None:
        return f"{name} is not in its manifest"
    try:
        return None if sha256(folder / name) == digest else f"{name} is not the file that was saved"
    except FileNotFoundError:
        return f"{name} is missing"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"


def _names(folder: Path) -> list[str]:
    """Everything but folders and the manifest; a link that leads nowhere is listed, too."""
    paths = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())
    return sorted(name for name in paths if name != MANIFEST)
