"""Records to files: CSV, TSV, JSON, JSONL (each also gzipped) and Parquet, so that `files` reads the same back.

A table of plain texts holds what is no text as JSON text, a Parquet column does where its values have no one type.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from luthier.data.files import as_json
from luthier.data.formats import Written
from luthier.data.text import blemish
from luthier.errors import DataError, RecipeError
from luthier.types import Json
from luthier.words import closest

TABLES = {".csv": ",", ".tsv": "\t"}
"""What stands between the columns of a table, by its ending."""


def save(path: Path, rows: Sequence[Written]) -> None:
    """Writes records in the format of the name's ending. Raises RecipeError for an ending that is not written."""
    writers[ending(path)](path, rows)


def ending(path: Path) -> str:
    """The ending that says a file's format, less `.gz`. Raises RecipeError for one that is not written."""
    packed = path.name.endswith(".gz")
    found = Path(path.name.removesuffix(".gz")).suffix.lower()
    if found not in writers:
        near = closest(found, list(writers))
        raise RecipeError(
            f"{path}: {found or 'no ending'!r} is not written{near}; end the name in {', '.join(writers)}"
        )
    if packed and found == ".parquet":
        raise RecipeError(f"{path}: Parquet is compressed as it is; leave out the .gz")
    return found


def is_table(path: Path) -> bool:
    """Whether a file of that name holds texts in columns and nothing else."""
    return ending(path) in TABLES


@contextmanager
def _opened(path: Path) -> Iterator[TextIO]:
    """Without the time in a gzipped file's head, so that the same rows are the same bytes."""
    if path.suffix != ".gz":
        with path.open("w", encoding="utf-8", newline="") as stream:
            yield stream
        return
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="") as stream,
    ):
        yield stream


def _separated(path: Path, rows: Sequence[Written]) -> None:
    names = _names(rows)
    with _opened(path) as stream:
        write = row_writer(stream, TABLES[ending(path)])
        write(names)
        for row in rows:
            write(_cell(row.get(name)) for name in names)


def row_writer(stream: TextIO, delimiter: str) -> Callable[[Iterable[Json]], None]:
    """Writes rows of a table. A row with a carriage return is quoted whole: csv leaves that character bare."""
    usual = csv.writer(stream, delimiter=delimiter, lineterminator="\n")
    quoted = csv.writer(stream, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Iterable[Json]) -> None:
        cells = list(row)
        (quoted if any(isinstance(cell, str) and "\r" in cell for cell in cells) else usual).writerow(cells)

    return write


def _lines(path: Path, rows: Sequence[Written]) -> None:
    with _opened(path) as stream:
        stream.writelines(on_a_line(row) + "\n" for row in rows)


def _array(path: Path, rows: Sequence[Written]) -> None:
    with _opened(path) as stream:
        stream.write("[\n" + ",\n".join(on_a_line(row) for row in rows) + "\n]\n")


def _parquet(path: Path, rows: Sequence[Written]) -> None:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError(f"{path.name}: writing Parquet needs pyarrow; pip install 'luthier[parquet]'") from error

    def column(values: list[Json]) -> object:
        """A typed column where a file gives the same values back, else their JSON texts."""
        try:
            typed = arrow.table([arrow.array(values)], names=["values"])
            if any(isinstance(value, dict | list) for value in values):
                parquet.write_table(typed, file := io.BytesIO())
                typed = parquet.read_table(file)
            if _text([as_json(_unfilled(value)) for value in typed["values"].to_pylist()]) == _text(values):
                return typed["values"]
        except (arrow.lib.ArrowException, ValueError, OverflowError, TypeError):
            pass
        return arrow.array([None if value is None else _cell(value) for value in values])

    names = _names(rows)
    columns = [column([row.get(name) for row in rows]) for name in names]
    parquet.write_table(arrow.table(columns, names=names), path)


def _names(rows: Sequence[Written]) -> list[str]:
    """All columns, as they first come."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _cell(value: Json) -> str:
    """A text as it is, else as JSON; characters that no file of text holds become the replacement character."""
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)
    return text if blemish(text) is None else "".join("\ufffd" if blemish(one) else one for one in text)


def on_a_line(row: Written) -> str:
    """A record as JSON on one line, its characters as they are; escaped where one is half of a character."""
    text = json.dumps(row, ensure_ascii=False)
    return text if blemish(text) is None else json.dumps(row)


def _unfilled(value: object) -> object:
    """A conversation without the nulls that Parquet gives a turn for the fields that only others have."""
    if not isinstance(value, list) or not all(isinstance(turn, dict) for turn in value):
        return value
    return [{name: field for name, field in turn.items() if field is not None} for turn in value]


def _text(value: Json) -> str:
    return json.dumps(value, sort_keys=True)


writers: dict[str, Callable[[Path, Sequence[Written]], None]] = {
    ".csv": _separated,
    ".tsv": _separated,
    ".json": _array,
    ".jsonl": _lines,
    ".ndjson": _lines,
    ".parquet": _parquet,
}
"""Formats by the ending of a file's name; each but Parquet may be followed by `.gz`."""
