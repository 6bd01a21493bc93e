"""Record shapes: what each becomes, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from luthier.data.label import are_labels
from luthier.data.read import Reading, ReadOptions, ask, read
from luthier.errors import DataError
from luthier.types import Example, Json, Message

SHARED = Path(__file__).parents[3] / "shared" / "data"


def readings(folder: Path, *rows: dict[str, Json], options: ReadOptions | None = None) -> Reading:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read(str(path), options)


def first(folder: Path, row: dict[str, Json], options: ReadOptions | None = None) -> Example:
    return readings(folder, row, options=options).examples[0]


def said(turns: tuple[Message, ...]) -> list[tuple[str, str]]:
    return [(turn.role, turn.content) for turn in turns]


def turn(role: str, content: Json, **fields: Json) -> dict[str, Json]:
    return {"role": role, "content": content, **fields}


def test_prompt_and_completion(tmp_path: Path) -> None:
    example = first(tmp_path, {"prompt": "Hi", "completion": " Hello", "source": 3})
    assert (said(example.prompt), said(example.completions[0].messages)) == (
        [("user", "Hi")],
        [("assistant", " Hello")],
    )
    assert (example.label, example.meta, example.source) == (None, {"source": 3}, "x.jsonl")


def test_prompt_and_completion_as_messages_learn_the_completion_alone(tmp_path: Path) -> None:
    prompt: list[Json] = [turn("user", "a"), turn("assistant", "b"), turn("user", "c")]
    example = first(tmp_path, {"prompt": prompt, "completion": [turn("assistant", "d")]})
    assert [message.train for message in example.prompt] == [None, False, None]
    assert example.answer == "d"


def test_messages_keep_their_weights_tools_and_calls(tmp_path: Path) -> None:
    call: Json = [{"function": {"name": "find", "arguments": {}}}]
    messages: list[Json] = [
        turn("developer", "Be kind."),
        turn("user", [{"type": "text", "text": "Hi"}]),
        turn("assistant", None, tool_calls=call, weight=0),
        turn("tool", "42", tool_call_id="1"),
        turn("assistant", "It is 42.", weight=0.5),
    ]
    example = first(tmp_path, {"messages": messages, "tools": json.dumps([{"name": "find"}])})
    assert [role for role, _ in said(example.prompt)] == ["system", "user", "assistant", "tool"]
    assert example.prompt[2].fields == {"tool_calls": call}
    assert (example.prompt[2].weight, example.prompt[2].train) == (0.0, None)
    assert example.prompt[3].fields == {"tool_call_id": "1"}
    assert example.completions[0].messages[0].weight == 0.5
    assert example.tools == ({"name": "find"},)


def test_sharegpt(tmp_path: Path) -> None:
    turns: list[Json] = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    example = first(tmp_path, {"system": "Be kind.", "conversations": turns})
    assert said(example.prompt) == [("system", "Be kind."), ("user", "Hi")]
    assert example.answer == "Hello"


def test_alpaca(tmp_path: Path) -> None:
    rows: list[dict[str, Json]] = [
        {"instruction": "Add.", "input": "1 2", "output": "3"},
        {"instruction": "Say hi.", "input": "", "output": "hi"},
    ]
    assert [example.question for example in readings(tmp_path, *rows).examples] == ["Add.\n\n1 2", "Say hi."]


def test_text_and_label(tmp_path: Path) -> None:
    reading = readings(tmp_path, {"text": "a", "label": " x "}, {"text": "b", "label": 3}, {"text": "c", "label": True})
    assert [(example.label, example.answer) for example in reading.examples] == [
        ("x", "x"),
        ("3", "3"),
        ("true", "true"),
    ]
    assert reading.labels == ("3", "true", "x")


def test_pairs_of_texts_messages_and_answers(tmp_path: Path) -> None:
    dialogue = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: How?\n\nAssistant: "
    shared: list[Json] = [turn("user", "Hi"), turn("assistant", "Yes?"), turn("user", "How?")]
    rows: list[dict[str, Json]] = [
        {"chosen": dialogue + "Well.", "rejected": dialogue + "Badly."},
        {"chosen": [*shared, turn("assistant", "Well.")], "rejected": [*shared, turn("assistant", "Badly.")]},
        {"prompt": shared, "chosen": "Well.", "rejected": "Badly."},
        {"prompt": shared, "chosen": [turn("assistant", "Well.")], "rejected": [turn("assistant", "Badly.")]},
        {"prompt": shared, "chosen": [*shared, turn("assistant", "Well.")], "rejected": "Badly."},
    ]
    for row in rows:
        example = first(tmp_path, row)
        assert said(example.prompt) == [("user", "Hi"), ("assistant", "Yes?"), ("user", "How?")]
        assert example.prompt[1].train is False
        assert [(c.text, c.score) for c in example.completions] == [("Well.", 1.0), ("Badly.", 0.0)]


REFUSED: dict[str, tuple[dict[str, Json], str]] = {
    "one turn": ({"messages": [turn("assistant", "a")]}, "'messages' has one turn"),
    "no list": ({"messages": "a"}, "'messages' is not a list of messages"),
    "ends with the user": ({"messages": [turn("user", "a"), turn("user", "b")]}, "does not end with an assistant"),
    "empty answer": ({"messages": [turn("user", "a"), turn("assistant", " ")]}, "'messages' ends with an empty turn"),
    "role": ({"messages": [turn("usr", "a")]}, r"messages\[0\]: 'usr' is not a role; did you mean 'user'"),
    "content": ({"messages": [turn("user", 3)]}, r"messages\[0\]: 'content' is int, not text"),
    "image": ({"messages": [turn("user", [{"type": "image_url"}])]}, "a part of type 'image_url'; only text is read"),
    "weight": ({"messages": [turn("user", "a", weight=-1)]}, r"messages\[0\]: 'weight' is -1; write a number from 0"),
    "train": ({"messages": [turn("user", "a", train="no")]}, "'train' is 'no'; write true or false"),
    "train user": ({"messages": [turn("user", "a", train=True)]}, "only the assistant's are learned"),
    "nothing": ({"messages": [turn("user", "a"), turn("assistant", "b", weight=0)]}, "has no turn to learn"),
    "tools": ({"messages": [turn("user", "a")], "tools": "{"}, "'tools' is not JSON|does not end|one turn"),
    "same": ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: b"}, "are the same"),
    "no question": ({"chosen": "a", "rejected": "b"}, "'chosen' is an answer without a question; add a 'prompt'"),
    "part early": (
        {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: b"},
        "parts from the prompt at a user turn",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_record_that_cannot_be_learned_from_is_refused(case: str, tmp_path: Path) -> None:
    row, message = REFUSED[case]
    with pytest.raises(DataError, match=r"x\.jsonl:1: .*" + message):
        first(tmp_path, row)


def test_answers_are_labels_by_the_stated_rule() -> None:
    assert are_labels(["yes", "no"] * 3)
    assert not are_labels(["yes", "no"] * 2)
    assert are_labels(["yes", "no"], "Category")
    assert not are_labels(["yes"] * 9)
    assert not are_labels(["yes", "n\no"] * 9)
    assert not are_labels(["yes", "n" * 101] * 9)
    assert are_labels([str(number) for number in range(20)] * 3)
    assert not are_labels([str(number) for number in range(21)] * 3)
    assert not are_labels([f"class {number}" for number in range(301)] * 3)


def test_the_instruction_lists_the_labels_and_is_the_same_for_the_test_file_and_in_serving(tmp_path: Path) -> None:
    options = ReadOptions(system="Be kind.", instruction="Choose:\n{labels}")
    rows: list[dict[str, Json]] = [{"text": "a", "label": "y"}, {"text": "b", "label": "x"}]
    train = readings(tmp_path, *rows, options=options)
    expected = [("system", "Be kind."), ("user", "Choose:\nx\ny\n\na")]
    assert said(train.examples[0].prompt) == expected
    path = tmp_path / "x.jsonl"
    path.write_text('{"text": "a", "label": "y"}\n')
    assert said(read(str(path), options, labels=train.labels).examples[0].prompt) == expected
    assert said(ask("a", options, labels=train.labels)) == expected


def test_an_instruction_with_labels_needs_labels(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"instruction: holds '\{labels\}', but the answers are not labels"):
        first(tmp_path, {"prompt": "a", "completion": "b"}, ReadOptions(instruction="{labels}"))


def test_a_system_message_that_is_there_stays(tmp_path: Path) -> None:
    row: dict[str, Json] = {"messages": [turn("system", "Mine."), turn("user", "a"), turn("assistant", "b")]}
    assert said(first(tmp_path, row, ReadOptions(system="Other.")).prompt) == [("system", "Mine."), ("user", "a")]


def test_groups_come_from_the_named_column(tmp_path: Path) -> None:
    example = first(tmp_path, {"prompt": "a", "completion": "b", "user": 7}, ReadOptions(group="user"))
    assert example.group == "7"


needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")


@needs_data
@pytest.mark.parametrize(
    ("name", "options", "rows", "left_out", "labels"),
    [
        ("banking77/train.csv", ReadOptions(input="text", output="category"), 10003, 0, 77),
        ("gsm8k/test.jsonl", ReadOptions(input="question", output="answer"), 1319, 0, None),
        ("e2e-cleaned/train.csv", ReadOptions(input="mr", output="ref"), 4299, 0, None),
        ("hh-harmless/test.jsonl.gz", ReadOptions(skip_bad_rows=True), 2312, 4, None),
    ],
)
def test_real_files_read(name: str, options: ReadOptions, rows: int, left_out: int, labels: int | None) -> None:
    reading = read(str(SHARED / name), options)
    assert (reading.file.rows, len(reading.left_out)) == (rows, left_out)
    assert len(reading.examples) == rows - left_out
    assert (len(reading.labels) if reading.labels else None) == labels
