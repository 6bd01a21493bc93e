"""What the page draws is what the run says: geometry, chosen rows, counts, numbers."""

from __future__ import annotations

import math
from statistics import fmean

import pytest

from luthier.report import figures
from luthier.report.axis import Scale, bounds, ticks
from luthier.report.changed import changes
from luthier.report.curves import DRAWN, charts, smooth, thin
from luthier.report.ledger import ledger, worst_first
from luthier.report.records import Answer, Comparison, Interval, Measured, Prediction, Row, Step
from luthier.report.texts import typeset
from luthier.report.view import pairs
from luthier.report.whiskers import interval_plot
from luthier.train.log import spoken
from luthier.types import Issue
from luthier.words import spelled


def predicted(name: str, base: float, tuned: float, label: str | None = None) -> Prediction:
    """A scored row."""
    return Prediction(name, Answer("", scores={"exact": base}), Answer("", scores={"exact": tuned}), label=label)


def test_the_difference_ends_under_the_tuned_value() -> None:
    plot = interval_plot(Comparison(Interval(0.4, 0.3, 0.5), Interval(0.7, 0.6, 0.8), Interval(0.3, 0.2, 0.4)))
    assert plot is not None
    assert plot.difference.point == pytest.approx(plot.tuned.point)
    assert plot.zero == plot.base.point
    assert plot.base.low < plot.base.point < plot.base.high < plot.tuned.point


def test_an_unknown_value_draws_no_plot_and_unknown_ends_draw_a_point() -> None:
    known = Interval(0.4)
    assert interval_plot(Comparison(known, Interval(), known)) is None
    assert interval_plot(Comparison(known, Interval(math.nan), known)) is None
    plot = interval_plot(Comparison(known, known, Interval(0.0, math.nan, 0.1)))
    assert plot is not None
    assert plot.base.low == plot.base.high == plot.base.point
    assert plot.difference.low == plot.difference.point


@pytest.mark.parametrize("size", [1e-6, 0.01, 1.0, 7.3, 40, 1e5])
def test_ticks_are_few_round_and_inside(size: float) -> None:
    scale = Scale(-0.2 * size, size, 0, 100)
    found = ticks(scale)
    assert 3 <= len(found) <= 9
    assert all(-0.01 <= tick.at <= 100.01 for tick in found)
    assert len({tick.text for tick in found}) == len(found)


def test_ticks_of_a_hand_made_scale() -> None:
    assert [(tick.at, tick.text) for tick in ticks(Scale(0, 1, 0, 100))] == [
        (0, "0.0"), (20, "0.2"), (40, "0.4"), (60, "0.6"), (80, "0.8"), (100, "1.0"),
    ]  # fmt: skip
    assert [tick.text for tick in ticks(Scale(0.3, 0.7, 0, 100), origin=0.5, signed=True)] == [
        "−0.2", "−0.1", "0.0", "+0.1", "+0.2",
    ]  # fmt: skip


def test_bounds_are_never_empty() -> None:
    for values in ([], [3.0], [0.0, 0.0], [math.nan], [5.0, math.inf]):
        low, high = bounds(values)
        assert math.isfinite(low)
        assert low < high


def test_thinning_keeps_the_mean_and_the_number_of_points() -> None:
    points = tuple((step, float(step % 17)) for step in range(DRAWN * 10))
    thinned = thin(points)
    assert len(thinned) == DRAWN
    assert fmean(value for _, value in thinned) == pytest.approx(fmean(value for _, value in points))
    assert thin(points[:DRAWN]) == points[:DRAWN]


def test_smoothing_changes_no_straight_line_inside_and_no_constant_anywhere() -> None:
    line = tuple((step, float(step)) for step in range(200))
    assert smooth(line)[20:180] == line[20:180]
    flat = tuple((step, 2.0) for step in range(200))
    assert smooth(flat) == flat
    assert smooth(line[:30]) == ()


def test_charts_begin_with_the_loss_and_then_the_metric_the_run_was_judged_by() -> None:
    steps = [Step(step, kind="step", loss=1 / step) for step in range(1, 9)]
    seen = [Measured(at, kind="evaluation", metrics={"loss": 1.0, "accuracy": 0.5, "macro_f1": 0.4}) for at in (4, 8)]
    found = charts(steps, seen, best=4, judged_by="macro_f1")
    assert [chart.name for chart in found] == ["loss", "macro F1", "accuracy"]
    assert all(chart.best == chart.x(4) for chart in found)
    assert [line.name for line in found[0].series] == ["each step", "validation rows"]


def test_a_refused_step_is_marked_and_its_loss_is_not_drawn() -> None:
    steps = [Step(1, kind="step", loss=2.0), Step(2, kind="step", loss=math.nan, refused=True)]
    (chart,) = charts(steps, [], best=None, judged_by="accuracy")
    assert chart.refused == (chart.x(2),)
    assert chart.series[0].points == ((1, 2.0),)


def test_a_run_without_metrics_draws_nothing() -> None:
    assert charts([], [], best=3, judged_by="accuracy") == ()


