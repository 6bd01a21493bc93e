"""Intervals and tests: equality with scipy and textbook values, coverage by simulation, and why clusters matter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats as scipy_stats
from scipy.stats import binomtest

from luthier.errors import ShapeError
from luthier.metrics import metrics
from luthier.metrics.metric import Mean, ratio
from luthier.stats import (
    Difference,
    Sample,
    bca,
    clusters,
    holm,
    independent_groups,
    interval,
    mcnemar,
    paired,
    paired_all,
    percentile,
    reach,
    resample,
    rows_needed,
    smallest_visible,
    swapped,
    wilson,
)

PAIRS = ((("one", 1), ("other", 2)), (("one", 3), ("other", 4)))


def mean(totals: NDArray[np.float64]) -> NDArray[np.float64]:
    return ratio(totals[:, 0], totals[:, 1])


def sample(values: NDArray[np.float64], together: NDArray[np.int64] | None = None) -> Sample:
    return Sample(np.column_stack((values, np.ones(len(values)))), mean, together)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_wilson_gives_the_textbook_interval() -> None:
    # (p + z2/2n +- z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n), n = 10, p = 0.5, z = 1.959964
    found = wilson(5, 10)
    assert [found.value, found.low, found.high] == pytest.approx([0.5, 0.23659, 0.76341], abs=1e-5)
    assert wilson(0, 20).low == 0 < wilson(0, 20).high


def test_wilson_is_the_one_of_scipy() -> None:
    for successes, n in ((0, 1), (1, 1), (0, 20), (7, 9), (40, 40), (123, 4567)):
        theirs = binomtest(successes, n).proportion_ci(confidence_level=0.95, method="wilson")
        found = wilson(successes, n)
        assert (found.value, found.low, found.high) == pytest.approx(
            (successes / n, theirs.low, theirs.high), abs=1e-12
        )


def test_wilson_covers_the_truth_about_95_times_in_100() -> None:
    for truth in (0.1, 0.3, 0.5):
        counts = np.arange(41)
        covers = np.array([wilson(int(k), 40).low <= truth <= wilson(int(k), 40).high for k in counts])
        assert 0.93 < scipy_stats.binom.pmf(counts, 40, truth) @ covers < 0.98


def test_bootstrap_covers_the_truth_about_95_times_in_100() -> None:
    source, covered = rng(1), 0
    for _ in range(300):
        found = interval(sample(source.exponential(size=60)), resamples=300, rng=source)
        covered += found.low <= 1 <= found.high
    assert 0.89 < covered / 300 < 0.98


@pytest.mark.parametrize("method", ["percentile", "BCa"])
def test_bootstrap_agrees_with_scipy_on_the_same_resamples(method: str) -> None:
    values = rng(2).gamma(0.5, size=40)
    theirs = scipy_stats.bootstrap((values,), np.mean, n_resamples=2000, method=method, rng=rng(9))
    drawn, z = theirs.bootstrap_distribution, scipy_stats.norm.ppf(0.975)
    left_out = (values.sum() - values) / 39
    ours = percentile(drawn, z) if method == "percentile" else bca(drawn, values.mean(), left_out, z)
    assert ours == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)


def test_the_reach_of_an_interval_is_that_of_the_normal_distribution_for_many_groups_and_more_for_few() -> None:
    assert reach(10**6) == pytest.approx(scipy_stats.norm.ppf(0.975), abs=1e-4)
    assert reach(10) == pytest.approx(2.262157 * np.sqrt(10 / 9), abs=1e-5)


def test_few_groups_get_students_t_which_of_means_is_the_textbook_one() -> None:
    values = rng(3).normal(size=4)
    theirs = scipy_stats.t.interval(0.95, 3, values.mean(), scipy_stats.sem(values))
    found = interval(sample(values), resamples=10, rng=rng())
    assert (found.low, found.high) == pytest.approx(theirs)
    alone = interval(sample(rng(3).normal(size=9), np.zeros(9, dtype=np.int64)), resamples=10, rng=rng())
    assert (alone.low, alone.high) == (-np.inf, np.inf)


def test_a_proportion_of_rows_in_groups_of_equals_is_one_of_groups() -> None:
    right = np.array([1.0] * 60 + [0.0] * 40)
    groups = interval(sample(right.repeat(7), np.arange(100).repeat(7)), resamples=10, rng=rng())
    assert (groups.low, groups.high) == pytest.approx((wilson(60, 100).low, wilson(60, 100).high), abs=3e-3)
    rows = interval(sample(right.repeat(7)), resamples=10, rng=rng())
    assert rows.high - rows.low < 0.5 * (groups.high - groups.low)


def test_several_differences_at_once_are_each_what_it_is_alone() -> None:
    before, after = ({name: sample(rng(seed).normal(size=80)) for name, seed in pairs} for pairs in PAIRS)
    together = paired_all(before, after, resamples=200, rng=rng())
    for name, found in together.items():
        assert found == paired(before[name], after[name], resamples=200, rng=rng())


def test_holm_is_the_table_worked_out_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]).tolist() == []


def test_rows_that_stand_or_fall_together_are_worth_their_groups() -> None:
    assert independent_groups(np.repeat(np.arange(10), 5)) == 10
    assert independent_groups(np.array([0] * 8 + [1, 2])) == pytest.approx(100 / 66)


def test_equal_answers_on_few_rows_leave_room_for_a_difference() -> None:
    same = sample(np.array([1.0, 0.0] * 6))
    found = paired(same, same, resamples=50, rng=rng())
    assert (found.value, found.p, found.seen) == (0, 1, False)
    assert (-found.low, found.high) == pytest.approx((wilson(0, 12).high, wilson(0, 12).high))


def test_a_score_that_is_no_number_shows_no_difference() -> None:
    broken = np.array([np.nan] + [1.0] * 20)
    assert not paired(sample(broken), sample(np.zeros(21)), resamples=50, rng=rng()).seen


def test_resampling_in_parts_keeps_the_count_of_rows() -> None:
    totals = resample(np.ones((3000, 1)), 1500, rng())
    assert (totals == 3000).all()


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (1, 9), (15, 5), (6, 0), (5, 0)])
def test_mcnemar_is_the_exact_sign_test_of_the_rows_that_differ(gained: int, lost: int) -> None:
    base = np.array([0.0] * gained + [1.0] * lost + [1.0, 0.0] * 5)
    tuned = np.array([1.0] * gained + [0.0] * lost + [1.0, 0.0] * 5)
    tail = sum(scipy_stats.binom.pmf(k, gained + lost, 0.5) for k in range(min(gained, lost) + 1))
    assert mcnemar(base, tuned) == pytest.approx(min(1.0, 2 * tail))
    swap = swapped(sample(base).statistics, sample(tuned).statistics, mean, 40000, rng())
    half = scipy_stats.binom.pmf(gained, gained + lost, 0.5) if gained + lost > 15 else 0
    assert swap == pytest.approx(mcnemar(base, tuned) - half, abs=0.005)


def test_swapping_all_ways_equals_the_exact_permutation_test() -> None:
    base, tuned = rng(3).normal(size=(2, 9))
    ours = swapped(sample(base).statistics, sample(tuned).statistics, mean, 512, rng())
    theirs = scipy_stats.permutation_test(
        (tuned, base), lambda x, y: np.mean(x - y), permutation_type="samples", n_resamples=np.inf
    )
    assert ours == pytest.approx(theirs.pvalue, abs=1e-12)


def rejections(grouped: bool) -> tuple[float, float]:
    """Share of 200 true nulls, 50 users of 10 rows each, called different by the interval, and by the swap test."""
    source, by_interval, by_test = rng(4), 0, 0
    together = np.repeat(np.arange(50), 10) if grouped else None
    for _ in range(200):
        tuned = source.normal(size=50).repeat(10) + source.normal(size=500)
        found = paired(sample(np.zeros(500), together), sample(tuned, together), resamples=200, rng=source)
        by_interval += found.low > 0 or found.high < 0
        by_test += found.p < 0.05
    return by_interval / 200, by_test / 200


def test_rows_of_one_user_are_drawn_together() -> None:
    by_interval, by_test = rejections(grouped=True)
    assert by_interval < 0.11
    assert by_test < 0.11


def test_control_rows_of_one_user_taken_for_independent_reject_true_nulls() -> None:
    by_interval, by_test = rejections(grouped=False)
    assert by_interval > 0.3
    assert by_test > 0.3


def test_groups_become_indexes_and_rows_without_one_stand_alone() -> None:
    index = clusters(["u", None, "u", None])
    assert index is not None
    assert index.tolist() == [0, 1, 0, 2]
    assert clusters(["a", None, "b"]) is None


def test_groups_of_one_row_change_nothing() -> None:
    before, after = rng(5).normal(size=(2, 40))
    alone = paired(sample(before), sample(after), resamples=200, rng=rng())
    assert alone == paired(sample(before, np.arange(40)), sample(after, np.arange(40)), resamples=200, rng=rng())


def test_a_difference_does_not_depend_on_what_both_have_in_common() -> None:
    before, after = rng(6).normal(size=(2, 60))
    one = paired(sample(before), sample(after), resamples=300, rng=rng())
    other = paired(sample(before + 5), sample(after + 5), resamples=300, rng=rng())
    assert (one.low, one.high, one.p) == pytest.approx((other.low, other.high, other.p))


def test_exchanging_the_two_turns_the_difference_round() -> None:
    before, after = rng(7).normal(size=(2, 60))
    one = paired(sample(before), sample(after), resamples=300, rng=rng())
    other = paired(sample(after), sample(before), resamples=300, rng=rng())
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


def test_five_rows_all_gained_are_no_difference_yet_and_six_are() -> None:
    for n, seen in ((5, False), (6, True)):
        found = paired(sample(np.zeros(n)), sample(np.ones(n)), resamples=200, rng=rng())
        assert found.seen is seen
        assert rows_needed(found, n) == 6


def test_two_shares_are_never_said_to_lie_more_than_all_rows_apart() -> None:
    """Student's t over few groups knows no bounds."""
    found = paired(sample(np.array([1.0, 1, 0])), sample(np.zeros(3)), resamples=50, rng=rng())
    assert (found.low, round(found.value, 3)) == (-1.0, -0.667)
    numbers = [
        Sample(np.column_stack((column, np.full(3, 2.0))), mean) for column in (np.array([9.0, 9, 0]), np.zeros(3))
    ]
    assert paired(*numbers, resamples=50, rng=rng()).low < -1


