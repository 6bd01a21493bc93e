"""Verdicts, the report's pieces, and predictions.jsonl."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_chat import chosen, folder_of

from luthier.errors import DataError, RunError, ShapeError
from luthier.evaluate import (
    classes_json,
    compare,
    confusions_json,
    evaluation,
    metrics_json,
    read_predictions,
    task_json,
    verdict_json,
    write_predictions,
)
from luthier.stats import holm

GOLD = ["yes", "no"] * 50


def right_in(share: float, *, seed: int = 0) -> list[str]:
    """Answers of which about a share is right."""
    draw = random.Random(seed)
    return [gold if draw.random() < share else {"yes": "no", "no": "yes"}[gold] for gold in GOLD]


def test_a_clear_gain_is_better_and_a_clear_loss_worse() -> None:
    weak, strong = chosen(right_in(0.5), GOLD), chosen(right_in(0.95), GOLD)
    assert compare(weak, strong).word == "better"
    assert compare(weak, strong).rows_needed is None
    assert compare(strong, weak).word == "worse"
    assert compare(weak, strong).sentence.startswith("The tuned model is better: accuracy ")


def test_a_small_gain_on_few_rows_says_how_many_it_would_take() -> None:
    verdict = compare(chosen(right_in(0.60), GOLD), chosen(right_in(0.63, seed=1), GOLD))
    assert verdict.word == "not enough rows to tell"
    assert verdict.difference.low < 0 < verdict.difference.high
    assert verdict.rows_needed is not None
    assert verdict.rows_needed > 100
    assert f"about {verdict.rows_needed:,} rows" in verdict.sentence


def test_equal_models_are_never_told_apart() -> None:
    same = chosen(right_in(0.7), GOLD)
    verdict = compare(same, same)
    assert (verdict.word, verdict.difference.value, verdict.difference.p) == ("no difference", 0, 1)
    assert verdict.rows_needed is None
    assert "came out equal" in verdict.sentence


def test_a_lower_loss_is_better() -> None:
    one = chosen(right_in(0.7), GOLD)
    task = replace(one.task, primary="loss")
    lower = [replace(row, scores={"loss": row.scores["loss"] / 2}) for row in one.rows]
    verdict = compare(evaluation(one.rows, task), evaluation(lower, task))
    assert (verdict.word, verdict.difference.value < 0) == ("better", True)


def test_groups_widen_the_interval() -> None:
    groups = [f"user {at // 20}" for at in range(100)]
    weak, strong = right_in(0.5), [*right_in(0.5)[:20], *GOLD[20:40], *right_in(0.5)[40:]]
    alone = compare(chosen(weak, GOLD), chosen(strong, GOLD))
    grouped = compare(chosen(weak, GOLD, groups=groups), chosen(strong, GOLD, groups=groups))
    assert alone.word == "better"
    assert grouped.word == "not enough rows to tell"
    assert "100 rows in 5 groups" in grouped.sentence


def test_one_group_tells_nothing_and_says_so() -> None:
    weak, strong = (chosen(right_in(share), GOLD, groups=["user"] * 100) for share in (0.2, 0.9))
    verdict = compare(weak, strong)
    assert (verdict.word, verdict.rows_needed) == ("not enough rows to tell", None)
    assert verdict.sentence.endswith(
        "on 100 rows in 1 group. One group says nothing of others; it takes 6 at the least."
    )
    assert verdict_json(verdict)["difference"]["low"] is None


def test_rows_too_few_to_show_anything_are_not_called_equal() -> None:
    for few, word in ((5, "not enough rows to tell"), (6, "no difference")):
        one, other = (chosen(GOLD[:few], GOLD[:few]) for _ in range(2))
        assert compare(one, other).word == word
    few = compare(*(chosen(GOLD[:2], GOLD[:2]) for _ in range(2)))
    assert few.sentence.endswith("on 2 rows. 2 rows say nothing of others; it takes 6 at the least.")


def test_better_is_said_only_when_the_interval_excludes_zero_and_the_test_agrees() -> None:
    words = set()
    for seed in range(40):
        verdict = compare(chosen(right_in(0.6, seed=seed), GOLD), chosen(right_in(0.72, seed=seed + 100), GOLD))
        sure = verdict.difference.low > 0 and verdict.difference.p < 0.05
        assert (verdict.word == "better") is sure
        words.add(verdict.word)
    assert words == {"better", "not enough rows to tell"}


def test_other_metrics_and_classes_are_families_and_the_primary_one_stands_alone() -> None:
    base, tuned = chosen(right_in(0.5), GOLD), chosen(right_in(0.64, seed=3), GOLD)
    found = {name: one["difference"] for name, one in metrics_json(base, tuned).items()}
    others = [name for name in found if name != "accuracy"]
    assert found["accuracy"]["p_family"] == found["accuracy"]["p"]
    assert [found[name]["p_family"] for name in others] == pytest.approx(holm([found[name]["p"] for name in others]))
    claims = [row["difference"] for row in classes_json(base, tuned) or ()]
    assert [one["p_family"] for one in claims] == pytest.approx(holm([one["p"] for one in claims]))
    assert all(one["seen"] == (one["p_family"] < 0.05 and not one["low"] <= 0 <= one["high"]) for one in claims)


def test_twenty_classes_without_a_difference_raise_a_false_alarm_in_few_of_forty_comparisons() -> None:
    names = [f"label {at}" for at in range(20)]
    gold, alone, together = names * 10, 0, 0
    for seed in range(40):
        draw = random.Random(seed)
        base, tuned = (chosen([g if draw.random() < 0.6 else draw.choice(names) for g in gold], gold) for _ in "bt")
        claims = [one["difference"] for one in classes_json(base, tuned) or ()]
        alone += any(one["p"] < 0.05 for one in claims)
        together += any(one["seen"] for one in claims)
    assert together <= 5
    assert alone > 10


def test_other_rows_or_tasks_are_refused() -> None:
    one = chosen(right_in(0.7), GOLD)
    with pytest.raises(ShapeError, match="100 rows, tuned 99"):
        compare(one, evaluation(one.rows[:99], one.task))
    with pytest.raises(ShapeError, match="evaluate both on the same rows"):
        compare(one, evaluation(one.rows[::-1], one.task))
    with pytest.raises(ShapeError, match="one task"):
        compare(one, evaluation(one.rows, replace(one.task, max_new_tokens=3)))


def test_the_order_of_rows_changes_no_metric() -> None:
    one = chosen(right_in(0.7), GOLD)
    turned = evaluation(one.rows[::-1], one.task, resamples=500)
    assert [m.value for m in one.metrics.values()] == pytest.approx([m.value for m in turned.metrics.values()])


def test_loss_is_weighted_by_tokens() -> None:
    one = chosen(["yes", "no"], ["yes", "no"])
    rows = [
        replace(one.rows[0], tokens=3.0, scores={"loss": 1.0}),
        replace(one.rows[1], tokens=1.0, scores={"loss": 5.0}),
    ]
    found = evaluation(rows, one.task).metrics
    assert found["loss"].value == 2.0
    assert found["perplexity"].value == pytest.approx(7.389056)


def test_no_rows_cannot_be_measured() -> None:
    with pytest.raises(DataError, match="no rows"):
        evaluation([], chosen(["yes"], ["yes"]).task)


def test_report_pieces_are_json_and_keep_the_contract() -> None:
    base, tuned = chosen(right_in(0.5), GOLD), chosen(right_in(0.9), GOLD)
    report = {
        "verdict": verdict_json(compare(base, tuned)),
        "task": task_json(tuned.task, tuned),
        "metrics": metrics_json(base, tuned),
        "classes": classes_json(base, tuned),
        "confusions": confusions_json(base, tuned),
    }
    read = json.loads(json.dumps(report, allow_nan=False))
    assert list(read["metrics"]) == ["accuracy", "macro_f1", "loss", "perplexity"]
    for of in (*read["metrics"].values(), read["verdict"]):
        assert set(of["base"]) == {"value", "low", "high"}
        assert set(of["difference"]) == {"value", "low", "high", "p", "p_family", "seen"}
    assert read["verdict"]["difference"] == read["metrics"]["accuracy"]["difference"]
    assert [row["label"] for row in read["classes"]] == ["no", "yes"]
    assert sum(row["support"] for row in read["classes"]) == 100
    counts = [row["count"] for row in read["confusions"]]
    assert counts == sorted(counts, reverse=True)
    assert sum(counts) == sum(row.text != row.label for row in tuned.rows)
    assert sum(row["base_count"] for row in read["confusions"]) == sum(row.text != row.label for row in base.rows)


def test_text_has_no_classes() -> None:
    one = chosen(["yes"], ["yes"])
    text = evaluation(one.rows, replace(one.task, kind="text", labels=(), metrics=("exact", "bleu"), primary="exact"))
    assert classes_json(text, text) is None
    assert confusions_json(text, text) is None
    assert "tok:13a" in text.signatures["bleu"]


def test_predictions_come_back_as_they_were_and_give_the_same_numbers(tmp_path: Path) -> None:
    base, tuned = chosen(right_in(0.5), GOLD), chosen(right_in(0.9), GOLD)
    odd = replace(tuned.rows[0], question="line\u2028break\r\n\x85 «ü»", scores={"loss": 1 / 3})
    rows = (odd, *tuned.rows[1:])
    write_predictions(tmp_path / "predictions.jsonl", rows, base.rows)
    assert folder_of(tmp_path) == ["predictions.jsonl"]
    back, before = read_predictions(tmp_path / "predictions.jsonl")
    assert back == rows
    assert before is not None
    assert [row.text for row in before] == [row.text for row in base.rows]
    assert evaluation(back, tuned.task).metrics == evaluation(rows, tuned.task).metrics


def test_predictions_without_a_base_say_so(tmp_path: Path) -> None:
    one = chosen(["yes"], ["yes"])
    write_predictions(tmp_path / "p.jsonl", one.rows)
    assert read_predictions(tmp_path / "p.jsonl") == (one.rows, None)


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    write_predictions(path, chosen(["yes", "no"], ["yes", "no"]).rows)
    path.write_text(path.read_text().splitlines()[0] + '\n{"id": 3}\n')
    with pytest.raises(RunError, match=r"p\.jsonl:2: not a row"):
        read_predictions(path)
    with pytest.raises(RunError, match="cannot be read"):
        read_predictions(tmp_path / "missing.jsonl")
