"""The pull to the base as a user meets it: one setting, told in the estimate, resumed to the bit."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from luthier.cli import app


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def settings(base, rows, run, *more) -> list[object]:
    quick = ["train.epochs=1", "train.lr=0.01", "train.examples_per_step=8", "train.evaluations_per_epoch=1"]
    small = ["model.max_length=128", "model.dtype=float32", "train.save_every=3", "forgetting.measure=false"]
    return ["train", "--data", rows, "--model", base, "--run", run, *small, *quick, *more]


@pytest.mark.parametrize("method", ["full", "lora"])
def test_a_resumed_run_is_held_to_the_same_base(method, base, rows, tmp_path):
    run = tmp_path / "run"
    assert luthier(*settings(base, rows, run, f"method={method}", "objective.kl=0.5")).exit_code == 0
    ended = load_file(next((run / "last").glob("[!o]*.safetensors")))
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    first, *later = [line["logged"]["divergence"] for line in lines if line["kind"] == "step"]
    assert first == 0
    assert later
    assert all(divergence > 0 for divergence in later)
    for name in ("report.json", "last", "best"):
        (run / name).unlink()
    for step in (run / "checkpoints").glob("[0-9]*"):
        if int(step.name) > 6:
            shutil.rmtree(step)
    assert luthier("train", "--resume", run).exit_code == 0
    again = load_file(next((run / "last").glob("[!o]*.safetensors")))
    assert all(torch.equal(ended[name], again[name]) for name in ended)


@pytest.mark.parametrize(("method", "held"), [("full", True), ("lora", False)])
def test_the_estimate_says_what_memory_the_base_takes(method, held, base, rows, tmp_path):
    done = luthier(*settings(base, rows, tmp_path / "r", f"method={method}", "objective.kl=0.5"), "--dry-run")
    assert ("hold the model as it was" in done.output) == held


def test_without_the_pull_nothing_is_held(base, rows, tmp_path):
    done = luthier(*settings(base, rows, tmp_path / "r", "method=full"), "--dry-run")
    assert done.exit_code == 0
    assert "hold the model" not in done.output
