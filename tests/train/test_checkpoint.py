"""A checkpoint is there whole or not at all, wherever the writer died; only what is proven is resumed from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from luthier.errors import RunError
from luthier.manifest import MANIFEST, unproven
from luthier.train.checkpoint import Checkpoints, seal


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it."""


def writer(step: int) -> Callable[[Path], None]:
    """Writes two files that say which step they are of."""

    def write(folder: Path) -> None:
        (folder / "weights").write_bytes(bytes([step % 256]) * 1000)
        (folder / "deep").mkdir()
        (folder / "deep" / "state").write_text(str(step))

    return write


def store(folder: Path, *, keep: int = 2) -> tuple[Checkpoints, list[str]]:
    said: list[str] = []
    return Checkpoints(folder, keep=keep, say=said.append), said


def saved(folder: Path, steps: range, *, best: int | None = None, keep: int = 2) -> tuple[Checkpoints, list[str]]:
    checkpoints, said = store(folder, keep=keep)
    for step in steps:
        checkpoints.save(step, writer(step), best=best if best is not None and best <= step else None)
    return checkpoints, said


def test_what_was_saved_is_proven_and_linked(tmp_path: Path) -> None:
    checkpoints, said = saved(tmp_path, range(1, 3), best=1)
    assert checkpoints.newest() == 2
    assert os.readlink(tmp_path / "last") == "checkpoints/000002"
    assert os.readlink(tmp_path / "best") == "checkpoints/000001"
    assert (tmp_path / "best" / "deep" / "state").read_text() == "1"
    assert said == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "weights").write_bytes(b"\1" * 999 + b"\0"),
        lambda folder: (folder / "deep" / "state").unlink(),
        lambda folder: (folder / MANIFEST).unlink(),
        lambda folder: (folder / MANIFEST).write_text("{"),
        lambda folder: (folder / MANIFEST).write_text("[]"),
        lambda folder: (folder / "added").write_text("?"),
    ],
)
def test_a_damaged_checkpoint_is_set_aside_by_name_and_the_one_before_is_taken(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    checkpoints, said = saved(tmp_path, range(1, 3))
    damage(checkpoints.at(2))
    assert checkpoints.newest() == 1
    assert len(said) == 1
    assert "checkpoint 2 is damaged" in said[0]
    assert (tmp_path / "checkpoints" / "000002.damaged").exists()
    checkpoints.save(2, writer(2), best=None)
    assert checkpoints.newest() == 2


def test_an_empty_folder_has_nothing_to_resume(tmp_path: Path) -> None:
    assert store(tmp_path)[0].newest() is None


def test_pruning_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    checkpoints, _ = saved(tmp_path, range(1, 9), best=3)
    assert checkpoints.steps() == [3, 7, 8]


def test_links_survive_moving_the_run(tmp_path: Path) -> None:
    saved(tmp_path / "here", range(1, 3), best=2)
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert (tmp_path / "there" / "best" / "deep" / "state").read_text() == "2"


def test_two_processes_cannot_train_in_one_folder(tmp_path: Path) -> None:
    checkpoints, _ = store(tmp_path)
    with checkpoints.alone(), pytest.raises(RunError, match="another process"), store(tmp_path)[0].alone():
        pass
    with checkpoints.alone():
        pass


CALLS = ("rename", "replace", "symlink", "fsync", "mkdir", "unlink", "rmdir", "open")
"""The system calls a save is made of: a kill falls between two of them."""


def dying(monkeypatch: pytest.MonkeyPatch, after: int) -> list[str]:
    """From the call number `after` on, every one of CALLS dies before it does anything. Returns the calls made."""
    made: list[str] = []

    def wrapped(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def call(*args: object, **options: object) -> object:
            if len(made) >= after:
                raise Killed
            made.append(name)
            return real(*args, **options)

        return call

    for name in CALLS:
        monkeypatch.setattr(os, name, wrapped(name, getattr(os, name)))
    return made


def test_a_kill_between_any_two_system_calls_of_a_save_leaves_a_run_to_resume(tmp_path: Path) -> None:
    """The law of this file: try every point to die at, until a save survives them all."""
    for after in range(200):
        folder = tmp_path / str(after)
        checkpoints, said = saved(folder, range(1, 5), best=2)
        with pytest.MonkeyPatch.context() as patch:
            dying(patch, after)
            try:
                checkpoints.save(5, writer(5), best=5)
                survived = True
            except Killed:
                survived = False
        check_resumable(folder, said)
        if survived:
            assert after > 15, "a save makes more system calls than this; the test no longer kills inside it"
            return
        shutil.rmtree(folder)
    pytest.fail("the save never came to its end")


def check_resumable(folder: Path, said: list[str]) -> None:
    """Both links lead to proven checkpoints, nothing is damaged, and the next save goes through."""
    after = Checkpoints(folder, say=said.append)
    assert unproven(folder / "last") is None
    assert unproven(folder / "best") is None
    newest = after.newest()
    assert newest in (4, 5)
    after.clean()
    after.link(last=newest, best=newest)
    after.save(6, writer(6), best=6)
    assert said == []
    assert set(after.steps()) >= {newest, 6}
    assert not list(folder.rglob(".*.partial"))


def test_a_folder_renamed_before_its_manifest_would_be_caught(tmp_path: Path) -> None:
    """The control: what a writer that is not atomic leaves behind is refused."""
    half = tmp_path / "checkpoints" / "000001"
    half.mkdir(parents=True)
    (half / "weights").write_bytes(b"half")
    assert unproven(half) is not None
    seal(half)
    assert unproven(half) is None
