"""A file written again with some rows left out or changed: CSV and TSV stay what they are, all else becomes JSONL."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import TextIO, TypeAlias

from luthier.data.files import Fault, Record, records
from luthier.data.hub import hub_name, hub_records
from luthier.types import Json

Mended: TypeAlias = Callable[[Record | Fault], dict[str, Json] | None]
"""What becomes of a row: its fields, or None to leave it out."""

TABLES = {".csv": ",", ".tsv": "\t"}


def rewrite(path: str, folder: Path, mend: Mended, *, encoding: str | None = None) -> tuple[Path, int]:
    """Writes what `mend` makes of every row of a file or hub dataset into a folder; the new file, and its rows.

    It has the file's own name, with the ending jsonl where it was no CSV or TSV, and appears whole or not at all.
    """
    hub = hub_name(path)
    name = "_".join(hub).replace("/", "_") if hub else Path(path).name
    folder.mkdir(parents=True, exist_ok=True)
    stem, ending = _parts(name)
    target = folder / f"{stem}{ending if ending in TABLES else '.jsonl'}"
    draft = target.with_name(f".{target.name}.unfinished")
    if hub is not None:
        count = _write(draft, ending, (mend(row) for row in hub_records(*hub)))
    else:
        with closing(records(Path(path).expanduser(), encoding=encoding)) as rows:
            count = _write(draft, ending, (mend(row) for row in rows))
    draft.replace(target)
    return target, count


def row_writer(stream: TextIO, delimiter: str) -> Callable[[Iterable[Json]], None]:
    """Writes rows of a table. A row with a carriage return is quoted whole: csv leaves that character bare."""
    usual = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    quoted = csv.writer(stream, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Iterable[Json]) -> None:
        cells = list(row)
        (quoted if any(isinstance(cell, str) and "\r" in cell for cell in cells) else usual).writerow(cells)

    return write


def texts(value: Json, change: Callable[[str], str]) -> Json:
    """A value with every text in it changed; names of fields stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [texts(one, change) for one in value]
    if isinstance(value, dict):
        return {name: texts(one, change) for name, one in value.items()}
    return value


def _parts(name: str) -> tuple[str, str]:
    plain = Path(name.removesuffix(".gz"))
    return plain.stem, plain.suffix.lower()


def _write(draft: Path, ending: str, rows: Iterable[dict[str, Json] | None]) -> int:
    count = 0
    with draft.open("w", encoding="utf-8", newline="") as stream:
        table = row_writer(stream, TABLES[ending]) if ending in TABLES else None
        for row in rows:
            if row is None:
                continue
            if table is None:
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
            else:
                if count == 0:
                    table(row)
                table(row.values())
            count += 1
    return count
