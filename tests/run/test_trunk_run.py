"""A frozen trunk as a user meets it: told, read by the next run, shown by `luthier cache`, removed by `--clear`."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from luthier.cli import app


def luthier(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def settings(base, rows, run, *more) -> list[object]:
    quick = ["train.epochs=2", "train.lr=0.01", "train.examples_per_step=16", "train.evaluations_per_epoch=1"]
    small = ["model.max_length=128", "model.dtype=float32", "forgetting.measure=false"]
    return ["train", "--data", rows, "--model", base, "--run", run, *small, *quick, *more]


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_two_runs_share_a_trunk_that_cache_shows_and_clears(base, rows, cache, tmp_path):
    frozen = ["method=freeze", "method.layers=1"]
    first = luthier(*settings(base, rows, tmp_path / "first", *frozen))
    assert first.exit_code == 0, first.output
    assert "the lowest 1 of 2 layers learn nothing" in first.output
    again = luthier(*settings(base, rows, tmp_path / "again", *frozen))
    assert "100% of the tokens that went through the layers began above" in again.output
    plain = luthier(*settings(base, rows, tmp_path / "plain", *frozen, "train.trunk=false"))
    assert "learn nothing" not in plain.output
    losses = [
        json.loads((tmp_path / run / "report.json").read_text())["metrics"]["loss"]["tuned"]["value"]
        for run in ("first", "again", "plain")
    ]
    assert losses[0] == losses[1]
    assert losses[2] == pytest.approx(losses[0], rel=1e-4)

    shown = json.loads(luthier("cache", "--json").output)
    (trunk,) = shown["trunks"]
    assert (trunk["cut"], trunk["layers"], trunk["stored"]) == (1, 2, "float32")
    assert trunk["bytes"] > 0
    assert "`luthier cache --clear` removes" in luthier("cache").output
    said = luthier("cache", "--clear").output
    assert "`luthier cache --clear`" not in said
    assert "hidden states after layer 1 of 2" in said
    assert f"removed: {trunk['bytes'] / 1e6:,.1f} MB" in said
    assert "nothing is kept" in luthier("cache").output
    assert not list((cache / "trunk").glob("*"))


def test_why_frozen_layers_are_not_kept_is_told(base, rows, cache, tmp_path):
    done = luthier(*settings(base, rows, tmp_path / "r", "method=freeze", "method.layers=1", "method.embeddings=false"))
    assert "is not kept: it changes with every step, because what goes into them learns" in done.output
    assert "does not start as the base" not in done.output


def test_a_method_that_starts_elsewhere_than_the_base_says_so(base, rows, cache, tmp_path):
    done = luthier(*settings(base, rows, tmp_path / "r", "method=prefix", "method.tokens=2"), "--dry-run")
    assert "prefix does not start as the base" in done.output


def test_a_dry_run_keeps_nothing(base, rows, cache, tmp_path):
    luthier(*settings(base, rows, tmp_path / "r", "method=freeze", "method.layers=1"), "--dry-run")
    assert not (cache / "trunk").exists()


def test_where_all_layers_learn_nothing_is_said(base, rows, cache, tmp_path):
    assert "learn nothing" not in luthier(*settings(base, rows, tmp_path / "r")).output


@pytest.mark.parametrize(("method", "said"), [("freeze", True), ("lora", False)])
def test_noise_below_is_told_where_layers_are_frozen(method, said, base, rows, cache, tmp_path):
    frozen = ["method.layers=1"] if method == "freeze" else []
    done = luthier(*settings(base, rows, tmp_path / "r", f"method={method}", *frozen, "train.neftune=5"))
    assert done.exit_code == 0, done.output
    assert ("train.neftune puts noise below them" in done.output) == said
    assert not (cache / "trunk").exists()
