"""Rows of a file that became no example: one finding a row, or one for all that a wrong encoding spoils.

Not here: reading, and the encoding's guess (`luthier.data.text`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from luthier.checks.redact import masked
from luthier.data.read import LeftOut, Reading
from luthier.types import Issue
from luthier.words import counted

_ENCODING: Final = "data.encoding="
_SHOWN: Final = 3


def unreadable(reading: Reading) -> Iterator[Issue]:
    """What of a file could not be read, and what would mend it."""
    spoilt = [row for row in reading.left_out if _spoilt(row)]
    if spoilt:
        yield _wrong_encoding(reading, spoilt)
    for row in reading.left_out:
        if not _spoilt(row):
            remedy = "mend the row, or train with --skip-bad-rows, which leaves it out"
            yield Issue("unreadable", (row.id,), 0.9, True, f"{row.id}: {masked(row.reason)}", remedy)


def _spoilt(row: LeftOut) -> bool:
    return "is not UTF-8 (" in row.reason and _ENCODING in row.reason


def _wrong_encoding(reading: Reading, rows: list[LeftOut]) -> Issue:
    """The reason of a row names what would mend it: `is not UTF-8 (...); ...: data.encoding=cp1252 (...)`."""
    named = rows[0].id.rpartition(":")[0]
    what, _, advice = rows[0].reason.partition("; ")
    setting = _ENCODING + advice.rpartition(_ENCODING)[2].split()[0]
    places = ", ".join(row.id.rpartition(":")[2] for row in rows[:_SHOWN])
    more = f" and {len(rows) - _SHOWN:,} more" if len(rows) > _SHOWN else ""
    guess = f"{setting}: " if advice.startswith("if ") else ""
    some = counted(len(rows), "row")
    return Issue(
        check="unreadable",
        examples=tuple(row.id for row in rows),
        severity=0.9,
        flagged=True,
        why=f"{named} is not UTF-8: {guess}{some} of {reading.file.rows:,} cannot be read (lines {places}{more}), and "
        f"every other finding is about the other {len(reading.examples):,}; {rows[0].id} {masked(what)}",
        remedy=f"check again with {setting}" + (f" ({advice.partition(': ' + _ENCODING)[0]})" if guess else ""),
    )
