"""Rows of a dataset on the Hugging Face hub, by the `datasets` library; the only place here that uses a network.

It is asked only for `hub:owner/name[:split]`, or for `owner/name[:split]` where no such file or folder exists. Its
loading scripts are never run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from luthier.data.files import Record, as_json, readers
from luthier.errors import DataError

_NAME = re.compile(r"(hub:)?([\w-][\w.-]*/[\w.-]+)(?::([\w.-]+))?")


class Table(Protocol):
    """What is used of `datasets.Dataset`."""

    features: Mapping[str, object]

    def __iter__(self) -> Iterator[Mapping[str, object]]: ...


def hub_name(path: str) -> tuple[str, str] | None:
    """The dataset's name and split where the path names one on the hub, else None."""
    found = _NAME.fullmatch(path)
    if found is None:
        return None
    prefix, name, split = found.groups()
    local = Path(path).parts[0]
    is_file = Path(name.removesuffix(".gz")).suffix in readers or Path(local).exists()
    return None if is_file and not prefix else (name, split or "train")


def hub_records(name: str, split: str) -> list[Record]:
    """Every row of a split. Raises DataError where the library, the network, the name or the split is missing."""
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"{name}: reading from the hub needs datasets; pip install 'luthier[hub]'") from error
    try:
        table = datasets.load_dataset(name, split=split)
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        why = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
        remedy = "check the name, the split and the connection, or name a local file"
        raise DataError(f"{name}:{split}: cannot be loaded from the hub ({why}); {remedy}") from error
    return table_records(table)


def table_records(table: Table) -> list[Record]:
    """The rows of a loaded table, class numbers written as their names."""
    names = {column: getattr(kind, "names", None) for column, kind in table.features.items()}
    return [
        Record(number, {column: as_json(_named(value, names[column])) for column, value in row.items()})
        for number, row in enumerate(table, 1)
    ]


def fingerprint(rows: Iterable[Record]) -> tuple[str, int]:
    """SHA-256 and size in bytes of the rows as JSON lines: what stands for a file that is not on this disk."""
    digest, size = hashlib.sha256(), 0
    for row in rows:
        line = json.dumps(row.values, sort_keys=True).encode() + b"\n"
        digest.update(line)
        size += len(line)
    return digest.hexdigest(), size


def _named(value: object, names: list[str] | None) -> object:
    if names and isinstance(value, int) and 0 <= value < len(names):
        return names[value]
    return value
