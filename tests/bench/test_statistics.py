"""The statistics held to what they promise, with few simulations and wide bands; `bench/stats.py` takes many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import stats_page
from stats_agreement import agreements
from stats_coverage import coverage
from stats_rows import NULLS, World, corpus, grouped_proportion, macro_f1, proportion, skewed
from stats_size import choices, independent, size

import stats
from luthier.stats import Interval


@pytest.mark.parametrize("kind", NULLS)
def test_a_verdict_on_grouped_rows_claims_what_is_not_there_about_once_in_twenty(kind: str) -> None:
    assert 0.015 < size(kind, 60, 300, seed=3).claimed.value < 0.09


def test_a_verdict_on_few_groups_claims_no_more_and_on_five_nothing() -> None:
    assert size("graded", 8, 200, seed=4).claimed.value < 0.09
    assert size("graded", 5, 50, seed=4).claimed.value == 0


def test_exact_mcnemar_is_on_the_safe_side() -> None:
    assert independent(200, 150, seed=5).by_test < 0.08


def test_control_rows_of_one_group_taken_for_independent_claim_far_more() -> None:
    assert size("graded", 60, 150, seed=6, as_rows=True).claimed.value > 0.09


def test_control_without_widening_few_groups_claim_too_much() -> None:
    shares = choices("graded", 10, 300, seed=7).shares
    assert shares["percentile"].value > 0.08 > shares["percentile, widened"].value


WORLDS = (proportion(0.7, 200), grouped_proportion(1.2, 2.5, 60), skewed(200), corpus(200), macro_f1(300))


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.title)
def test_an_interval_holds_the_truth_about_nineteen_times_in_twenty(world: World) -> None:
    found = coverage(world, 250, seed=8)
    assert 0.91 < found.held.value < 0.985


def test_control_an_interval_about_another_truth_does_not_hold_it() -> None:
    moved = replace(grouped_proportion(1.2, 0.8, 60), truth=0.78)
    assert coverage(moved, 100, seed=9).held.value < 0.5


def test_scipy_and_statsmodels_give_the_same() -> None:
    pytest.importorskip("statsmodels")
    found = list(agreements(seed=10, cases=10))
    assert len(found) == 8
    for one in found:
        assert one.apart <= one.allowed, one


def test_figures_outside_their_bars_are_named_and_the_page_is_written(tmp_path: Path) -> None:
    good = replace(size("alike", 60, 2, seed=1), claimed=Interval(0.05, 0.046, 0.054), n=10_000)
    bad = replace(good, claimed=Interval(0.08, 0.075, 0.085))
    held = replace(coverage(proportion(0.7, 50), 2, seed=1), held=Interval(0.95, 0.946, 0.954))
    both = stats_page.Measured([good], [], bad, [choices("alike", 20, 2, seed=1)], [held], [], "x", 60.0)
    assert list(stats.outside(replace(both, control=replace(bad, claimed=Interval(0.3, 0.2, 0.4))))) == []
    assert len(list(stats.outside(replace(both, sizes=[good, bad])))) == 2
    page = tmp_path / "page.md"
    page.write_text(f"words\n{stats_page.BEGIN}\nold\n{stats_page.END}\nmore\n")
    stats_page.write(page, both)
    assert page.read_text().startswith("words\n")
    assert page.read_text().endswith("more\n")
    assert "| 5.0 % [4.6, 5.4] |" in page.read_text()
    assert "\nold\n" not in page.read_text()
