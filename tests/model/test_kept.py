"""What was put in comes out, from any process; what was spoiled, cut short or torn never does; the size is bounded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from luthier.model import kept as room
from luthier.model.kept import KEYS, ROWS, Bytes, Kept, Words, segments

WIDTH = 24


def made(folder: Path, limit: int = 10**9, width: int = WIDTH) -> Kept:
    return Kept(folder / "one", width=width, limit=limit, about={"model": "tiny"})


def drawn(count: int, seed: int = 0, width: int = WIDTH) -> tuple[Words, Bytes]:
    draw = np.random.default_rng(seed)
    return draw.integers(0, 2**63, (count, 2), np.uint64), draw.integers(0, 256, (count, width), np.uint8)


def file(folder: Path, suffix: str) -> Path:
    (found,) = folder.glob(f"one/*{suffix}")
    return found


def test_what_is_kept_is_found_and_nothing_else(tmp_path: Path) -> None:
    store, (keys, rows) = made(tmp_path), drawn(50)
    store.add(keys[:30], rows[:30])
    store.add(keys[30:40], rows[30:40])
    found, known = store.find(keys)
    assert known.tolist() == [True] * 40 + [False] * 10
    assert np.array_equal(found[:40], rows[:40])
    assert not store.find(np.zeros((0, 2), np.uint64))[1].any()


def test_an_empty_store_knows_nothing(tmp_path: Path) -> None:
    assert not made(tmp_path).find(drawn(3)[0])[1].any()


def test_a_key_is_all_of_its_bits(tmp_path: Path) -> None:
    store, (keys, rows) = made(tmp_path), drawn(4)
    store.add(keys, rows)
    for half in (0, 1):
        other = keys.copy()
        other[:, half] ^= np.uint64(1)
        assert not store.find(other)[1].any()


def test_another_sees_what_was_written_before_and_after_it_looked(tmp_path: Path) -> None:
    one, (keys, rows) = made(tmp_path), drawn(20)
    one.add(keys[:10], rows[:10])
    other = made(tmp_path)
    assert other.find(keys)[1].sum() == 10
    one.add(keys[10:], rows[10:])
    assert other.find(keys)[1].sum() == 10, "control: it did not look again"
    other.refresh()
    found, known = other.find(keys)
    assert known.all()
    assert np.array_equal(found, rows)


@pytest.mark.parametrize("place", [0, 7, 5 * WIDTH + 3, 20 * WIDTH - 1])
def test_one_changed_byte_is_found_and_its_file_is_thrown_away(tmp_path: Path, place: int) -> None:
    keys, rows = drawn(20)
    made(tmp_path).add(keys, rows)
    data = bytearray(file(tmp_path, ROWS).read_bytes())
    data[place] ^= 4
    file(tmp_path, ROWS).write_bytes(data)
    store = made(tmp_path)
    found, known = store.find(keys)
    assert (np.flatnonzero(~known).tolist(), store.damaged) == ([place // WIDTH], 1)
    assert np.array_equal(found[known], rows[known])
    assert not list(tmp_path.glob(f"one/*{ROWS}"))
    store.add(keys, rows)
    assert np.array_equal(store.find(keys)[0], rows)


@pytest.mark.parametrize(("suffix", "size"), [(ROWS, 5 * WIDTH), (ROWS, 5 * WIDTH + 11), (KEYS, 5 * 16), (KEYS, 87)])
def test_a_file_that_was_cut_short_counts_as_far_as_it_goes(tmp_path: Path, suffix: str, size: int) -> None:
    keys, rows = drawn(20)
    made(tmp_path).add(keys, rows)
    os.truncate(file(tmp_path, suffix), size)
    store = made(tmp_path)
    found, known = store.find(keys)
    assert np.flatnonzero(known).tolist() == list(range(5))
    assert np.array_equal(found[:5], rows[:5])


def test_a_hole_of_zeros_is_no_row(tmp_path: Path) -> None:
    keys, rows = drawn(4)
    made(tmp_path).add(keys, rows)
    for suffix, width in ((ROWS, WIDTH), (KEYS, 16)):
        with file(tmp_path, suffix).open("ab") as stream:
            stream.write(bytes(3 * width))
    store = made(tmp_path)
    assert store.find(keys)[1].all()
    assert not store.find(np.array([[0, 5]], np.uint64))[1].any()


def test_a_missing_half_is_no_error(tmp_path: Path) -> None:
    keys, rows = drawn(4)
    made(tmp_path).add(keys, rows)
    file(tmp_path, ROWS).unlink()
    assert not made(tmp_path).find(keys)[1].any()


def test_two_processes_fill_one_folder_at_once(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
import numpy as np
from luthier.model.kept import Kept
store = Kept(Path(sys.argv[1]) / "one", width=24, limit=10**9, about={})
draw = np.random.default_rng(0)
keys, rows = draw.integers(0, 2**63, (600, 2), np.uint64), draw.integers(0, 256, (600, 24), np.uint8)
for at in np.random.default_rng(int(sys.argv[2])).permutation(60):
    mine = slice(10 * at, 10 * at + 10)
    store.refresh()
    found, known = store.find(keys[mine])
    assert np.array_equal(found[known], rows[mine][known])
    store.add(keys[mine][~known], rows[mine][~known])
print(store.damaged)
"""
    children = [
        subprocess.Popen([sys.executable, "-c", program, str(tmp_path), str(i)], stdout=subprocess.PIPE)
        for i in range(2)
    ]
    assert [child.communicate(timeout=300)[0].strip() for child in children] == [b"0", b"0"]
    keys, rows = drawn(600)
    found, known = made(tmp_path).find(keys)
    assert known.all()
    assert np.array_equal(found, rows)


