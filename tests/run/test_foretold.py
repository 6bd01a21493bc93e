"""What a run takes is told by its first step where nothing is asked before, and by a taste where something is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.errors import RecipeError
from luthier.recipe import load_recipe
from luthier.run import foretold, train
from luthier.run.estimate import Expected, expect
from luthier.run.prepare import Prepared
from luthier.run.show import Show


class Heard(Show):
    """Keeps what is said, and says nothing."""

    def __init__(self) -> None:
        super().__init__(silent=True)
        self.heard: list[str] = []

    def say(self, what: object) -> None:
        self.heard.append(str(what))


def run(base: Path, rows: Path, folder: Path, *more: str) -> tuple[list[str], dict]:
    words = [f"data.train={rows}", f"model.name={base}", "model.max_length=128", "train.epochs=0.2", f"run={folder}"]
    show = Heard()
    train(load_recipe(None, [*words, "forgetting.measure=false", "data.validation=0", *more]), show=show)
    return show.heard, json.loads((folder / "report.json").read_text())


def test_a_run_that_asks_nothing_first_tastes_nothing(
    base: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foretold, "expect", lambda _: pytest.fail("a taste costs a step"))
    heard, report = run(base, rows, tmp_path / "run", "data.test=0")
    assert any("tokens read for each one computed" in said for said in heard)
    steps = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    first = next(line for line in steps if line["kind"] == "step")
    cost = report["cost"]["estimate"]
    assert f"a step of {first['distinct']:,} distinct tokens took {first['seconds']:.2f} s" in cost["assumption"]
    assert cost["seconds"] >= first["seconds"]
    assert cost["peak_bytes"] > 0


def test_where_the_base_is_asked_first_a_taste_is_told_before(
    base: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasted: list[Expected] = []

    def noted(prepared: Prepared) -> Expected:
        tasted.append(expect(prepared))
        return tasted[-1]

    monkeypatch.setattr(foretold, "expect", noted)
    heard, report = run(base, rows, tmp_path / "run", "data.test=0.2")
    assert len(tasted) == 1
    assert tasted[0].told() in heard
    assert "one micro-batch of" in report["cost"]["estimate"]["assumption"]


def test_what_cannot_start_leaves_no_folder(base: Path, rows: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="r_drop"):
        run(base, rows, tmp_path / "run", "data.test=0", "objective.r_drop=1")
    assert not (tmp_path / "run").exists()
