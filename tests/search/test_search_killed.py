"""A search killed by SIGKILL at any moment goes on to the trials of one never stopped: none lost, none run twice."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SURROUNDINGS = {**os.environ, "OMP_NUM_THREADS": "1"}


def command(base: Path, rows: Path, out: Path) -> list[str]:
    own = ["model.max_length=128", "model.dtype=float32", "evaluate.metric=loss", "evaluate.resamples=100"]
    quick = ["train.epochs=2", "train.examples_per_step=8", "search.looks=4", f"run={out}-run"]
    space = ["search.lr=log(1e-5, 1e-1)", "search.rank=[2, 4, 8]"]
    words = ["--data", rows, "--model", base, "--out", out, *own, *quick, *space, "--trials", 5, "--seeds", 3, "--json"]
    return [sys.executable, "-m", "luthier", "search", *map(str, words)]


def trials(told: str) -> list[dict[str, object]]:
    kept = ("number", "state", "settings", "value", "looks", "distinct")
    return [{key: one[key] for key in kept} for one in json.loads(told)["trials"]]


def started(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=SURROUNDINGS)


@pytest.mark.slow
def test_a_search_killed_at_random_moments_ends_as_one_never_stopped(base, rows, tmp_path):
    whole = subprocess.run(
        command(base, rows, tmp_path / "whole"), capture_output=True, text=True, env=SURROUNDINGS, check=True
    )
    draw, killed = random.Random(0), 0
    cut = tmp_path / "cut"
    for _ in range(5):
        process = started(command(base, rows, cut))
        folders = len(list(cut.glob("trials/*"))) + len(list(cut.glob("confirm/*/*")))
        until = time.monotonic() + 300
        while process.poll() is None and time.monotonic() < until:
            if len(list(cut.glob("trials/*"))) + len(list(cut.glob("confirm/*/*"))) > folders:
                break
            time.sleep(0.01)
        time.sleep(draw.uniform(0, 0.4))  # a trial takes about half a second where nothing else runs
        process.send_signal(signal.SIGKILL)
        killed += process.wait() == -signal.SIGKILL
    process = started(command(base, rows, cut))
    told, _ = process.communicate(timeout=1800)
    assert killed >= 3
    assert trials(told) == trials(whole.stdout)
    one, other = json.loads(told)["confirmation"], json.loads(whole.stdout)["confirmation"]
    assert {key: one[key] for key in ("recipe", "winner", "low")} == {
        key: other[key] for key in ("recipe", "winner", "low")
    }


@pytest.mark.slow
def test_two_processes_share_a_search_and_one_of_them_reports(base, rows, tmp_path):
    workers = [started(command(base, rows, tmp_path / "s")) for _ in range(2)]
    for worker in workers:
        worker.communicate(timeout=1800)
    assert [worker.returncode for worker in workers] == [0, 0]
    told = json.loads((tmp_path / "s" / "search.json").read_text())
    assert len(told["trials"]) == 5
    assert [one["number"] for one in told["trials"]] == list(range(5))
    assert {one["state"] for one in told["trials"]} <= {"complete", "stopped early"}
