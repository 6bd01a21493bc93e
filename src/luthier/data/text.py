"""Text out of bytes: opening, decoding and lines of bounded length. Knows nothing of records."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO, Final, TextIO

from charset_normalizer import from_bytes

from luthier.errors import DataError
from luthier.words import closest

LINE_CAP: Final = 16 * 2**20
"""Longest line read, in characters; a longer one is never held whole."""

_MARKS: Final = ((codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"))
_MARKS_16: Final = ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_UNREADABLE = re.compile("[\0\ud800-\udfff]")
_GUESSED_FROM: Final = 4 * 2**20
_LINES: Final = 200
"""Lines that a guess looks at, from all over what was read of the file."""
_USUAL: Final = [
    *("cp1252", "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp850", "koi8_r", "mac_roman"),
    *("shift_jis", "euc_jp", "gb18030", "big5", "euc_kr"),
]
"""Guesses: what tables are written in, if not in UTF-8."""
_FEW: Final = 100
"""Bytes that tell too little of a language; the commonest of all is then the best guess that can be read."""
_BINARY: Final = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"PK\x03\x04": "a ZIP archive or spreadsheet",
    b"%PDF": "a PDF",
    b"\x1f\x8b": "a gzip file (end its name in .gz)",
    b"PAR1": "a Parquet file (end its name in .parquet)",
}
"""What files that are no text begin with."""
_LATIN: Final = frozenset(
    {"cp1250", "cp1252", "cp1254", "cp1257", "cp1258", "latin_1", "iso8859_9", "iso8859_15", "mac_roman"}
)
"""Encodings of Latin script that a guess takes for one another; cp1252 is by far the commonest of them."""
_WESTERN: Final = ("cp1252", "cp850", "mac_roman")
"""Encodings that keep the same letters in other places, the commonest first."""
_ODD: Final = re.compile(
    r"[\u0080-\u009f\u00a4\u00a6\u00ac\u00af\u00b8\u2017\u2020-\u2021\u2200-\u22ff\u2500-\u25ff\uf8ff]"
    r"|(?<=[a-z])[À-ÖØ-ÞŒŠŽŸ]|(?<=\d)[^\W\d_a-zA-Z]|[^\W\d_a-zA-Z](?=\d)"
    r"|(?<=[a-z])(?=[^\x00-\x7f])[^\w\s’–—…](?=[a-z])"
)
"""What a wrong one of them makes of letters: lines of boxes, capitals and signs within words, letters at figures."""


def open_bytes(path: Path) -> BinaryIO | gzip.GzipFile:
    """The file's bytes, decompressed where its name ends in `.gz`."""
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


@contextmanager
def open_text(path: Path, *, encoding: str | None) -> Iterator[TextIO]:
    """The file as text, line ends untouched; a byte-order mark is obeyed and removed.

    Bytes that are no text in an 8-bit encoding or UTF-8 arrive as lone surrogates, so that only their row is
    refused (see `blemish`). Raises DataError where the bytes cannot be decompressed or decoded at all.
    """
    chosen = _encoding(path, encoding)
    try:
        with (
            open_bytes(path) as raw,
            io.TextIOWrapper(raw, encoding=chosen, errors="surrogateescape", newline="") as text,
        ):
            yield text
    except UnicodeError as error:
        why = getattr(error, "reason", error)
        remedy = "pass the encoding it was written in, or none to let it be recognised"
        raise DataError(f"{path.name}: cannot be read as {chosen} ({why}); {remedy}") from error
    except (gzip.BadGzipFile, zlib.error, EOFError) as error:
        remedy = "compress it again, or drop the .gz from its name if it is not compressed"
        raise DataError(f"{path.name}: is not a whole gzip file ({error}); {remedy}") from error


def lines(stream: TextIO, name: str, *, cap: int = LINE_CAP) -> Iterator[str]:
    """The stream's lines with their ends. Raises DataError at a line longer than `cap` characters."""
    number = 0
    while line := stream.readline(cap + 1):
        number += 1
        if len(line) > cap:
            remedy = "is a line break or a closing quote missing?"
            raise DataError(f"{name}:{number}: the line is longer than {cap:,} characters; {remedy}")
        yield line


