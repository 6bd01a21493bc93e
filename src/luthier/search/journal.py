"""The lock of a search's journal: a process that is killed lets it go, and what it half wrote is taken back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

from luthier.errors import RunError


@contextmanager
def held(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Holds a lock file for this process while the context is open; gives whether it is held.

    wait: until it is free; otherwise False comes at once where another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        yield _locked(file, wait=wait)


class JournalLock(JournalFileOpenLock):
    """Before anybody writes, a line without an end is cut off: whoever wrote it was killed before it counted."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal, self._file = journal, journal.with_name(journal.name + ".lock")
        self._held: IO[str] | None = None

    def acquire(self) -> bool:
        """Waits for the lock."""
        self._held = self._file.open("w")
        _locked(self._held, wait=True)
        mend(self._journal)
        return True

    def release(self) -> None:
        """Lets it go."""
        if self._held is not None:
            self._held.close()
            self._held = None


def mend(journal: Path) -> None:
    """Cuts a journal behind its last whole line."""
    if not journal.exists() or journal.stat().st_size == 0:
        return
    with journal.open("rb+") as file:
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def backend(journal: Path) -> JournalFileBackend:
    """A journal file that outlives its processes."""
    journal.parent.mkdir(parents=True, exist_ok=True)
    return JournalFileBackend(str(journal), lock_obj=JournalLock(journal))


def _locked(file: IO[str], *, wait: bool) -> bool:
    try:
        import fcntl
    except ImportError as error:
        raise RunError("a search needs the file locks of Linux or macOS; on Windows, use WSL") from error
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
