"""Files to records: CSV, TSV, JSON, JSONL (each also gzipped) and Parquet. What a record means is `shape`'s business.

A record that cannot be read becomes a `Fault` with its line, so that the caller can account for it. What makes the
rest of a file unreadable (a quote never closed, a broken array) raises DataError at once.
"""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final, Protocol, TextIO, TypeAlias

from luthier.data.text import LINE_CAP, blemish, lines, open_text
from luthier.errors import DataError
from luthier.types import Json

ARRAY_CAP: Final = 512 * 2**20
"""Longest JSON array file read, in characters: unlike JSONL it has to be held whole."""

_SPACE = re.compile(r"[ \t\r\n]*")
_DELIMITERS: Final = ",;\t|"


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a file."""

    line: int
    """The line it begins on, from 1; the row's number where a format has no lines. No two rows of a file have one."""
    values: dict[str, Json]
    """Its fields by column."""


@dataclass(frozen=True, slots=True)
class Fault:
    """A row that could not be read."""

    line: int
    reason: str
    """What is wrong and what would mend it."""


class Lines(Protocol):
    """What `csv.reader` returns."""

    @property
    def line_num(self) -> int: ...
    def __next__(self) -> list[str]: ...


Records: TypeAlias = "Generator[Record | Fault, None, None]"


def records(path: Path, *, encoding: str | None = None) -> Records:
    """Every record of a file, in its order, the format being told by the name's ending.

    Raises DataError where the ending is unknown or the file as a whole cannot be read.
    """
    ending = Path(path.name.removesuffix(".gz")).suffix.lower()
    if ending not in readers:
        raise DataError(f"{path.name}: {ending or 'no ending'!r} is not a format read here; use {', '.join(readers)}")
    return readers[ending](path, encoding)


def _separated(path: Path, encoding: str | None) -> Records:
    with open_text(path, encoding=encoding) as stream, _fields_up_to(LINE_CAP):
        source = lines(stream, path.name)
        first = next(source, "")
        reader = csv.reader(chain([first], source), delimiter=delimiter(first, path), strict=True)
        rows = _csv_rows(reader, path)
        header = _header(next(rows, None), path)
        for line, row in rows:
            yield _csv_record(line, row, header, path)


def _csv_rows(reader: Lines, path: Path) -> Iterator[tuple[int, list[str] | csv.Error]]:
    """Rows with the line each starts on, blank lines passed over; an error in place of a row that has one."""
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
            if len(row) > 1 or "".join(row).strip():
                yield line, row
        except StopIteration:
            return
        except csv.Error as error:
            if "end of data" in str(error) or "field limit" in str(error):
                raise DataError(f"{path.name}:{line}: a quote opened here is never closed; close it") from error
            yield line, error


def _header(row: tuple[int, list[str] | csv.Error] | None, path: Path) -> list[str]:
    if row is None:
        raise DataError(f"{path.name}: is empty; give it a line of column names and a row for each example")
    line, cells = row
    flaw = cells if isinstance(cells, csv.Error) else blemish("".join(cells), path)
    if flaw is not None or isinstance(cells, csv.Error):
        raise DataError(f"{path.name}:{line}: the line of column names {flaw}")
    names = [cell.strip() or f"column {place}" for place, cell in enumerate(cells, 1)]
    if (twice := _twice(names)) is not None:
        raise DataError(f"{path.name}:{line}: two columns are named {twice!r}; rename one")
    return names


def _csv_record(line: int, row: list[str] | csv.Error, header: list[str], path: Path) -> Record | Fault:
    if isinstance(row, csv.Error):
        return Fault(line, f"is no row of a table ({row}); double the quotes inside a quoted text")
    if flaw := next((flaw for cell in row if (flaw := blemish(cell, path))), None):
        return Fault(line, flaw)
    if len(row) != len(header):
        remedy = "put quotes around a text that holds the separator, and close every quote"
        return Fault(line, f"has {len(row)} fields where the header has {len(header)}; {remedy}")
    return Record(line, dict(zip(header, row, strict=True)))


def delimiter(header: str, path: Path) -> str:
    """Tab for TSV; for CSV a comma, or the only other separator that a header without commas holds."""
    if ".tsv" in path.suffixes:
        return "\t"
    held = [mark for mark in _DELIMITERS if mark in header]
    return held[0] if len(held) == 1 else ","


