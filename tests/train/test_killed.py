"""A run killed by SIGKILL at any moment, inside a save too, and resumed ends with the bits of one never stopped."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest
import tiny_run
from test_loop import bits


class Server:
    """Runs of their own process each, forked from one that has the imports done."""

    def __init__(self, process: subprocess.Popen[str], into: IO[str], out: IO[str]) -> None:
        self._process, self._into, self._out = process, into, out

    def start(self, folder: Path, *, resume: bool) -> int:
        """Begins a run; returns its process id."""
        self._into.write(json.dumps({"folder": str(folder), "resume": resume}) + "\n")
        self._into.flush()
        return int(self._out.readline())

    def status(self) -> int:
        """Waits for the run's end: 0 done, -9 killed."""
        self._into.write("\n")
        self._into.flush()
        return int(self._out.readline())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    surroundings = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, tiny_run.__file__]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield Server(process, process.stdin, process.stdout)
        process.stdin.close()


@pytest.fixture(scope="module")
def whole(server: Server, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], float]:
    """What the uninterrupted run leaves, and how long it takes."""
    folder = tmp_path_factory.mktemp("whole")
    server.start(folder, resume=False)
    began = time.monotonic()
    assert server.status() == 0
    return bits(folder), time.monotonic() - began


def wait_for_a_save(folder: Path, draw: random.Random, limit: float) -> None:
    """Returns once a save is under way (each is let pass with odds of one half), or at the time limit."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        if any(folder.glob("checkpoints/.*.partial")) and draw.random() < 0.5:
            return
        time.sleep(0.0002)


def killed_until_done(server: Server, folder: Path, kills: int, seconds: float, seed: int) -> tuple[int, int]:
    """Kills a run again and again, every other time inside a save; then lets it end. Returns kills and landings."""
    draw, landed, killed = random.Random(seed), 0, 0
    for number in range(kills):
        process = server.start(folder, resume=number > 0)
        if number % 2:
            wait_for_a_save(folder, draw, seconds)
        else:
            time.sleep(draw.uniform(0.3, 1.0) * seconds)
        os.kill(process, signal.SIGKILL)
        killed += server.status() == -signal.SIGKILL
        landed += any(folder.glob("checkpoints/.*.partial"))
    server.start(folder, resume=kills > 0)
    assert server.status() == 0
    return killed, landed


def compare(whole: dict[str, object], folder: Path) -> None:
    found = bits(folder)
    assert {name for name in whole if whole[name] != found[name]} == set()
    assert not list(folder.rglob(".*.partial"))
    assert not list(folder.rglob("*.damaged*"))


def test_a_run_killed_three_times_ends_with_the_same_bits(
    server: Server, whole: tuple[dict[str, object], float], tmp_path: Path
) -> None:
    expected, seconds = whole
    killed, _ = killed_until_done(server, tmp_path, 3, seconds * 0.6, seed=0)
    assert killed >= 2
    compare(expected, tmp_path)


@pytest.mark.slow
def test_a_run_killed_at_twenty_moments_ends_with_the_same_bits_inside_saves_too(
    server: Server, whole: tuple[dict[str, object], float], tmp_path: Path
) -> None:
    expected, seconds = whole
    killed = landed = 0
    for run in range(5):
        more, inside = killed_until_done(server, tmp_path / str(run), 4, seconds * 0.7, seed=run)
        killed, landed = killed + more, landed + inside
        compare(expected, tmp_path / str(run))
    assert killed >= 15
    assert landed >= 5
