"""Rows of bytes on disk by 128-bit keys: written once, read through memory maps, shared by processes, bounded in size.

    trunk/<what computed them>/about.json      in words
                               <random>.rows   row after row, all of one width
                               <random>.keys   16 bytes a row: half its key, and a check of the row with the other half

A process appends to files of its own, rows before keys, and reads everyone's. A row counts only if its check holds; a
file with one that does not is thrown away, and one that was cut short counts as far as it goes. When there is no room,
the files that were used least recently leave. Not here: what the rows mean.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.types import Json

Bytes: TypeAlias = NDArray[np.uint8]
Words: TypeAlias = NDArray[np.uint64]

ABOUT = "about.json"
ROWS, KEYS = ".rows", ".keys"
KEY_BYTES = 16
FILE_BYTES = 128 * 2**20
"""Size at which a process begins a new file: what leaves at a time."""
TOUCH_S = 600.0
"""How often a file that is read is marked as used."""
GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2^64 over the golden ratio: odd multiples of it differ in all their bits."""


@dataclass(slots=True, eq=False)
class _File:
    """One pair of files, as far as it was seen."""

    path: Path
    """Without suffix."""
    count: int = 0
    rows: Bytes = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    """(count, width), mapped."""
    checks: Words = field(default_factory=lambda: np.zeros(0, np.uint64))
    touched: float = 0.0
    """When it was last marked as used, by `time.monotonic`; 0 where it was not used yet."""

    def touch(self) -> None:
        """Marks it as used."""
        now = time.monotonic()
        if not self.touched or now - self.touched > TOUCH_S:
            self.touched = now
            with contextlib.suppress(OSError):
                os.utime(self.path.with_suffix(ROWS))


