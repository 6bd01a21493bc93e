"""Checkpoints that are there whole or not at all, and are resumed from only what they prove.

    run/last -> checkpoints/000240        relative links, replaced in one move
    run/best -> checkpoints/000180
    run/checkpoints/000180/ 000240/       each with manifest.json: the SHA-256 of every other file
                    000240-mean/          a mean of several, where one was asked for and is the best
                    .000300.partial/      being written (or removed): garbage to whoever starts next

What a checkpoint holds is its writer's business; here it is a folder. The links are a view for people and for other
rooms: resuming reads the folders themselves, so it does not matter at which point a run was killed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from luthier.errors import RunError
from luthier.manifest import unproven, write_manifest

NAME = re.compile(r"\d{6,}")


class Checkpoints:
    """The checkpoints of one run folder."""

    def __init__(self, folder: Path, *, keep: int = 2, say: Callable[[str], None] = print) -> None:
        """Keeps the newest `keep` and the best; `say` is told of every checkpoint that could not be used."""
        self.folder, self.root = folder, folder / "checkpoints"
        self._keep, self._say = keep, say

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the folder for this process; a killed one lets go by itself. Raises RunError where another trains."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as lock:
            if not _locked(lock.fileno()):
                raise RunError(f"{self.folder}: another process is training here; wait for it, or stop it")
            yield

    def steps(self) -> list[int]:
        """Steps of the checkpoints that are there, proven or not, oldest first."""
        return sorted(int(path.name) for path in self.root.glob("*") if NAME.fullmatch(path.name))

    def at(self, step: int) -> Path:
        """The folder of the checkpoint after this many steps."""
        return self.root / f"{step:06d}"

    def save(self, step: int, write: Callable[[Path], None], *, best: int | None, spare: Collection[int] = ()) -> Path:
        """Lets `write` fill a folder, seals it, puts it in place in one move, then links and prunes all but `spare`."""
        target = self._fill(self.at(step), write)
        self.link(last=step, best=best)
        self._prune(spare={best, *spare})
        return target

    def save_mean(self, step: int, write: Callable[[Path], None]) -> Path:
        """Saves a mean of checkpoints up to a step beside them, as the best; it is never resumed from."""
        target = self.root / f"{step:06d}-mean"
        _remove(target)
        self._fill(target, write)
        self._point("best", target)
        return target

    def _fill(self, target: Path, write: Callable[[Path], None]) -> Path:
        partial = _partial(target)
        _remove(partial)
        partial.mkdir(parents=True)
        write(partial)
        seal(partial)
        os.rename(partial, target)
        _sync(self.root)
        return target

    def newest(self) -> int | None:
        """Step of the newest checkpoint that its manifest proves; says so of newer ones, and sets them aside."""
        for step in reversed(self.steps()):
            reason = unproven(self.at(step))
            if reason is None:
                return step
            aside = self._set_aside(self.at(step))
            self._say(f"checkpoint {step} is damaged ({reason}); set aside as {aside}, going back to the one before")
        return None

    def link(self, *, last: int, best: int | None) -> None:
        """Points `last` and `best` at these checkpoints, and takes `best` away where there is none."""
        self._point("last", self.at(last))
        if best is None:
            (self.folder / "best").unlink(missing_ok=True)
        else:
            self._point("best", self.at(best))

    def clean(self) -> None:
        """Removes what a killed run left half written or half removed."""
        for left in (*self.folder.glob(".*.partial"), *self.root.glob(".*.partial")):
            _remove(left)

    def _point(self, name: str, target: Path) -> None:
        fresh = _partial(self.folder / name)
        _remove(fresh)
        os.symlink(target.relative_to(self.folder), fresh)
        os.replace(fresh, self.folder / name)
        _sync(self.folder)

    def _prune(self, *, spare: Collection[int | None]) -> None:
        """Removes the old; each leaves its name before its files, so that none is ever there in part."""
        for step in self.steps()[: -self._keep]:
            if step not in spare:
                doomed = _partial(self.at(step))
                _remove(doomed)
                os.rename(self.at(step), doomed)
                _remove(doomed)

    def _set_aside(self, path: Path) -> str:
        taken = len(list(self.root.glob(f"{path.name}.damaged*")))
        aside = path.with_name(f"{path.name}.damaged" + (f"-{taken + 1}" if taken else ""))
        os.rename(path, aside)
        return aside.name


def seal(folder: Path) -> None:
    """Writes the manifest of a folder's files and makes sure that all of it is on disk."""
    write_manifest(folder)
    for path in (*folder.rglob("*"), folder):
        _sync(path)


def _locked(handle: int) -> bool:
    """Whether this process holds the file now. Raises RunError on a system without such locks."""
    try:
        import fcntl
    except ImportError as error:  # Windows, which can neither flush a folder nor, by default, make a link
        raise RunError("training needs the file locks and links of Linux or macOS; on Windows, use WSL") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.partial")


def _remove(path: Path) -> None:
    if path.is_symlink() or path.is_file():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


def _sync(path: Path) -> None:
    """Flushes a file, or a folder's list of names, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