def blemish(text: str, path: Path | None = None) -> str | None:
    """Why the text cannot be tokenised, or None: a NUL, a byte of another encoding, half a character."""
    found = _UNREADABLE.search(text)
    if found is None:
        return None
    if found.group() == "\0":
        return f"holds NUL characters; remove them, or {_named('utf-16')} if the file is UTF-16"
    code = ord(found.group())
    if not 0xDC80 <= code <= 0xDCFF:
        return f"holds half a character (\\u{code:04x}, a lone surrogate); write the whole character"
    before = text[: found.start()][-20:]
    return f"is not UTF-8 (byte 0x{code - 0xDC00:02x} after {before!r}); {_advice(text, found.start(), path)}"


def _advice(text: str, place: int, path: Path | None) -> str:
    """How the bytes around a place read in the likeliest encoding, for a person to judge."""
    if path is not None and not path.name.endswith(".gz") and (kind := _binary(path)):
        return f"this is {kind}, not a table of text"
    guess = _likely(path, path.stat().st_mtime_ns) if path else None
    if guess is None:
        return f"name the file's encoding: {_named('NAME')}"
    read = text[max(0, place - 20) : place + 20].encode("utf-8", "surrogateescape").decode(guess, "replace")
    return f"if {' '.join(read.split())!r} reads right, it is {guess}: {_named(guess)}"


def _named(encoding: str) -> str:
    """What says a file's encoding to a command, the setting first."""
    return f"data.encoding={encoding} (convert: --encoding {encoding})"


def _binary(path: Path) -> str | None:
    """What a file that is no text begins like."""
    with path.open("rb") as raw:
        head = raw.read(512)
    found = next((kind for mark, kind in _BINARY.items() if head.startswith(mark)), None)
    return found or ("a binary file" if b"\0" in head and not head.startswith((b"\xff\xfe", b"\xfe\xff")) else None)


def _encoding(path: Path, named: str | None) -> str:
    if named is not None:
        try:
            found = codecs.lookup(io.TextIOWrapper(io.BytesIO(), encoding=named).encoding)
            return "utf-8-sig" if found.name == "utf-8" else named
        except (LookupError, ValueError) as error:
            known = ["utf-8", "utf-16", "utf-32", "latin-1", "cp1252", "cp1251", "shift_jis", "gb18030", "big5"]
            hint = closest(named, known) or f"; known are {', '.join(known)} and Python's others"
            raise DataError(f"encoding: {named!r} is not an encoding{hint}") from error
    try:
        with open_bytes(path) as raw:
            head = raw.read(4)
    except (gzip.BadGzipFile, zlib.error, EOFError):
        head = b""
    return next((name for mark, name in _MARKS + _MARKS_16 if head.startswith(mark)), "utf-8-sig")


@lru_cache(maxsize=16)
def _likely(path: Path, written: int) -> str | None:
    """The encoding charset-normalizer finds likeliest for the file's lines that are not ASCII; asked once a file.

    written: when the file was, so that it is asked again after a change.
    """
    with open_bytes(path) as raw:
        telling = [line for line in raw.read(_GUESSED_FROM).splitlines() if not line.isascii()]
    sample = b"\n".join(telling[:: len(telling) // _LINES + 1])
    if len(sample) < _FEW and _decodes(sample, _USUAL[0]):
        return _USUAL[0]
    best = from_bytes(sample, cp_isolation=_USUAL).best()
    if best is None:
        return None
    western = [name for name in _WESTERN if _decodes(sample, name)]
    if best.encoding in _LATIN.union(_WESTERN) and western:
        return min(western, key=lambda name: len(_ODD.findall(sample.decode(name))))
    return best.encoding


def _decodes(sample: bytes, encoding: str) -> bool:
    try:
        sample.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True