class Kept:
    """The rows of one folder."""

    def __init__(self, folder: Path, *, width: int, limit: int, about: Mapping[str, Json]) -> None:
        """width: bytes a row, a multiple of 8. limit: bytes that all folders beside this one may hold together."""
        self.folder, self.width, self.limit = folder, width, limit
        self.damaged = 0
        """Rows that were found spoiled."""
        self.refused = 0
        """Rows there was no room for."""
        self._files: dict[str, _File] = {}
        self._numbers: list[_File] = []
        self._own: _File | None = None
        self._keys: Words = np.zeros(0, np.uint64)  # sorted
        self._places: NDArray[np.int64] = np.zeros(0, np.int64)  # file number << 40 | row
        folder.mkdir(parents=True, exist_ok=True)
        _write_whole(folder / ABOUT, json.dumps(about, indent=1))
        self.refresh()

    def __len__(self) -> int:
        """How many rows it knows."""
        return len(self._keys)

    def find(self, keys: Words) -> tuple[Bytes, NDArray[np.bool_]]:
        """The rows of keys (n, 2): (n, width), and which of them are known (n,); the others' bytes mean nothing."""
        rows, known = np.empty((len(keys), self.width), np.uint8), np.zeros(len(keys), np.bool_)
        at = np.searchsorted(self._keys, keys[:, 0])
        at[at == len(self._keys)] = 0
        if not len(self._keys):
            return rows, known
        listed = self._keys[at] == keys[:, 0]
        places = np.where(listed, self._places[at], -1)
        for number in np.unique(places[listed] >> 40):
            mine = np.flatnonzero(places >> 40 == number)
            file, row = self._numbers[number], places[mine] & (2**40 - 1)
            rows[mine] = file.rows[row]
            known[mine] = whole = file.checks[row] == _checks(rows[mine], keys[mine])
            if whole.all():
                file.touch()
            else:
                self.damaged += int((~whole).sum())
                self._throw_away(int(number))
        return rows, known

    def add(self, keys: Words, rows: Bytes) -> None:
        """Keeps rows (n, width) under keys (n, 2) that are not known; where there is no room, they are counted."""
        if not len(keys):
            return
        try:
            if not self._has_room(len(keys) * (self.width + KEY_BYTES)):
                self.refused += len(keys)
                return
            self._append(keys, rows)
        except OSError:  # a full disk, a folder that went away: speed is lost, nothing else
            self._own = None
            self.refused += len(keys)

    def refresh(self) -> None:
        """Takes note of what other processes wrote since."""
        for path in sorted(self.folder.glob(f"*{KEYS}")):
            file = self._files.get(path.stem)
            if file is None:
                file = self._files[path.stem] = _File(path.with_suffix(""))
                self._numbers.append(file)
            if file is not self._own:
                with contextlib.suppress(OSError, ValueError):  # it left meanwhile
                    self._look_again(file)

    def _append(self, keys: Words, rows: Bytes) -> None:
        own = self._own
        if own is None or own.count * self.width >= FILE_BYTES or not own.path.with_suffix(ROWS).exists():
            own = self._own = _File(self.folder / uuid.uuid4().hex)
            self._files[own.path.name] = own
            self._numbers.append(own)
        listed = np.column_stack((keys[:, 0], _checks(rows, keys)))
        for suffix, data in ((ROWS, rows), (KEYS, listed)):
            with own.path.with_suffix(suffix).open("ab", buffering=0) as stream:
                stream.write(np.ascontiguousarray(data).data)
        self._look_again(own)
        own.touch()

    def _look_again(self, file: _File) -> None:
        """Maps a file as long as it is now, and lists its new rows."""
        rows, keys = file.path.with_suffix(ROWS), file.path.with_suffix(KEYS)
        count = min(rows.stat().st_size // self.width, keys.stat().st_size // KEY_BYTES)
        if count <= file.count:
            return
        listed = np.fromfile(keys, np.uint64, 2 * count).reshape(-1, 2)
        file.rows = np.memmap(rows, np.uint8, "r", shape=(count, self.width))
        before, file.count, file.checks = file.count, count, listed[:, 1].copy()
        number = next(at for at, one in enumerate(self._numbers) if one is file)
        self._list(listed[before:, 0], (number << 40) + np.arange(before, count))

    def _list(self, keys: Words, places: NDArray[np.int64]) -> None:
        """Adds places to the sorted index; a key that is listed already keeps its place."""
        keys, first = np.unique(keys, return_index=True)
        at = np.searchsorted(self._keys, keys)
        new = np.ones(len(keys), np.bool_)
        inside = at < len(self._keys)
        new[inside] = self._keys[at[inside]] != keys[inside]
        self._places = np.insert(self._places, at[new], places[first][new])
        self._keys = np.insert(self._keys, at[new], keys[new])

    def _throw_away(self, number: int) -> None:
        """A file that holds what was never written to it is not to be trusted with the rest."""
        file = self._numbers[number]
        Segment(file.path, 0, 0.0).remove()
        self._own = None if file is self._own else self._own
        stays = self._places >> 40 != number
        self._keys, self._places = self._keys[stays], self._places[stays]

    def _has_room(self, more: int) -> bool:
        """Whether so many bytes fit, after the files that were used least recently have left."""
        there = sorted(segments(self.folder.parent), key=lambda one: one.used)
        total = sum(one.bytes for one in there)
        for one in there:
            if total + more <= self.limit:
                break
            mine = self._files.get(one.path.name) if one.path.parent == self.folder else None
            if (mine is None or not mine.touched) and one.remove():
                total -= one.bytes
        return total + more <= self.limit


@dataclass(frozen=True, slots=True)
class Segment:
    """A pair of files in the cache."""

    path: Path
    """Without suffix."""
    bytes: int
    used: float
    """When it was last used, in seconds since 1970."""

    def remove(self) -> bool:
        """Deletes both files, keys first; False where the system does not let it."""
        try:
            for suffix in (KEYS, ROWS):
                self.path.with_suffix(suffix).unlink(missing_ok=True)
        except OSError:
            return False
        return True


def segments(root: Path) -> Iterator[Segment]:
    """Every pair of files in the folders below `root`."""
    for rows in root.glob(f"*/*{ROWS}"):
        with contextlib.suppress(OSError):  # it left meanwhile
            facts, keys = rows.stat(), rows.with_suffix(KEYS)
            size = facts.st_size + (keys.stat().st_size if keys.exists() else 0)
            yield Segment(rows.with_suffix(""), size, facts.st_mtime)


def _checks(rows: Bytes, keys: Words) -> Words:
    """A sum of each row's words times odd numbers, with half its key: (n,).

    One changed word always changes it, since an odd number has an inverse modulo 2^64; more of them all but always.
    """
    words = rows.view(np.uint64)
    odd = (np.arange(1, words.shape[1] + 1, dtype=np.uint64) * GOLDEN) | np.uint64(1)
    found: Words = (words * odd).sum(axis=1, dtype=np.uint64) + keys[:, 1]
    return found


def _write_whole(file: Path, text: str) -> None:
    """Writes a file so that nobody ever reads half of it."""
    draft = file.with_name(f".{uuid.uuid4().hex}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(file)