def test_rows_on_which_one_differs_show_no_less_than_six_of_them_differing() -> None:
    found = paired(sample(np.zeros(16)), sample(np.eye(16)[0]), resamples=200, rng=rng())
    assert not found.seen
    assert smallest_visible(found, 16, 16) == pytest.approx(6 / 16)


def test_all_rows_right_still_leaves_doubt() -> None:
    assert interval(sample(np.ones(20)), resamples=50, rng=rng()).low == pytest.approx(wilson(20, 20).low)
    grouped = interval(sample(np.ones(20), np.repeat(np.arange(4), 5)), resamples=50, rng=rng())
    assert wilson(20, 20).low > wilson(4, 4).low > grouped.low > 0.2


def test_the_rows_asked_for_show_the_difference_in_four_of_five_tries() -> None:
    source = rng(8)
    change = source.normal(0.3, 1, size=100000)
    pilot = paired(sample(np.zeros(400)), sample(change[:400]), resamples=1000, rng=source)
    exact = replace(pilot, value=0.3, spread=1 / np.sqrt(400))
    needed = rows_needed(exact, 400)
    assert needed == pytest.approx((2.8016 / 0.3) ** 2, abs=1)
    assert smallest_visible(exact, 400, needed or 0) == pytest.approx(0.3, rel=0.01)
    rows = source.choice(change, size=(500, needed or 0))
    seen = np.abs(rows.mean(axis=1)) > 1.96 * rows.std(axis=1, ddof=1) / np.sqrt(needed or 0)
    assert 0.74 < seen.mean() < 0.87


