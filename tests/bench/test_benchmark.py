"""The benchmark's own arithmetic and its manners; it measures nothing here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import page
import pytest
import torch
from environment import Machine
from limit import Counts, Shape, flops, rate
from marked import END, begun
from prepare import RECIPES
from recorded import record, recorded
from tuned import PLAIN, Settings, Trial, search
from work import Measured, Order, Row, Work, fingerprint

BEGIN = begun("bench/run.py")
SHAPE = Shape(layers=1, heads=2, head_width=4, width=8, vocabulary=11, linears=((8, 8), (8, 24)), lowest=((8, 8),))
COUNTS = Counts(distinct=5, logical=9, seen=12, scored=3, supervised=4)
WORK = Work("b", "short", 2, (Row("f:1", "ask", "answer", (("user", "ask"),)),), (COUNTS, COUNTS), SHAPE)
MACHINE = Machine("a processor", 2, ("avx2",), 16.0, "Linux", 0.0)


def run(seconds: float, *, loss: float = 2.0, arm: str = "trl", peak: int = 900) -> Measured:
    return Measured(arm, "b", 0, 1, (9.0, seconds), (loss, loss - 1), peak, 1e6, 5, "float32", "same", {}, {})


def finding(ours: float, theirs: float) -> page.Finding:
    arms = {"Luthier": [run(ours)], "TRL as it comes": [run(theirs)], "TRL tuned": [run(theirs)]}
    trials = [Trial("batch of 4", {"batch": 4}, None, None, "failed: no compiler")]
    return page.Finding(
        WORK, RECIPES["b"], {"Luthier": run(ours), "TRL": run(theirs)}, arms, PLAIN, trials, "make bench"
    )


def test_the_limit_is_the_formula_worked_out_by_hand() -> None:
    trunk = 2 * 256 * 5 + (2 * 256 * 5 - 2 * 64 * 5)
    attention = 4 * 2 * 4 * 1 * 12 * 3
    head = 2 * 8 * 11 * 3 * 2
    adapters = 6 * 2 * (16 + 32) * 5
    assert flops(SHAPE, COUNTS, rank=2) == trunk + attention + head + adapters
    assert flops(SHAPE, COUNTS, rank=None) == 3 * 2 * 256 * 5 + attention + head * 3 / 2


def test_a_matrix_product_rate_is_positive_and_finite() -> None:
    assert 0 < rate(SHAPE, rows=64, dtype=torch.float32, repeats=1) < float("inf")


def test_work_orders_and_measurements_travel_as_text(tmp_path: Path) -> None:
    WORK.save(tmp_path / "work.json")
    assert Work.open(tmp_path / "work.json") == WORK
    assert Measured.from_line(run(1.0).line()) == run(1.0)
    order = Order(tmp_path, tmp_path, 3, 1, 7, 2, {"batch": 4})
    assert order.arguments()[-1] == '--settings={"batch": 4}'


def test_a_fingerprint_tells_other_tokens_other_learning_and_another_order() -> None:
    rows = [([1, 2, 3], [2]), ([1, 4], [1])]
    others = [[([1, 2, 4], [2]), rows[1]], [([1, 2, 3], [1, 2]), rows[1]], rows[::-1]]
    assert len({fingerprint(rows), *map(fingerprint, others)}) == 4


def test_tuning_keeps_what_is_faster_and_right_and_nothing_that_is_wrong() -> None:
    def arm(settings: Settings) -> Measured:
        if settings.get("padding_free"):
            return run(1.0, loss=2.5)
        if settings.get("torch_compile"):
            return replace(run(0.0), failed="no compiler")
        return run(4.0 if settings.get("batch") == 4 else 5.0)

    best, trials = search(arm, rows_per_step=16, loss=2.0, free_bytes=10**12)
    assert best == {**PLAIN, "batch": 4}
    remarks = {trial.name: trial.remark for trial in trials}
    assert remarks["no padding"].startswith("wrong")
    assert "no compiler" in remarks["torch.compile"]
    assert "batch of 32" not in remarks


def test_a_batch_that_would_not_fit_is_left_out_and_said_so() -> None:
    _, trials = search(lambda _: run(5.0, peak=8 * 10**9), rows_per_step=32, loss=2.0, free_bytes=5 * 10**9)
    assert next(trial for trial in trials if trial.name == "batch of 16").remark.startswith("left out")


@pytest.mark.parametrize(("theirs", "said"), [(41.0, "| reached |"), (39.0, "| **not reached** |")])
def test_the_page_says_plainly_whether_a_bar_is_reached(tmp_path: Path, theirs: float, said: str) -> None:
    text = tmp_path / "benchmarks.md"
    text.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    page.write(text, MACHINE, [finding(10.0, theirs)])
    written = text.read_text()
    assert said in next(line for line in written.splitlines() if "TRL as it comes | " in line)
    assert written.startswith("before\n")
    assert written.endswith("\nafter\n")
    assert "| batch of 4 |  |  | failed: no compiler |" in written
    assert "old" not in written
    assert "`make bench`" in written


def test_what_was_recorded_is_read_back_and_another_machine_is_refused(tmp_path: Path) -> None:
    WORK.save(tmp_path / "b.json")
    results = tmp_path / "results.jsonl"
    one = replace(finding(10.0, 30.0), settings={**PLAIN, "batch": 4})
    record(results, MACHINE, [one])
    assert list(recorded(results, MACHINE, tmp_path)) == [one]
    with pytest.raises(SystemExit, match="not here"):
        list(recorded(results, replace(MACHINE, processor="another"), tmp_path))


def test_where_nothing_is_drawn_no_noise_is_spoken_of() -> None:
    one = finding(10.0, 30.0)
    twice = {name: runs * 2 for name, runs in one.arms.items()}
    said = page.losses(replace(one, arms=twice, work=replace(WORK, full=True)))
    assert "nothing is drawn" in said
    assert "within" not in said.lower()
    assert "within" in page.losses(replace(one, arms=twice))


def test_more_than_all_that_is_possible_is_refused(tmp_path: Path) -> None:
    text = tmp_path / "benchmarks.md"
    text.write_text(f"{BEGIN}\n{END}\n")
    with pytest.raises(SystemExit, match="measured wrongly"):
        page.write(text, MACHINE, [finding(1e-4, 1.0)])


def test_a_page_without_its_marks_is_left_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "benchmarks.md"
    text.write_text("mine\n")
    with pytest.raises(SystemExit, match="no place"):
        page.write(text, MACHINE, [finding(10.0, 30.0)])
    assert text.read_text() == "mine\n"


@pytest.mark.parametrize(
    ("ours", "said"), [(2.03, "0.0100 above TRL, within it"), (1.5, "0.5200 below TRL, NOT within it")]
)
def test_it_is_said_whether_both_sides_end_alike(ours: float, said: str) -> None:
    one = finding(10.0, 30.0)
    arms = {
        name: [run(10.0, loss=mid - 0.05), run(10.0, loss=mid + 0.05)]
        for name, mid in zip(one.arms, (ours, 2.02, 2.02), strict=True)
    }
    told = page.losses(replace(one, arms=arms))
    assert "Seeds of one arm span up to 0.1000" in told
    assert "In float32 the two end 0.0000 apart, within that" in told
    assert said in told
