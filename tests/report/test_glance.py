"""What stands on the first screen is what the run's files say, and what was not measured is not made up."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from luthier import report
from luthier.report.calibration import calibration_view
from luthier.report.curves import charts
from luthier.report.folder import Run, read_run
from luthier.report.glance import Line, above, best_bar, glance, got_worse
from luthier.report.glance import _bar as bar_line
from luthier.report.records import (
    Bar,
    Beside,
    ClassResult,
    Comparison,
    Forgetting,
    Interval,
    Measured,
    Report,
    Step,
    Verdict,
)
from luthier.report.worse import worse


def line(run: Run, name: str) -> Line:
    return next(one for one in glance(run) if one.name == name)


def judged(metrics: dict[str, Interval], classes: dict[str, Interval] | None = None) -> Report:
    """A run judged by accuracy on 500 rows."""
    return Report(
        title="t",
        verdict=Verdict("better", "accuracy", n=500),
        metrics={
            "accuracy": Comparison(difference=Interval(0.1, 0.05, 0.15, p=0.001)),
            **{name: Comparison(difference=one) for name, one in metrics.items()},
        },
        classes=tuple(ClassResult(name, difference=one) for name, one in (classes or {}).items()) or None,
    )


LOST = Interval(-0.04, -0.06, -0.02, p=0.001, p_family=0.002, seen=True)
UNSURE = Interval(-0.04, -0.06, -0.001, p=0.04, p_family=0.08, seen=False)


def test_a_metric_that_is_seen_to_fall_is_named_with_its_interval() -> None:
    found = got_worse(judged({"macro_f1": LOST}))
    assert (found.value, found.tone) == ("macro F1 −0.040 [−0.060, −0.020]", "worse")
    assert found.note == "of 1 other metrics, corrected for their number; 500 rows"


def test_a_fall_that_does_not_survive_the_correction_is_none() -> None:
    found = got_worse(judged({"macro_f1": UNSURE}, {"a": UNSURE, "b": UNSURE}))
    assert found.value == "nothing that these rows show"
    assert "1 other metrics and 2 classes" in found.note


def test_a_loss_that_rises_is_worse_and_one_that_falls_is_not() -> None:
    risen = Interval(0.3, 0.1, 0.5, p=0.001, seen=True)
    assert [name for name, _ in worse(judged({"loss": risen})).metrics] == ["loss"]
    assert not worse(judged({"loss": LOST})).found


def test_a_run_that_did_not_correct_is_corrected_for_all_it_claimed() -> None:
    fell = Interval(-0.04, -0.06, -0.02, p=0.02)
    assert worse(judged({"macro_f1": fell})).found
    still = {name: Interval(0.0, -0.1, 0.1, p=1.0) for name in ("a", "b")}
    assert not worse(judged({"macro_f1": fell, **still})).found


def test_the_classes_that_fell_most_are_named_first_and_the_others_counted() -> None:
    fell = {name: replace(LOST, value=-0.1 * at) for at, name in enumerate("abcde", start=1)}
    said = got_worse(judged({}, fell)).value
    assert said.startswith("e F1 −0.5")
    assert said.endswith("and 2 more classes")


def test_forgetting_is_told_where_it_was_measured_and_else_said_to_be_missing(kept: Path) -> None:
    run = read_run(kept / "choice")
    assert line(run, "forgot").value == "not measured"
    lost = Forgetting("It forgot: general questions 61 % to 40 %.", word="forgot")
    told = line(replace(run, report=replace(run.report, forgetting=lost)), "forgot")
    assert (told.value, told.tone) == (lost.sentence, "worse")


def test_a_simple_method_that_is_above_the_tuned_model_is_marked(kept: Path) -> None:
    run = read_run(kept / "choice")
    assert line(run, "no language model").tone == ""
    bars = (Bar("majority", "accuracy", 0.1), Bar("linear", "accuracy", 0.99, 0.98, 1.0, 600, "test"))
    told = line(replace(run, report=replace(run.report, baselines=bars)), "no language model")
    assert told.tone == "worse"
    assert told.value == "linear: accuracy 0.990 [0.980, 1.000] on 600 test rows"


def test_the_cost_has_time_energy_and_tokens(kept: Path) -> None:
    told = line(read_run(kept / "choice"), "cost")
    assert told.value == "24 min 57 s, 11.4 Wh (assumed)"
    assert told.note == "558,000 tokens computed for 2.0 M read"


def test_a_run_without_test_rows_claims_nothing_at_first_sight(unmeasured: Path) -> None:
    assert [one.name for one in glance(read_run(unmeasured))] == ["cost", "watch out"]


def test_the_losses_stand_side_by_side_and_the_gap_has_its_intervals() -> None:
    looks = [
        Measured(at, "evaluation", n=9, metrics={"loss": 1.5}, train=Beside(9, 1.0), gap=Interval(0.5, 0.25, 0.75))
        for at in (0, 4, 8)
    ]
    loss, gap = charts([Step(at, "step", loss=1.0) for at in range(9)], looks, best=8, judged_by="loss")
    assert [one.style for one in loss.series] == ["only", "learned", "validation"]
    assert gap.name == "gap"
    assert list(gap.series[0].points) == [(4, 0.5), (8, 0.5)]
    assert gap.bars[0] == (gap.x(4), gap.y(0.25), gap.y(0.75))
    assert gap.zero == gap.y(0.0)


def test_a_reliable_model_stands_on_the_diagonal(kept: Path) -> None:
    found = calibration_view(read_run(kept / "choice").report.calibration)
    assert found is not None
    reliability, abstention = found.pictures
    tuned = reliability.sides[1].marks
    assert tuned[0].y > reliability.frame.height / 2 > tuned[-1].y
    assert all(mark.high <= mark.y <= mark.low for mark in tuned)
    assert "120 rows: sure 0.300, right 0.220" in tuned[1].title
    assert [side.name for side in abstention.sides] == ["base", "tuned"]
    assert found.scores[0].name.startswith("calibration error")


def test_the_page_says_of_each_model_whether_chance_explains_its_calibration_error(kept: Path) -> None:
    found = calibration_view(read_run(kept / "choice").report.calibration)
    assert found is not None
    assert [(name, sentence) for name, _, sentence in found.told] == [
        ("base", "Its confidence is off."),
        ("tuned", "Its confidence is off."),
        ("tuned, cooled", "No miscalibration to be seen."),
    ]
    assert {score.name: score.chance for score in found.scores if score.chance} == {
        "calibration error, 15 equal bins": (0.043, 0.043, 0.043)
    }


def test_the_page_says_why_a_short_run_looked_for_longer_than_is_allowed(run: Path) -> None:
    facts = json.loads((run / "report.json").read_text())
    assert "always made" not in report.write(run).read_text()
    facts["looks"]["share"] = 0.442
    (run / "report.json").write_text(json.dumps(facts))
    page = report.write(run).read_text()
    assert "looking took 44.2 % of the time of training (10 % are allowed for looks on the way, but the first" in page


def test_the_page_says_how_sacrebleu_counted(kept: Path) -> None:
    assert "nrefs:var|tok:13a|version:2.6.0" in report.write(kept / "text").read_text()
    assert "as sacreBLEU counts it" not in report.write(kept / "choice").read_text()


@pytest.mark.parametrize("name", ["warnings", "looks", "validation", "calibration", "baselines"])
def test_a_page_is_made_without_what_an_older_run_lacks(run: Path, name: str) -> None:
    facts = json.loads((run / "report.json").read_text())
    (run / "report.json").write_text(json.dumps({key: value for key, value in facts.items() if key != name}))
    assert report.write(run).stat().st_size > 10_000


def test_of_distances_the_smallest_simple_method_is_the_bar_and_marked_where_it_is_below_the_tuned_model() -> None:
    bars = (Bar("ridge", "mae", 16.5, 12.0, 20.0, 18, "test"), Bar("constant", "mae", 20.0, 15.0, 25.0, 18, "test"))
    verdict = Verdict("better", "mae", tuned=Interval(18.2, 11.0, 44.5), n=18)
    made = Report(title="t", verdict=verdict, baselines=bars)
    assert best_bar(made) == bars[0]
    (told,) = bar_line(made)
    assert told.value.startswith("ridge: mean absolute error 16.5")
    assert told.tone == "worse"
    assert above(made, bars[0])
    (told,) = bar_line(replace(made, verdict=replace(verdict, tuned=Interval(15.0))))
    assert told.tone == ""