def test_mended_and_broken_rows_come_largest_change_first_with_labels_in_turn() -> None:
    rows = [
        predicted("a1", 0, 1, "a"), predicted("a2", 0, 1, "a"), predicted("b1", 0, 1, "b"),
        predicted("half", 0.5, 1, "c"), predicted("same", 1, 1), predicted("worse", 0.4, 0.1), predicted("worst", 1, 0),
    ]  # fmt: skip
    found = changes(rows, judged_by="accuracy")
    assert found is not None
    assert found.score == "exact"
    assert [change.row.id for change in found.mended] == ["a1", "b1", "a2", "half"]
    assert [change.row.id for change in found.broken] == ["worst", "worse"]
    assert found.total == 7
    assert found.names == ("improved", "got worse")
    assert changes(rows[:3], judged_by="accuracy").names == ("mended", "broken")  # type: ignore[union-attr]


def test_a_row_whose_error_fell_improved_and_one_whose_error_rose_got_worse() -> None:
    rows = [
        Prediction(name, Answer(scores={"ter": base}), Answer(scores={"ter": tuned}))
        for name, base, tuned in (("fell", 80.0, 20.0), ("rose", 10.0, 30.0))
    ]
    found = changes(rows, judged_by="ter")
    assert found is not None
    assert [change.row.id for change in found.mended] == ["fell"]
    assert [change.row.id for change in found.broken] == ["rose"]


def test_rows_are_chosen_by_the_judged_metric_where_they_carry_it() -> None:
    row = Prediction("r", Answer(scores={"bleu": 9.0, "chrf": 1.0}), Answer(scores={"bleu": 1.0, "chrf": 2.0}))
    found = changes([row], judged_by="chrf")
    assert found is not None
    assert [change.row.id for change in found.mended] == ["r"]
    assert changes([Prediction("r", Answer(), Answer())], judged_by="chrf") is None
    assert changes([], judged_by="chrf") is None


def test_every_row_of_the_ledger_is_counted_once() -> None:
    rows = [Row("1", "kept", "train", tokens=10, supervised=2), Row("2", "kept", "test", tokens=99, supervised=9)]
    rows += [Row(str(index), "left out", reason="empty") for index in range(3, 12)]
    rows += [Row("12", "cut", "train", "too long", 30, 1)]
    found = ledger(rows)
    assert (found.total, found.kept, found.cut, found.left_out) == (12, 2, 1, 9)
    assert [(fate.reason, fate.count, len(fate.ids)) for fate in found.fates] == [("empty", 9, 6), ("too long", 1, 1)]
    assert found.lengths is not None
    assert (found.lengths.longest, found.lengths.supervised, found.lengths.tokens) == (30, 3, 40)
    assert ledger([]).lengths is None


def test_flagged_issues_come_before_severe_ones() -> None:
    found = ((0.9, False), (0.2, True), (0.5, True))
    issues = [Issue(str(severity), (), severity, flagged, "", "") for severity, flagged in found]
    assert [issue.check for issue in worst_first(issues)] == ["0.5", "0.2", "0.9"]


def test_nested_settings_become_flat_names() -> None:
    found = pairs({"a": {"b": 1, "c": [True, None]}, "d": "x"})
    assert [(pair.name, pair.value) for pair in found] == [("a.b", "1"), ("a.c", "yes, none"), ("d", "x")]


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        (figures.number(0.9134), "0.913"),
        (figures.number(-0.02, signed=True), "−0.020"),
        (figures.number(math.nan), "–"),
        (figures.number(1204.5, 1), "1,204.5"),
        (figures.span(0.1, None), ""),
        (figures.span(-1, 2, 1, signed=True), "[−1.0, +2.0]"),
        (figures.count(134_515_008), "134.5 M"),
        (figures.count(4001), "4,001"),
        (figures.duration(0.82), "820 ms"),
        (figures.duration(59.97), "1 min 00 s"),
        (figures.duration(3780), "1 h 03 min"),
        (figures.memory(2.31 * 2**30), "2.31 GiB"),
        (figures.memory(4097), "4 KiB"),
        (figures.memory(812), "812 B"),
        (figures.energy(0.034), "0.03 Wh"),
        (figures.energy(1200), "1.20 kWh"),
        (figures.p_value(0.00001), "p < 0.001"),
        (figures.p_value(0.0312), "p = 0.031"),
        (figures.p_value(None), ""),
        (figures.when("2025-11-22T12:40:11+00:00"), "2025-11-22 12:40 UTC"),
        (figures.when("yesterday"), "yesterday"),
        (spelled("macro_f1"), "macro F1"),
        (spelled("rougeL"), "ROUGE-L"),
        (
            typeset("-47.0 points [-54.5, +1.0], a-1 at 44.0 %"),
            "−47.0 points [−54.5, +1.0], a-1 at 44.0\N{NO-BREAK SPACE}%",
        ),
        (figures.visible("a\r\nb\x1b[0m"), "a\nb␛[0m"),
    ],
)
def test_numbers_read_as_people_write_them(found: str, wanted: str) -> None:
    assert found == wanted


def test_decimals_suit_the_size_of_a_number() -> None:
    assert [figures.places(value) for value in (0.913, 42.1, 5000.0, None)] == [3, 1, 0, 3]


@pytest.mark.parametrize(
    "seconds", [0.0, 0.82, 0.9999, 1.0, 59.9, 59.97, 60.0, 119.6, 3599.7, 3780.0, 90_000.0, math.nan]
)
def test_a_duration_is_said_alike_on_the_page_and_while_training(seconds: float) -> None:
    assert figures.duration(seconds) == spoken(seconds)
