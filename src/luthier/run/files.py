"""JSON and text of a run folder: written whole or not at all, and read with an error that names the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from luthier.errors import RunError
from luthier.types import Json


def read_json(path: Path) -> Any:
    """A JSON file of a run. Raises RunError where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({error}); restore it from a copy, or train anew") from error


def write_json(path: Path, value: Mapping[str, Json]) -> None:
    """Writes a file whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1))


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    draft = path.with_name(path.name + ".tmp")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
