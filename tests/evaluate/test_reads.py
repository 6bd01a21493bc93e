"""The ledger of readings: rows are known by what they say, no line is lost, and nothing that goes wrong ends a run."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_chat import asked, labelled

from luthier.evaluate import reads
from luthier.evaluate.reads import LEDGER, Read, earlier, fingerprint, noted, reading, told
from luthier.types import Completion, Message

ROWS = [labelled("a.csv:1", "where is it", "card"), labelled("a.csv:2", "hi", "other")]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("LUTHIER_CACHE", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    path = tmp_path / "data" / "test.csv"
    path.write_text("text,label\n")
    return str(path)


def read_by(name: str, rows: str = "abc") -> Read:
    return Read(rows, 2, "2026-01-02T03:04:05+00:00", f"/runs/{name}", "tiny", "train")


def test_rows_are_known_by_what_they_say_not_by_name_or_order() -> None:
    renamed = [replace(row, id=f"b.jsonl:{at}", source="b.jsonl") for at, row in enumerate(ROWS)]
    assert fingerprint(ROWS) == fingerprint(renamed[::-1])


@pytest.mark.parametrize(
    "other",
    [
        [*ROWS, ROWS[0]],
        ROWS[:1],
        [replace(ROWS[0], label="Card"), ROWS[1]],
        [replace(ROWS[0], prompt=(Message("user", "where is it?"),)), ROWS[1]],
        [asked("a.csv:1", "where is it", "cards"), ROWS[1]],
    ],
    ids=["twice", "fewer", "label", "prompt", "answer"],
)
def test_control_rows_that_say_something_else_are_others(other: list) -> None:
    assert fingerprint(other) != fingerprint(ROWS)


def test_a_row_without_a_right_answer_is_not_asked_and_does_not_count() -> None:
    wrong = replace(ROWS[0], completions=(Completion(ROWS[0].completions[0].messages, score=0.0),))
    assert fingerprint([*ROWS, wrong]) == fingerprint(ROWS)


def test_readings_are_counted_for_the_same_rows_only(file: str) -> None:
    assert noted(read_by("a"), file=file) == ()
    assert noted(read_by("x", rows="other"), file=file) == ()
    assert [one.run for one in noted(read_by("b"), file=file)] == ["/runs/a"]
    assert [one.run for one in earlier("abc", file=file)] == ["/runs/a", "/runs/b"]
    assert (Path(file).parent / LEDGER).read_text().count("\n") == 3


def test_many_that_read_at_once_lose_no_line(file: str) -> None:
    with ThreadPoolExecutor(8) as several:
        list(several.map(lambda at: noted(read_by(f"run {at}"), file=file), range(64)))
    assert {one.run for one in earlier("abc", file=file)} == {f"/runs/run {at}" for at in range(64)}


def test_a_torn_line_costs_itself_and_no_other(file: str) -> None:
    ledger = Path(file).parent / LEDGER
    ledger.write_text('{"rows": "abc", "n"')
    noted(read_by("a"), file=file)
    noted(read_by("b"), file=file)
    assert [one.run for one in earlier("abc", file=file)] == ["/runs/a", "/runs/b"]


def test_where_the_file_lies_nowhere_or_came_with_luthier_the_cache_has_the_ledger(file: str, tmp_path: Path) -> None:
    bundled = str(Path(reads.__file__).parents[1] / "demo" / "helpdesk-test.jsonl")
    for one in ("hub-name/dataset", bundled):
        noted(read_by("a"), file=one)
        assert [read.run for read in earlier("abc", file=one)] == ["/runs/a"]
        assert not (Path(bundled).parent / LEDGER).exists()
        (tmp_path / "cache" / LEDGER).unlink()


def test_a_place_that_cannot_be_written_falls_to_the_cache_and_at_last_to_nothing(file: str, tmp_path: Path) -> None:
    (Path(file).parent / LEDGER).mkdir()
    noted(read_by("a"), file=file)
    assert [read.run for read in noted(read_by("b"), file=file)] == ["/runs/a"]
    (tmp_path / "cache" / LEDGER).unlink()
    (tmp_path / "cache" / LEDGER).mkdir()
    assert noted(read_by("c"), file=file) == ()
    assert noted(read_by("d"), file=file) == ()


def test_a_line_says_when_by_what_and_how_many(file: str) -> None:
    noted(reading(ROWS, run="runs/a", model="tiny", by="evaluate"), file=file)
    line = json.loads((Path(file).parent / LEDGER).read_text())
    assert line.pop("when").endswith("+00:00")
    assert line == {"rows": fingerprint(ROWS), "n": 2, "run": "runs/a", "model": "tiny", "by": "evaluate"}


def test_people_are_told_how_often_and_by_whom() -> None:
    assert told(()) == "These test rows were read for the first time."
    assert told([read_by("a")]).startswith("These test rows were read once before (by a);")
    many = told([read_by(name) for name in "aabcdefg"])
    assert many.startswith("These test rows were read 8 times before (by a 2 times, b, c, d, e, 2 others);")
    assert many.endswith("a difference found after many looks is worth less.")
