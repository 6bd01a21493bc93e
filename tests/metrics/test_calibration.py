"""Calibration: worked out by hand, equal to scikit-learn's, and true of rows whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

from luthier.metrics import calibration as measured
from luthier.metrics.calibration import Bins

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(200, 5)) * 2
GOLD = RNG.integers(5, size=200)


def error(bins: Bins, confidence: np.ndarray, right: np.ndarray) -> float:
    return float(bins.error(bins.statistics(confidence, right).sum(axis=0, keepdims=True))[0])


def test_the_calibration_error_is_that_worked_out_by_hand() -> None:
    # 0.95, 0.85: two bins of 15. |1 - 0.95| * 1/4 + |1/3 - 0.85| * 3/4
    confidence, right = np.array([0.95, 0.85, 0.85, 0.85]), np.array([1.0, 1, 0, 0])
    assert error(Bins.equal(), confidence, right) == pytest.approx(0.05 / 4 + (0.85 - 1 / 3) * 3 / 4)
    # Two adaptive bins hold two rows each, but rows of one confidence stay together
    assert error(Bins.adaptive(confidence, 2), confidence, right) == pytest.approx(0.05 / 4 + (0.85 - 1 / 3) * 3 / 4)
    spread = np.array([0.1, 0.2, 0.8, 0.9])
    assert error(Bins.adaptive(spread, 2), spread, np.array([0.0, 1, 1, 1])) == pytest.approx(0.35 / 2 + 0.15 / 2)


def test_an_edge_belongs_to_the_bin_below_it() -> None:
    assert Bins.equal(5).place(np.array([0.0, 0.2, 0.2001, 1.0])).tolist() == [0, 0, 1, 4]


def test_adaptive_bins_hold_equally_many_rows() -> None:
    confidence = RNG.random(300) ** 4
    counts = np.bincount(Bins.adaptive(confidence).place(confidence))
    assert counts.tolist() == [20] * 15


def test_no_rows_have_no_error() -> None:
    assert Bins.error(np.zeros((1, 45))).tolist() == [0]


@pytest.mark.parametrize("make", [lambda _: Bins.equal(), Bins.adaptive])
def test_a_true_confidence_is_called_false_in_one_case_of_twenty_and_a_false_one_nearly_always(make) -> None:
    """500 models a kind on 120 rows each; the false ones are as right as a model half as far from 1/2."""
    rng, seen = np.random.default_rng(1), {"true": 0, "false": 0}
    for _ in range(500):
        confidence = 0.5 + 0.5 * rng.random(120)
        bins = make(confidence)
        high = np.quantile(measured.if_calibrated(confidence, bins, draws=200, rng=rng), 0.95)
        for kind, chance in (("true", confidence), ("false", (confidence + 0.5) / 2)):
            seen[kind] += error(bins, confidence, (rng.random(120) < chance).astype(float)) > high
    assert 12 <= seen["true"] <= 40
    assert seen["false"] > 350


def test_what_chance_gives_is_worked_out_by_hand_for_two_rows() -> None:
    """Sure to 0.8 and to 0.7, in two bins: |0.8 - hit| / 2 + |0.7 - hit| / 2 takes four values."""
    confidence = np.array([0.8, 0.7])
    found = measured.if_calibrated(confidence, Bins.equal(), draws=20_000, rng=np.random.default_rng(0))
    values, counts = np.unique(found.round(9), return_counts=True)
    assert values.tolist() == pytest.approx([0.25, 0.45, 0.55, 0.75])
    assert (counts / 20_000).tolist() == pytest.approx([0.56, 0.24, 0.14, 0.06], abs=0.015)


def test_rows_that_hang_together_give_chance_more_room() -> None:
    confidence = np.full(100, 0.7)
    alone, groups = (
        np.quantile(measured.if_calibrated(confidence, Bins.equal(), index, draws=1000, rng=RNG), 0.95)
        for index in (None, np.arange(100) // 20)
    )
    assert groups > 2 * alone


def test_the_blocks_in_which_rows_are_drawn_change_nothing_but_the_draws(monkeypatch) -> None:
    confidence = RNG.random(50)
    whole = measured.if_calibrated(confidence, Bins.equal(), draws=70, rng=np.random.default_rng(3))
    monkeypatch.setattr(measured, "_CELLS", 500)
    parts = measured.if_calibrated(confidence, Bins.equal(), draws=70, rng=np.random.default_rng(3))
    assert (whole == parts).all()


def test_brier_and_log_loss_are_those_of_scikit_learn() -> None:
    chances = measured.probabilities(LOGITS)
    expected = brier_score_loss(GOLD, chances, labels=range(5), scale_by_half=False)
    assert measured.brier(chances, GOLD).mean() == pytest.approx(expected, abs=1e-12)
    assert measured.log_loss(LOGITS, GOLD).mean() == pytest.approx(log_loss(GOLD, chances, labels=range(5)), abs=1e-12)


def test_a_model_that_is_sure_and_wrong_has_the_worst_brier_score() -> None:
    assert measured.brier(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([1, 1])).tolist() == [2, 0]


def test_labels_that_were_left_out_have_no_probability() -> None:
    assert measured.probabilities(np.array([[0.0, -np.inf, 0.0]])).tolist() == [[0.5, 0, 0.5]]


@pytest.mark.parametrize("truth", [0.5, 1.0, 3.0])
def test_the_temperature_that_the_labels_were_drawn_at_is_found(truth: float) -> None:
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(20000, 4)) * 3
    gold = (measured.probabilities(logits, truth).cumsum(axis=1) > rng.random((20000, 1))).argmax(axis=1)
    assert measured.temperature(logits, gold) == pytest.approx(truth, rel=0.05)


def test_temperature_changes_no_answer_and_mends_overconfidence() -> None:
    rng = np.random.default_rng(2)
    logits = rng.normal(size=(2000, 4)) * 3
    gold = (measured.probabilities(logits, 3.0).cumsum(axis=1) > rng.random((2000, 1))).argmax(axis=1)
    at = measured.temperature(logits[:1000], gold[:1000])
    before, after = (measured.probabilities(logits[1000:], one) for one in (1.0, at))
    assert (before.argmax(axis=1) == after.argmax(axis=1)).all()
    right = (before.argmax(axis=1) == gold[1000:]).astype(float)
    assert error(Bins.equal(), after.max(axis=1), right) < error(Bins.equal(), before.max(axis=1), right) / 3


def test_auroc_is_that_of_scikit_learn_with_ties_and_weights() -> None:
    score = np.round(RNG.random(200), 1)
    positive = (RNG.random(200) < score).astype(float)
    weights = RNG.integers(0, 4, size=(3, 200)).astype(float)
    found = measured.auroc(score, positive, weights)
    expected = [roc_auc_score(positive, score, sample_weight=one) for one in weights]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)
    assert measured.auroc(score, np.ones(200), weights[:1]).tolist() == [0]


def test_the_abstention_curve_is_that_worked_out_by_hand() -> None:
    confidence, right = np.array([0.9, 0.5, 0.7, 0.5]), np.array([1.0, 1, 0, 0])
    share, accuracy = measured.coverage(confidence, right)
    assert share.tolist() == [0.25, 0.5, 1]
    assert accuracy.tolist() == [1, 0.5, 0.5]


def test_a_model_that_knows_its_mistakes_has_the_larger_area() -> None:
    right = np.array([1.0] * 8 + [0.0] * 2)
    one = np.ones((1, 10))
    knowing, blind, wrong = (
        float(measured.coverage_area(np.array(confidence), right, one)[0])
        for confidence in ([0.9] * 8 + [0.1] * 2, [0.5] * 10, [0.1] * 8 + [0.9] * 2)
    )
    assert knowing > blind > wrong
    assert blind == pytest.approx(0.8)
    # All eight right rows answered: 0.8 of the coverage at accuracy 1, then 8 / x from 8 to 10.
    assert knowing == pytest.approx(0.8 + 0.8 * np.log(10 / 8))


def test_doubling_every_row_changes_no_area() -> None:
    confidence, right = RNG.random(50), (RNG.random(50) < 0.7).astype(float)
    once = measured.coverage_area(confidence, right, np.full((1, 50), 2.0))
    twice = measured.coverage_area(np.repeat(confidence, 2), np.repeat(right, 2), np.ones((1, 100)))
    assert once == pytest.approx(twice)
