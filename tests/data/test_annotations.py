"""Exports of annotation tools as the tools write them: read by training's own reader, models' guesses never learned."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.data.read import Reading, ReadOptions, read
from luthier.data.save import row_writer
from luthier.errors import DataError
from luthier.types import Json


def readings(folder: Path, *rows: dict[str, Json], options: ReadOptions | None = None) -> Reading:
    path = folder / "x.json"
    path.write_text(json.dumps(list(rows)))
    return read(str(path), options)


def task(*labels: str, name: str = "sentiment", **more: Json) -> dict[str, Json]:
    """A Label Studio task as exported, with one annotation a label."""
    guess: Json = {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": ["guess"]}}
    annotations: list[Json] = [
        {
            "id": at,
            "completed_by": at,
            "was_cancelled": False,
            "ground_truth": False,
            "lead_time": 4.2,
            "result": [{"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": [label]}}],
        }
        for at, label in enumerate(labels)
    ]
    predictions: Json = [{"model_version": "m", "score": 0.9, "result": [guess]}]
    data: Json = {"text": "I like it", "user": "ann"}
    return {"id": 7, "data": data, "annotations": annotations, "predictions": predictions, "project": 3, **more}


def test_a_label_studio_export_is_read_by_majority_and_keeps_everything(tmp_path: Path) -> None:
    row = task("good", "bad", "good")
    (example,) = readings(tmp_path, row, options=ReadOptions(group="user")).examples
    assert (example.question, example.label, example.group) == ("I like it", "good", "ann")
    assert (example.meta["predictions"], example.meta["annotations"]) == (row["predictions"], row["annotations"])


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (task(), "has no annotation, at most predictions or skips"),
        (task("good", "bad"), r"annotators disagree: 'good' \(1\), 'bad' \(1\)"),
        ({**task("a"), "data": {"image": "x.jpg", "title": "y"}}, "which of image, title is the input"),
    ],
)
def test_a_task_without_one_answer_is_refused(row: dict[str, Json], why: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"x\.json:1: .*{why}"):
        readings(tmp_path, row)


def test_of_two_questions_one_is_named(tmp_path: Path) -> None:
    row = task("good")
    other = task("cats", name="topic")
    both: dict[str, Json] = {**row, "annotations": [{"result": [*results(row), *results(other)]}]}
    with pytest.raises(DataError, match="annotated for sentiment, topic; name the one to learn with --output"):
        readings(tmp_path, both)
    assert readings(tmp_path, both, options=ReadOptions(output="topic")).examples[0].label == "cats"
    with pytest.raises(DataError, match="did you mean 'topic'"):
        readings(tmp_path, both, options=ReadOptions(output="topik"))


def results(row: dict[str, Json]) -> list[Json]:
    (annotation,) = row["annotations"]  # type: ignore[misc, union-attr]
    return annotation["result"]  # type: ignore[index, return-value, call-overload]


def test_label_studio_comparisons_and_texts(tmp_path: Path) -> None:
    pairwise: Json = {"from_name": "pw", "to_name": "a,b", "type": "pairwise", "value": {"selected": "right"}}
    compared: dict[str, Json] = {
        "data": {"prompt": "Hi", "a": "Go", "b": "Hello"},
        "annotations": [{"result": [pairwise]}],
    }
    (example,) = readings(tmp_path, compared).examples
    assert [(one.text, one.score) for one in example.completions] == [("Hello", 1.0), ("Go", 0.0)]
    with pytest.raises(DataError, match="'b' and 'a' are the same; remove the row"):
        readings(tmp_path, {**compared, "data": {"prompt": "Hi", "a": "Go", "b": "Go"}})
    texts = [{"from_name": "t", "to_name": "x", "type": "textarea", "value": {"text": [text]}} for text in "ab"]
    written: dict[str, Json] = {"data": {"text": "Hi"}, "annotations": [{"result": [one]} for one in texts]}
    (example,) = readings(tmp_path, written).examples
    assert (example.answer, example.references, example.label) == ("a", ("a", "b"), None)


def test_an_argilla_export_is_read_and_its_suggestions_are_kept(tmp_path: Path) -> None:
    row: dict[str, Json] = {
        "id": "1",
        "status": "completed",
        "fields": {"text": "woof", "hint": "h"},
        "metadata": {"source": "s"},
        "suggestions": {"animal": {"value": "cat", "score": 0.4, "agent": "m"}},
        "responses": {"animal": [{"value": "dog", "user_id": "u"}]},
        "vectors": {},
    }
    reading = readings(tmp_path, row, *[{**row, "responses": {"animal": [{"value": "cat"}]}}] * 5)
    assert reading.labels == ("cat", "dog")
    assert reading.examples[0].label == "dog"
    assert reading.examples[0].meta["suggestions"] == row["suggestions"]
    assert (reading.examples[0].meta["source"], reading.examples[0].meta["fields.hint"]) == ("s", "h")
    with pytest.raises(DataError, match="has no response, at most suggestions"):
        readings(tmp_path, {**row, "responses": {}})


def test_doccano_exports_are_read(tmp_path: Path) -> None:
    rows: list[dict[str, Json]] = [{"id": at, "text": f"t{at}", "label": ["a" if at % 2 else "b"]} for at in range(6)]
    assert readings(tmp_path, *rows).labels == ("a", "b")
    (example,) = readings(tmp_path, {"id": 1, "text": "Hi", "labels": ["Salut", "Bonjour"]}).examples
    assert example.references == ("Salut", "Bonjour")
    with pytest.raises(DataError, match="holds spans or numbers"):
        readings(tmp_path, {"text": "Hi", "label": [[0, 2, "X"]]})
    with pytest.raises(DataError, match="holds no label"):
        readings(tmp_path, {"text": "Hi", "label": []})


def test_prodigy_annotations_are_read_and_rejected_ones_left_out_by_name(tmp_path: Path) -> None:
    hashes: dict[str, Json] = {"_input_hash": 1, "_task_hash": 2}
    options: Json = [{"id": "dog", "text": "Dog"}, {"id": "cat", "text": "Cat"}]
    rows: list[dict[str, Json]] = [
        {"text": "woof", "label": "dog", "answer": "accept", **hashes},
        {"text": "miaow", "options": options, "accept": ["cat"], "answer": "accept", **hashes},
        {"text": "moo", "label": "dog", "answer": "reject", **hashes},
        {"text": "quack", "label": "dog", "answer": "ignore", **hashes},
    ]
    reading = readings(tmp_path, *rows, options=ReadOptions(skip_bad_rows=True))
    assert [row.label for row in reading.examples] == ["dog", "cat"]
    assert ["was rejected" in one.reason or "was ignored" in one.reason for one in reading.left_out] == [True, True]


def test_openai_preferences_and_trl_judgements(tmp_path: Path) -> None:
    turn: Json = {"role": "user", "content": "Hi"}
    answers: list[Json] = [[{"role": "assistant", "content": text}] for text in ("Hello", "Go")]
    row: dict[str, Json] = {
        "input": {"messages": [turn], "tools": [], "parallel_tool_calls": True},
        "preferred_output": answers[0],
        "non_preferred_output": answers[1],
    }
    (example,) = readings(tmp_path, row).examples
    assert [(one.text, one.score) for one in example.completions] == [("Hello", 1.0), ("Go", 0.0)]
    judged: list[dict[str, Json]] = [{"prompt": "Hi", "completion": "Go", "label": label} for label in (True, False)]
    assert [row.completions[0].score for row in readings(tmp_path, *judged).examples] == [1.0, 0.0]
    plain: dict[str, Json] = {"prompt": "Hi", "completion": "Go", "label": "greeting"}
    assert readings(tmp_path, plain).examples[0].completions[0].score == 1.0


def test_a_carriage_return_stays_in_its_cell(tmp_path: Path) -> None:
    with (tmp_path / "x.csv").open("w", newline="") as stream:
        write = row_writer(stream, ",")
        for row in (["text", "label"], ["a\rb", "\rc"], ["d", "e"]):
            write(row)
    assert [(row.question, row.answer) for row in read(str(tmp_path / "x.csv")).examples] == [("a\rb", "c"), ("d", "e")]