def test_the_files_used_least_recently_leave_and_the_bound_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "FILE_BYTES", 1)  # a file an addition
    keys, rows = drawn(50)
    limit = 3 * 10 * (WIDTH + 16)
    for at in range(3):
        made(tmp_path, limit).add(keys[10 * at : 10 * at + 10], rows[10 * at : 10 * at + 10])
    for age, one in enumerate(sorted(segments(tmp_path), key=lambda one: one.path)):
        os.utime(one.path.with_suffix(ROWS), (1000 + age, 1000 + age))
    store = made(tmp_path, limit)
    oldest = min(segments(tmp_path), key=lambda one: one.used)
    store.add(keys[30:40], rows[30:40])
    assert sum(one.bytes for one in segments(tmp_path)) <= limit
    assert oldest.path not in [one.path for one in segments(tmp_path)]
    assert made(tmp_path, limit).find(keys)[1].sum() == 30


def test_what_this_process_uses_does_not_leave_and_the_rest_is_counted(tmp_path: Path) -> None:
    keys, rows = drawn(30)
    store = made(tmp_path, limit=20 * (WIDTH + 16))
    store.add(keys[:20], rows[:20])
    store.add(keys[20:], rows[20:])
    assert store.find(keys)[1].sum() == 20
    assert store.refused == 10


def test_after_its_files_were_removed_it_begins_new_ones(tmp_path: Path) -> None:
    store, (keys, rows) = made(tmp_path), drawn(30)
    store.add(keys[:20], rows[:20])
    for one in segments(tmp_path):
        assert one.remove()
    store.add(keys[20:], rows[20:])
    assert np.array_equal(store.find(keys)[0], rows)
    assert made(tmp_path).find(keys)[1].sum() == 10


def test_a_folder_that_goes_away_costs_speed_alone(tmp_path: Path) -> None:
    store, (keys, rows) = made(tmp_path), drawn(30)
    store.add(keys[:10], rows[:10])
    for one in (tmp_path / "one").iterdir():
        one.unlink()
    (tmp_path / "one").rmdir()
    assert store.find(keys)[1].sum() == 10, "what is mapped is still read"
    store.add(keys[10:], rows[10:])
    assert store.refused == 20