@contextmanager
def _fields_up_to(cap: int) -> Iterator[None]:
    """The csv module's field limit (131,072 characters, one for the whole process) raised for a while."""
    before = csv.field_size_limit(cap)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _json(path: Path, encoding: str | None) -> Records:
    """An array of objects, or one object a line, told by the first character."""
    with open_text(path, encoding=encoding) as stream:
        head = stream.read(4096).lstrip()
    with open_text(path, encoding=encoding) as stream:
        yield from (_array if head.startswith("[") else _json_lines)(stream, path)


def _json_lines(stream: TextIO, path: Path) -> Records:
    for number, line in enumerate(lines(stream, path.name), 1):
        if line.isspace():
            continue
        if flaw := blemish(line, path):
            yield Fault(number, flaw)
            continue
        try:
            yield _json_record(number, _decoder.decode(line))
        except (ValueError, RecursionError) as error:
            why = str(error).split(": line ")[0]
            yield Fault(number, f"is not JSON ({why}); write one whole object {{...}} on a line")


def _array(stream: TextIO, path: Path) -> Records:
    text = stream.read(ARRAY_CAP + 1)
    if len(text) > ARRAY_CAP:
        raise DataError(f"{path.name}: is a JSON array of more than {ARRAY_CAP:,} characters; write it as JSONL")
    line, seen, position = 1, 0, _after_space(text, text.index("[") + 1)
    name = 0
    while not text.startswith("]", position):
        line, seen = line + text.count("\n", seen, position), position
        value, position = _element(text, position, line, path)
        name = max(line, name + 1)  # of several on one line each has a number of its own
        yield _json_record(name, value)
    if rest := text[position + 1 :].strip():
        raise DataError(f"{path.name}: goes on after the array ends, with {rest[:20]!r}; remove it")


def _element(text: str, position: int, line: int, path: Path) -> tuple[Json, int]:
    """The array element at a position, and where the next one (or the closing bracket) stands."""
    try:
        value, end = _decoder.raw_decode(text, position)
    except (ValueError, RecursionError) as error:
        at = getattr(error, "lineno", line)
        raise DataError(f"{path.name}:{at}: is not JSON ({error}); mend the array there") from error
    end = _after_space(text, end)
    if text.startswith("]", end):
        return value, end
    if not text.startswith(",", end):
        line += text.count("\n", position, end)
        raise DataError(f"{path.name}:{line}: a ',' or the closing ']' is missing after this record")
    return value, _after_space(text, end + 1)


def _after_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def _json_record(line: int, value: Json) -> Record | Fault:
    if isinstance(value, dict):
        flaw = blemish("".join(value))
        return Record(line, value) if flaw is None else Fault(line, f"has a field whose name {flaw}")
    return Fault(line, f"is a {type(value).__name__}, not a record; write an object {{...}} with named fields")


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"the field {_twice([name for name, _ in pairs])!r} stands twice")
    return found


def _twice(names: list[str]) -> str | None:
    """The first name that stands twice, or None."""
    return next((name for name, count in Counter(names).items() if count > 1), None)


def _parquet(path: Path, encoding: str | None) -> Records:
    try:
        import pyarrow as arrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError(f"{path.name}: reading Parquet needs pyarrow; pip install 'luthier[parquet]'") from error
    try:
        with parquet.ParquetFile(path) as table:
            if (twice := _twice(table.schema_arrow.names)) is not None:
                raise DataError(f"{path.name}: two columns are named {twice!r}; rename one")
            rows = (row for batch in table.iter_batches(1024) for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield Record(number, {str(name): as_json(value) for name, value in row.items()})
    except DataError:
        raise
    except (arrow.lib.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path.name}: is not a whole Parquet file ({error}); write it again") from error


def as_json(value: object) -> Json:
    """A value of a typed table as JSON has it; bytes, dates, decimals and the like become text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.decode(errors="surrogateescape")
    if isinstance(value, dict):
        return {str(name): as_json(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [as_json(item) for item in value]
    return str(value)


_decoder = json.JSONDecoder(object_pairs_hook=_object)

readers: dict[str, Callable[[Path, str | None], Records]] = {
    ".csv": _separated,
    ".tsv": _separated,
    ".json": _json,
    ".jsonl": _json,
    ".ndjson": _json,
    ".parquet": _parquet,
}
"""Formats by the ending of a file's name; each but Parquet may be followed by `.gz`."""
