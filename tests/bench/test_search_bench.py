"""The bench of the search against the full grid: its page says what its figures say; it measures nothing here."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from environment import Machine

import search
from luthier.search.confirm import Confirmed
from luthier.search.study import Spent
from luthier.stats import Difference

MACHINE = Machine("a processor", 2, ("avx2",), 16.0, "Linux", 0.0)


def found(low: float, high: float) -> search.Found:
    winner = SimpleNamespace(settings={"train.lr": 1e-3, "method.rank": 8}, value=0.8, own=False)
    apart = Difference((low + high) / 2, low, high, 0.5, 0.01, 20)
    sure = Confirmed("accuracy", 500, (0, 1, 2), (0.7, 0.71, 0.72), (0.7, 0.7, 0.7), apart, 60.0, 1000, 0)
    grid, less = Spent(30, 3000.0, 400_000, 900_000), Spent(12, 700.0, 100_000, 220_000)
    return search.Found("banking77", "accuracy", 770, grid, less, winner, winner, sure)


@pytest.mark.parametrize(("low", "high", "said"), [(-0.03, 0.01, True), (-0.05, -0.02, False), (0.01, 0.05, True)])
def test_a_winner_is_within_unless_it_is_surely_worse(low: float, high: float, said: bool) -> None:
    assert found(low, high).within is said


def test_every_line_of_a_table_has_as_many_cells_as_its_head() -> None:
    tables = [line for line in search.lines(MACHINE, [found(-0.03, 0.01)], search.Size()) if line.startswith("|")]
    assert len({line.count("|") for line in tables}) == 1
    assert any("yes" in line for line in tables)


def test_the_grid_lies_in_the_box_that_is_searched() -> None:
    size = search.Size()
    box = {one.key: one for one in search.box(size)}
    assert len(search.settings(size)) == len(size.rates) * len(size.ranks) * len(size.batches) == 8
    assert all(box[key].holds(one[key]) for one in search.settings(size) for key in box)
    assert {key for one in search.settings(size) for key in one} - box.keys() == {"train.examples_per_step"}


def test_the_page_has_the_place_that_the_figures_go_to() -> None:
    assert f"<!-- measured: begin (written by {search.SCRIPT}) -->" in search.PAGE.read_text(encoding="utf-8")
