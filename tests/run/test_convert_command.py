"""`luthier convert` as a newcomer meets it: what is written, what is lost and said, what is refused and why."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from luthier.cli import app
from luthier.data.formats import formats
from luthier.data.read import ReadOptions, read

SHARED = Path(__file__).parents[3] / "shared" / "data"
needs_data = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")


def luthier(*words):
    return CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(word) for word in words])


def lines(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def said(done):
    return " ".join(done.output.split())


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "animals.csv"
    path.write_text("text,label,user\nwoof,dog,ann\nmiaow,cat,bob\n")
    return path


def test_help_names_every_format():
    shown = luthier("convert", "--help").output
    assert [name for name in formats if name not in shown] == []


def test_rows_are_written_and_read_back_and_it_is_said(table, tmp_path):
    done = luthier("convert", table, tmp_path / "out.json", "--to", "label-studio")
    assert done.exit_code == 0, done.output
    assert "2 of 2 rows as labelstudio" in said(done)
    assert "nothing is lost" in said(done)
    first = read(str(tmp_path / "out.json")).examples[0]
    assert (first.question, first.label, first.meta["user"]) == ("woof", "dog", "ann")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_another_encoding_is_refused_with_the_flag_that_reads_it_and_written_as_utf8(tmp_path):
    source, target = tmp_path / "cafes.csv", tmp_path / "out.jsonl"
    source.write_bytes("text,label\nZOË !,x\nschön im Café,y\n".encode("cp1252"))
    done = luthier("convert", source, target, "--to", "label")
    assert done.exit_code == 2
    assert "--encoding cp1252" in said(done)
    done = luthier("convert", source, target, "--to", "label", "--encoding", "cp1252")
    assert done.exit_code == 0, done.output
    assert [row.question for row in read(str(target)).examples] == ["ZOË !", "schön im Café"]


def test_a_preference_file_is_no_alpaca_unless_its_loss_is_allowed(tmp_path):
    source = lines(tmp_path / "p.jsonl", {"prompt": "Hi", "chosen": "Hello", "rejected": "Go away", "n": 1})
    target = tmp_path / "out.jsonl"
    done = luthier("convert", source, target, "--to", "alpaca")
    assert done.exit_code == 2
    assert "p.jsonl:1: would lose: other answers" in said(done)
    assert not target.exists()
    done = luthier("convert", source, target, "--to", "alpaca", "--allow-loss", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["lost"] == [{"kind": "other answers", "count": 1, "rows": ["p.jsonl:1"]}]
    assert json.loads(target.read_text())["output"] == "Hello"


def test_rows_that_cannot_be_held_are_named_and_the_exit_code_is_1(tmp_path):
    turns = [{"role": role, "content": role} for role in ("user", "assistant")]
    source = lines(tmp_path / "m.jsonl", {"messages": turns}, {"messages": [*turns, *turns]})
    done = luthier("convert", source, tmp_path / "out.csv", "--to", "alpaca")
    assert done.exit_code == 1, done.output
    assert "1 of 2 rows as alpaca" in said(done)
    assert "conversation of several turns" in said(done)
    assert "m.jsonl:2" in said(done)


def test_a_table_is_given_no_conversation_even_where_losses_are_allowed(tmp_path):
    turns = [{"role": role, "content": role} for role in ("user", "assistant", "user")]
    rows = [{"prompt": prompt, "chosen": "b", "rejected": "c"} for prompt in (turns, "a")]
    source = lines(tmp_path / "p.jsonl", *rows)
    done = luthier("convert", source, tmp_path / "out.csv", "--to", "pair", "--allow-loss")
    assert done.exit_code == 0, done.output
    assert "is a conversation" in said(done)
    assert "role" not in (tmp_path / "out.csv").read_text()


def test_columns_that_become_text_are_listed_by_kind(tmp_path):
    source = lines(tmp_path / "r.jsonl", {"prompt": "a", "completion": "b", "n": 1}, {"prompt": "c", "completion": "d"})
    done = luthier("convert", source, tmp_path / "out.csv", "--to", "prompt")
    assert done.exit_code == 0, done.output
    assert "type of column 'n', now text" in said(done)


def test_bad_rows_stop_unless_they_are_left_out_and_then_they_are_listed(tmp_path):
    source = lines(tmp_path / "r.jsonl", {"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": ""})
    assert "r.jsonl:2: 'completion' is empty" in said(luthier("convert", source, tmp_path / "o.csv", "--to", "prompt"))
    done = luthier("convert", source, tmp_path / "o.csv", "--to", "prompt", "--skip-bad-rows")
    assert done.exit_code == 0, done.output
    assert "Not read" in said(done)
    assert "1 of 2 rows" in said(done)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["IN", "out.jsonl", "--to", "alpacca"], "did you mean 'alpaca'"),
        (["IN", "out.jsonl", "--to", "trl-prompt-only"], "holds no answer"),
        (["none.csv", "out.jsonl", "--to", "alpaca"], "there is no such file"),
        (["IN", "there/out.jsonl", "--to", "alpaca"], "there is no folder"),
        (["IN", ".", "--to", "alpaca"], "is not written"),
        (["IN", "folder.json", "--to", "alpaca"], "is a folder; name the file to write"),
        (["IN", "out.xlsx", "--to", "alpaca"], "'.xlsx' is not written"),
        (["IN", "out.csv", "--to", "argilla"], "end the name in .json or .jsonl"),
        (["IN", "taken.jsonl", "--to", "alpaca"], "pass --overwrite"),
        (["IN", "IN", "--to", "label", "--overwrite"], "is the file that is read"),
        (["empty.csv", "out.jsonl", "--to", "alpaca"], "is empty"),
        (["IN", "out.jsonl", "--to", "alpaca", "--from", "mesages"], "did you mean 'messages'"),
        (["IN", "out.jsonl", "--to", "alpaca", "--input", "txt", "--output", "label"], "did you mean 'text'"),
    ],
)
def test_a_slip_is_told_in_a_sentence(words, why, table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken.jsonl").write_text("mine")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "folder.json").mkdir()
    done = luthier("convert", *[str(table) if word == "IN" else word for word in words])
    assert done.exit_code == 2, done.output
    assert why in said(done)
    assert (tmp_path / "taken.jsonl").read_text() == "mine"
    assert table.read_text().startswith("text,label")


REAL = [
    (
        "banking77/test.csv",
        ReadOptions(input="text", output="category"),
        ["label", "labelstudio", "doccano", "prodigy"],
    ),
    ("gsm8k/test.jsonl", ReadOptions(input="question", output="answer"), ["messages", "alpaca", "argilla", "sharegpt"]),
    ("hh-harmless/test.jsonl.gz", ReadOptions(skip_bad_rows=True), ["pair", "openai_preference", "hh"]),
]


@needs_data
@pytest.mark.parametrize(("name", "options", "to"), REAL, ids=lambda one: one if isinstance(one, str) else "")
def test_real_rows_come_back_as_they_were(name, options, to, tmp_path):
    from luthier.data.convert import convert
    from luthier.data.loss import losses

    before = read(str(SHARED / name), options)
    for format in to:
        target = tmp_path / f"{format}.jsonl"
        done = convert(str(SHARED / name), target, format, options)
        assert (done.written, done.unheld, done.lost) == (len(before.examples), (), ())
        after = read(str(target)).examples
        assert all(losses(row, again) == [] for row, again in zip(before.examples, after, strict=True))


def test_an_answer_marked_as_wrong_is_never_learned_and_its_row_is_named():
    from luthier.errors import DataError
    from luthier.run.fitting import with_right
    from luthier.types import Completion, Example, Message

    good, bad = (
        Example(f"x:{score}", (Message("user", "a"),), (Completion((Message("assistant", "b"),), score),))
        for score in (1.0, 0.0)
    )
    right, wrong = with_right({"train": (good, bad), "test": (bad,)})
    assert right == {"train": (good,), "test": ()}
    assert {row.id for row in wrong} == {"x:0.0"}
    with pytest.raises(DataError, match=r"x:0\.0: has no answer but one marked as wrong"):
        with_right({"train": (bad,)})
