"""A file's rows beside the text each stands in, so that what is not changed can be written again to the byte.

Not here: what a row means (`files`, `shape`), and which rows are changed.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from luthier.data.files import Fault, Record, delimiter, records
from luthier.data.hub import hub_name, hub_records
from luthier.data.save import on_a_line
from luthier.data.text import lines, open_bytes, open_text
from luthier.errors import DataError
from luthier.types import Json

_MARKS: Final = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Byte-order marks, those that begin like another first."""
_UNMARKED: Final = {"utf-8": "utf-8", "utf-8-sig": "utf-8", "utf-16": "utf-16-le", "utf-32": "utf-32-le"}
"""Encodings that obey such a mark, as they are written without one."""


@dataclass(frozen=True, slots=True)
class Form:
    """How a file's rows are written."""

    kind: Literal["table", "lines", "records"]
    """A table of columns, a JSON object a line, or what has no lines (Parquet, arrays, the hub), written as objects."""
    mark: str = ""
    """The byte-order mark, in hex."""
    encoding: str = "utf-8"
    separator: str = ","
    """Of a table's columns."""
    head: str = ""
    """The text before the first row: a table's line of names."""

    def encoded(self, text: str) -> bytes:
        """The text as it stands in the file. Raises DataError for a character that its encoding has not."""
        try:
            return text.encode(self.encoding, "surrogateescape")
        except UnicodeEncodeError as error:
            lost = text[error.start : error.end]
            remedy = f"write the file as UTF-8 first (iconv -f {self.encoding} -t utf-8) and name no encoding"
            raise DataError(f"{lost!r} cannot be written in {self.encoding}; {remedy}") from error

    def row(self, values: dict[str, Json], like: str) -> str:
        """A row's text, ended as the text it replaces is."""
        ending = like[len(like.rstrip("\r\n")) :]
        if self.kind == "table":
            return self._cells([_cell(value) for value in values.values()]) + ending
        return on_a_line(values) + ending

    def with_column(self, name: str) -> Form:
        """The same with one more column at the end of the names."""
        if self.kind != "table":
            return self
        (names,) = [row for row in csv.reader(io.StringIO(self.head, newline=""), delimiter=self.separator) if row]
        ending = self.head[len(self.head.rstrip("\r\n")) :]
        return Form(self.kind, self.mark, self.encoding, self.separator, self._cells([*names, name]) + ending)

    def _cells(self, cells: list[str]) -> str:
        stream = io.StringIO(newline="")
        csv.writer(stream, delimiter=self.separator).writerow(cells)  # what ends a row is quoted within one
        return stream.getvalue().removesuffix("\r\n")


@dataclass(frozen=True, slots=True)
class Written:
    """A row and the text it stands in, up to where the next begins."""

    row: Record | Fault
    text: str


@contextmanager
def opened(path: str, *, encoding: str | None = None) -> Iterator[tuple[Form, Iterator[Written]]]:
    """A file's form, and its rows with their texts: head and texts together are the file, byte-order mark aside.

    Of a file without lines the texts are its rows as JSON, one a line. Raises what `records` raises.
    """
    hub = hub_name(path)
    file = Path(path).expanduser()
    if hub is not None or not _has_lines(file, encoding):
        rows = (row for row in hub_records(*hub)) if hub is not None else records(file, encoding=encoding)
        yield Form("records"), (Written(row, _as_line(row)) for row in rows)
        return
    with closing(_beside(file, encoding)) as found:
        head = next(found)
        assert isinstance(head, str), "what comes first is the head"
        yield _form(file, encoding, head), (one for one in found if isinstance(one, Written))


def texts(value: Json, change: Callable[[str], str]) -> Json:
    """A value with every text in it changed; names of fields stay."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, list):
        return [texts(one, change) for one in value]
    if isinstance(value, dict):
        return {name: texts(one, change) for name, one in value.items()}
    return value


def _has_lines(path: Path, encoding: str | None) -> bool:
    plain = path.name.removesuffix(".gz").lower()
    if plain.endswith(".parquet"):
        return False
    with open_text(path, encoding=encoding) as stream:
        return not (plain.endswith(".json") and stream.read(4096).lstrip().startswith("["))


def _beside(path: Path, encoding: str | None) -> Generator[str | Written, None, None]:
    """The head, then each row with the lines from its first to before the next row's."""
    with closing(records(path, encoding=encoding)) as rows, open_text(path, encoding=encoding) as stream:
        texts, at = lines(stream, path.name), 1
        held: Record | Fault | None = None
        for row in rows:
            text = "".join(next(texts) for _ in range(row.line - at))
            at = row.line
            yield text if held is None else Written(held, text)
            held = row
        rest = "".join(texts)
        yield rest if held is None else Written(held, rest)


def _form(path: Path, encoding: str | None, head: str) -> Form:
    with open_bytes(path) as raw:
        first = raw.read(4)
    mark = next((mark for mark in _MARKS if first.startswith(mark)), b"")
    named = codecs.lookup(encoding).name if encoding is not None else "utf-8"
    obeyed = mark and named in _UNMARKED and _MARKS[mark].startswith(_UNMARKED[named][:6])
    if encoding is None or obeyed:
        written = _MARKS.get(mark, "utf-8")
    else:
        mark, written = b"", _UNMARKED.get(named, named)
    is_table = Path(path.name.removesuffix(".gz")).suffix.lower() in (".csv", ".tsv")
    separator = delimiter(head.split("\n")[0], path)
    return Form("table" if is_table else "lines", mark.hex(), written, separator, head)


def _as_line(row: Record | Fault) -> str:
    return (on_a_line(row.values) if isinstance(row, Record) else "") + "\n"


def _cell(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)
