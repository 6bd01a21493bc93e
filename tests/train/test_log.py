"""metrics.jsonl is valid JSON line by line whatever happens, and the display says no more than it should."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from luthier.train.log import EvaluationRecord, MetricsLog, MovingMean, Progress, StepRecord, spoken

STEP = StepRecord(
    step=3,
    steps=10,
    epoch=0.3,
    loss=1.5,
    lr=1e-3,
    grad_norm=0.7,
    distinct=100,
    logical=250,
    seconds=0.5,
    refused=False,
    logged={"nll": 1.5},
)
EVALUATION = EvaluationRecord(step=3, epoch=0.3, n=20, metrics={"accuracy": 0.75}, seconds=2.0, best=True)


def test_the_lines_hold_the_fields_of_the_contract(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write(STEP)
    log.write(EVALUATION)
    log.close()
    step, evaluation = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    promised = ["kind", "step", "epoch", "loss", "lr", "grad_norm", "distinct", "logical", "seconds", "refused"]
    assert set(promised) <= set(step)
    assert (step["kind"], step["logical"], step["logged"]) == ("step", 250, {"nll": 1.5})
    assert {"kind", "step", "epoch", "split", "n", "metrics", "seconds"} <= set(evaluation)
    assert evaluation["metrics"] == {"accuracy": 0.75}


def test_what_is_not_finite_is_null_not_broken_json(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write(replace(STEP, loss=math.nan, grad_norm=math.inf, refused=True))
    log.close()
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert (line["loss"], line["grad_norm"], line["refused"]) == (None, None, True)


def test_lines_after_the_checkpoint_are_cut_off_half_lines_too(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    log = MetricsLog(path)
    log.write(STEP)
    length = log.sync()
    log.write(STEP)
    log.close()
    with path.open("ab") as file:
        file.write(b'{"kind": "st')
    again = MetricsLog(path, length=length)
    again.write(EVALUATION)
    again.close()
    assert [json.loads(line)["kind"] for line in path.read_text().splitlines()] == ["step", "evaluation"]


def test_a_file_shorter_than_remembered_is_not_padded(tmp_path: Path) -> None:
    MetricsLog(tmp_path / "metrics.jsonl", length=100).close()
    assert (tmp_path / "metrics.jsonl").read_bytes() == b""


def shown(mode: str, *, terminal: bool) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=160)
    with Progress(mode, console=console) as progress:  # type: ignore[arg-type]
        for step in range(1, 11):
            progress.step(replace(STEP, step=step))
        progress.evaluation(EVALUATION)
    return out.getvalue()


def test_away_from_a_terminal_a_line_comes_now_and_then() -> None:
    lines = shown("auto", terminal=False).splitlines()
    assert len(lines) == 2
    assert "step 1/10  loss 1.5000  lr 0.001  200 distinct tokens/s  500 logical tokens/s  D 2.50" in lines[0]
    assert lines[1] == "step 3  on 20 validation rows: accuracy 0.75  (best so far)"


def test_on_a_terminal_there_is_a_bar() -> None:
    assert "10/10" in shown("auto", terminal=True)


def test_silent_is_silent() -> None:
    assert shown("silent", terminal=True) == shown("silent", terminal=False) == ""


def test_the_moving_mean_starts_at_its_first_value_and_passes_over_nan() -> None:
    mean = MovingMean(keep=0.5)
    assert math.isnan(mean.value)
    mean.add(4.0)
    assert mean.value == 4.0
    mean.add(math.nan)
    mean.add(1.0)
    assert mean.value == pytest.approx((0.5 * 4 + 1) / 1.5)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "200 ms"), (3.4, "3.4 s"), (119, "1 min 59 s"), (720, "12 min 00 s"), (3900, "1 h 05 min")],
)
def test_durations_are_said_as_people_say_them(seconds: float, words: str) -> None:
    assert spoken(seconds) == words