def test_no_difference_needs_no_number_of_rows() -> None:
    assert rows_needed(Difference(0, -1, 1, 1.0, 0.5, 3), 10) is None


def test_bleu_is_resampled_as_a_corpus_not_as_a_mean_of_rows() -> None:
    texts = [f"the {word} dog bit the {word} man today" for word in ("old", "big", "sad", "red", "shy", "odd", "new")]
    references = [(text.replace("today", "yesterday"),) for text in texts]
    metric = metrics["bleu"]
    found = interval(Sample(metric.statistics(texts, references), metric.score), resamples=200, rng=rng())
    assert found.low <= found.value <= found.high
    assert found.value > 0


def test_other_rows_cannot_be_paired() -> None:
    with pytest.raises(ShapeError, match="rows must agree"):
        paired(sample(np.zeros(3)), sample(np.zeros(4)), resamples=10, rng=rng())


def test_the_same_seed_gives_the_same_interval() -> None:
    metric = Mean(lambda text, right: len(text) / 10)
    one = Sample(metric.statistics(["a", "bb", "ccc"], [("",)] * 3), metric.score)
    assert interval(one, resamples=100, rng=rng()) == interval(one, resamples=100, rng=rng())


def test_swapping_many_rows_holds_little_at_a_time() -> None:
    change = rng(11).normal(size=4000)
    few = swapped(sample(np.zeros(4000)).statistics, sample(change).statistics, mean, 2000, rng())
    z = abs(change.mean()) / (np.sqrt((change**2).sum()) / 4000)
    assert few == pytest.approx(2 * scipy_stats.norm.sf(z), abs=0.04)


def test_a_few_rows_never_carry_an_interval_off_the_scale_of_the_score():
    rows = np.array([[0.2, 1.0], [0.9, 1.0], [1.0, 1.0]])
    free = Sample(rows, lambda totals: totals[:, 0] / totals[:, 1])
    ends = replace(free, scale=(0.0, 1.0))
    unbound, bound = (interval(one, resamples=50, rng=rng()) for one in (free, ends))
    assert unbound.low < 0
    assert unbound.high > 1
    assert (bound.low, bound.high) == (0.0, 1.0)
    other = replace(ends, statistics=np.array([[0.9, 1.0], [0.1, 1.0], [0.0, 1.0]]))
    assert paired(ends, other, resamples=50, rng=rng()).low == -1.0


def test_a_few_rows_that_leave_the_score_alone_do_not_make_it_certain():
    alike = Sample(np.array([[0.5, 1.0]] * 3), lambda totals: totals[:, 0] / totals[:, 1], scale=(0.0, 1.0))
    found = interval(alike, resamples=50, rng=rng())
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)
