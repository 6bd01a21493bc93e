"""`calibration` of report.json: its pieces agree, and the temperature never sees what it is judged on."""

from __future__ import annotations

import json
from dataclasses import replace
from math import exp, log
from pathlib import Path

import numpy as np
import pytest
from tiny_chat import labelled, tiny_model

from luthier.evaluate import (
    EvaluateOptions,
    Evaluation,
    Row,
    Task,
    calibration_json,
    evaluate,
    evaluation,
    infer,
    read_predictions,
    write_predictions,
)
from luthier.evaluate.calibration import confident
from luthier.model.choose import choose_by_all

LABELS = ("a", "b", "c")
TASK = Task("choice", LABELS, ("accuracy",), "accuracy", 16)


def said(n: int, *, sharpness: float, seed: int, task: Task = TASK) -> Evaluation:
    """Answers of a model whose log-probabilities are `sharpness` times those the labels are drawn from."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=(n, 3)) * 2
    truth -= np.log(np.exp(truth).sum(axis=1, keepdims=True))
    gold = (np.exp(truth).cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    rows = []
    for at, (line, right) in enumerate(zip(truth * sharpness, gold, strict=True)):
        options = {LABELS[place]: float(line[place]) for place in np.argsort(-line)}
        best = next(iter(options))
        row = Row(f"t:{at}", "?", (LABELS[right],), LABELS[right], None, 1.0, best, options[best], {"loss": 1.5})
        rows.append(replace(row, options=options, left_out=0.0))
    return evaluation(rows, task, resamples=300)


def test_a_temperature_of_validation_rows_mends_the_confidence_of_test_rows() -> None:
    fair, sure = said(600, sharpness=1, seed=0), said(600, sharpness=3, seed=0)
    found = calibration_json(fair, sure, said(600, sharpness=3, seed=1))
    assert found is not None
    told = json.loads(json.dumps(found, allow_nan=False))
    assert told["temperature"]["value"] == pytest.approx(3, rel=0.2)
    assert told["temperature"]["fitted_on"] == 600
    assert told["tuned"]["ece"]["low"] > told["temperature"]["tuned"]["ece"]["value"]
    assert told["difference"]["ece"]["low"] > 0
    assert told["temperature"]["difference"]["log_loss"]["high"] < 0
    assert told["tuned"]["accuracy"] == told["temperature"]["tuned"]["accuracy"]
    for side in (told["base"], told["tuned"]):
        assert sum(one["n"] for one in side["reliability"]) == 600
        assert side["abstention"][0]["accuracy"]["value"] == side["accuracy"]["value"]
        assert all(0 <= one["low"] <= one["value"] <= one["high"] for one in (side["ece"], side["brier"]))


def test_an_error_that_chance_explains_is_called_no_miscalibration_and_a_larger_one_is() -> None:
    found = calibration_json(said(400, sharpness=1, seed=4), said(400, sharpness=3, seed=4))
    assert found is not None
    told = json.loads(json.dumps(found))
    fair, sure = told["base"], told["tuned"]
    for name in ("ece", "ece_adaptive"):
        assert fair[name]["value"] < fair["if_calibrated"][name]["high"] < 0.1
        assert not fair["if_calibrated"][name]["miscalibrated"]
        assert sure[name]["value"] > sure["if_calibrated"][name]["high"]
        assert sure["if_calibrated"][name]["miscalibrated"]
    assert fair["sentence"].startswith("No miscalibration to be seen")
    assert sure["sentence"].startswith("Its confidence is off")
    assert "400 rows" in sure["sentence"]


def test_without_validation_rows_no_temperature_is_fitted() -> None:
    one = said(50, sharpness=3, seed=0)
    found = calibration_json(one, one)
    assert found is not None
    assert found["temperature"] is None


def test_rows_without_probabilities_have_no_calibration() -> None:
    one = said(20, sharpness=1, seed=0)
    older = evaluation([replace(row, options={}) for row in one.rows], TASK)
    assert calibration_json(older, one) is None


def test_rows_marked_out_of_scope_are_told_by_confidence_alone() -> None:
    task = replace(TASK, out_of_scope="c")
    one = said(300, sharpness=1, seed=0, task=task)
    found = calibration_json(one, one)
    assert found is not None
    assert found["tuned"]["out_of_scope_auroc"]["low"] > 0.5  # type: ignore[index,call-overload]
    blind = [replace(row, options=dict.fromkeys(LABELS, -1.0)) for row in one.rows]
    told = calibration_json(evaluation(blind, task), one)
    assert told is not None
    assert told["base"]["out_of_scope_auroc"]["value"] == 0.5  # type: ignore[index,call-overload]
    assert (
        "out_of_scope_auroc"
        not in calibration_json(said(9, sharpness=1, seed=0), said(9, sharpness=1, seed=0))["tuned"]
    )  # type: ignore[index,operator]


def test_a_right_label_that_was_left_out_costs_at_least_what_is_known() -> None:
    row = Row("t:1", "?", ("c",), "c", None, 1.0, "a", log(0.7), {"loss": 1.5}, options={"a": log(0.7), "b": log(0.2)})
    found = confident([row], LABELS)
    assert found is not None
    assert np.exp(found.logits[0]).tolist() == pytest.approx([0.7, 0.2, 0.2])


def test_the_confidence_of_a_model_is_its_share_of_all_labels_by_brute_force() -> None:
    model = tiny_model()
    rows = [labelled(f"a:{at}", text, LABELS[at % 3]) for at, text in enumerate(("hi", "why", "where", "who"))]
    task = infer(rows, tokenizer=model.tokenizer)
    found = evaluate(model, rows, task, margin=50)
    from luthier.data.render import continuations, prompt_tokens

    for row, example in zip(found.rows, rows, strict=True):
        prompt = prompt_tokens(example, model.tokenizer)
        (all_,) = choose_by_all(model, [prompt], continuations(example, task.labels, model.tokenizer))
        chances = {label: exp(value) for label, value in zip(task.labels, all_.logprobs, strict=True)}
        assert row.confidence == pytest.approx(chances[row.text] / sum(chances.values()), rel=1e-4)
        assert list(row.options) == sorted(chances, key=lambda label: -chances[label])
    assert all(row.confidence is None for row in evaluate(model, rows, task).rows)


def test_predictions_keep_confidence_and_endings_and_older_files_open_without_them(tmp_path: Path) -> None:
    rows = said(5, sharpness=1, seed=0).rows
    write_predictions(tmp_path / "p.jsonl", rows, rows[:2])
    assert read_predictions(tmp_path / "p.jsonl") == (rows, rows[:2])
    lines = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert lines[0]["tuned"]["confidence"] == rows[0].confidence
    ended = [replace(row, finished=True, options={}, left_out=None) for row in rows]
    write_predictions(tmp_path / "q.jsonl", ended)
    assert read_predictions(tmp_path / "q.jsonl")[0] == tuple(ended)
    older = {name: value for name, value in lines[0].items() if name != "bytes"}
    older["base"] = None
    older["tuned"] = {name: lines[0]["tuned"][name] for name in ("text", "logprob", "scores")}
    (tmp_path / "old.jsonl").write_text(json.dumps(older) + "\n")
    (row,), _ = read_predictions(tmp_path / "old.jsonl")
    assert (row.finished, row.confidence, row.bytes) == (None, None, 1)


def test_the_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="margin is -1"):
        EvaluateOptions(margin=-1)
    model = tiny_model()
    rows = [labelled("a:1", "hi", "yes"), labelled("a:2", "ho", "no")]
    with pytest.raises(ValueError, match="'maybe' is no label"):
        infer(rows, EvaluateOptions(out_of_scope="maybe"), tokenizer=model.tokenizer)
