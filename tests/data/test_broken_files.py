"""Broken files: every reader refuses what it cannot read with a DataError, and accounts for every row it did read."""

from __future__ import annotations

import csv
import gzip
import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from luthier.data import recognised, shapes
from luthier.data.files import readers
from luthier.data.read import Reading, ReadOptions, read
from luthier.errors import DataError
from luthier.types import Json

fuzzed = settings(max_examples=60, deadline=20_000, suppress_health_check=[HealthCheck.function_scoped_fixture])
"""What takes longer than twenty seconds, on a machine however busy, counts as hanging."""

TEXTS = [ending for ending in readers if ending != ".parquet"]
NAMES = [f"x{ending}{packed}" for ending in TEXTS for packed in ("", ".gz")]
ROWS: list[dict[str, Json]] = [
    {"text": 'He said "no", twice', "label": "quote"},
    {"text": "Two\nlines, and\ta tab", "label": "line"},
    {"text": "Où est le café? 日本 🙂", "label": "accents"},
    {"text": "plain", "label": "plain"},
]
NAMED = ReadOptions(input="text", output="label")
MARKS = [
    b"\0",
    b'"',
    b'\n"',
    b"\r",
    b"\r\n",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b",",
    b"\t",
    b"{",
    b"[",
    b"]",
]
ENCODINGS = [
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "latin-1",
    "cp1252",
    "shift_jis",
    "gb18030",
    "utf-7",
]
ODD = ["rot13", "hex", "idna", "punycode", "undefined", "unicode_escape", "utf-16-be", "cp037", "x\ud800"]


def whole(name: str) -> bytes:
    """The rows as a sound file of the name's format."""
    if name.removesuffix(".gz").endswith(".json"):
        text = json.dumps(ROWS, ensure_ascii=False, indent=1)
    elif "json" in name:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS)
    else:
        table = io.StringIO()
        writer = csv.writer(table, delimiter="\t" if ".tsv" in name else ",")
        writer.writerows([["text", "label"], *([row["text"], row["label"]] for row in ROWS)])
        text = table.getvalue()
    return gzip.compress(text.encode(), mtime=0) if name.endswith(".gz") else text.encode()


def accounted(folder: Path, name: str, content: bytes, options: ReadOptions = NAMED) -> Reading | None:
    """The law: what is read adds up and is named once, or a DataError says which file, in words that can be written.

    Held with and without leaving bad rows out; returns what was read when they are left out.
    """
    path = written(folder, name, content)
    strict, lenient = (attempted(path, replace(options, skip_bad_rows=skip)) for skip in (False, True))
    for outcome in (strict, lenient):
        if isinstance(outcome, str):
            outcome.encode()
            assert name in outcome or outcome.startswith("encoding: ")
            continue
        rows = [row.id for row in (*outcome.examples, *outcome.left_out)]
        assert len(set(rows)) == len(rows) == outcome.file.rows
        assert all(row.reason.encode() for row in outcome.left_out)
        assert all((row.question + row.answer).encode() for row in outcome.examples)
    assert isinstance(strict, str) or not strict.left_out
    assert isinstance(strict, str) or strict == lenient
    return None if isinstance(lenient, str) else lenient


def attempted(path: str, options: ReadOptions) -> Reading | str:
    """What was read, or why it was refused."""
    try:
        return read(path, options)
    except DataError as error:
        return str(error)


@pytest.mark.parametrize("name", NAMES)
def test_control_a_sound_file_is_read_whole(name: str, tmp_path: Path) -> None:
    reading = accounted(tmp_path, name, whole(name))
    assert reading is not None
    assert [(row.question, row.answer) for row in reading.examples] == [(row["text"], row["label"]) for row in ROWS]


@fuzzed
@given(name=st.sampled_from([*NAMES, "x.parquet"]), content=st.binary(max_size=200))
@example(name="x.csv", content=b"text,label\n\xff,\xfe")
@example(name="x.json", content=b"[")
@example(name="x.jsonl", content=b"\xef\xbb\xbf")
def test_random_bytes_are_refused_or_accounted_for(name: str, content: bytes, tmp_path: Path) -> None:
    accounted(tmp_path, name, content, ReadOptions())
    accounted(tmp_path, name, content)


@fuzzed
@given(name=st.sampled_from(NAMES), share=st.floats(0, 1))
def test_a_file_cut_short_is_refused_or_accounted_for(name: str, share: float, tmp_path: Path) -> None:
    content = whole(name)
    accounted(tmp_path, name, content[: int(share * len(content))])


@fuzzed
@given(
    name=st.sampled_from(NAMES),
    edits=st.lists(
        st.tuples(st.floats(0, 1), st.integers(0, 9), st.sampled_from(MARKS) | st.binary(max_size=4)), max_size=4
    ),
)
def test_bytes_lost_or_put_in_are_refused_or_accounted_for(
    name: str, edits: list[tuple[float, int, bytes]], tmp_path: Path
) -> None:
    accounted(tmp_path, name, damaged(whole(name), edits))


@fuzzed
@given(
    name=st.sampled_from(["x.csv", "x.tsv", "x.json", "x.jsonl"]),
    written=st.sampled_from(ENCODINGS),
    named=st.none() | st.sampled_from(ENCODINGS + ODD),
)
def test_a_wrong_encoding_is_refused_or_accounted_for(
    name: str, written: str, named: str | None, tmp_path: Path
) -> None:
    content = (
        whole(name).decode().replace("日本 🙂", "" if written in ("latin-1", "cp1252", "shift_jis") else "日本 🙂")
    )
    content = content.replace("é", "e").replace("ù", "u") if written == "shift_jis" else content
    accounted(tmp_path, name, content.encode(written), ReadOptions(input="text", output="label", encoding=named))


KEYS = st.sampled_from(sorted({column for columns in recognised.values() for column in columns}))
FIELDS = KEYS | st.sampled_from(
    ["input", "tools", "system", "role", "content", "train", "weight", "tool_calls", "type"]
)
HALF = st.sampled_from(["\ud83d", "a\udc80", "\0"])
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=8)
    | HALF
    | st.sampled_from(["user", "assistant", "Human: a", "\n\nHuman: a\n\nAssistant: b", "[1]", "{", "text"])
)
JUNK = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(FIELDS | HALF, inner, max_size=5),
    max_leaves=12,
)


@settings(fuzzed, max_examples=150)
@given(
    values=st.lists(
        JUNK | st.dictionaries(FIELDS | HALF | st.text(max_size=2), JUNK, max_size=5), min_size=1, max_size=5
    ),
    array=st.booleans(),
    shape=st.sampled_from(["auto", *shapes]),
)
@example(values=[{"\ud83d": 1}], array=False, shape="auto")
@example(values=[None, {"prompt": "a", "completion": "b"}], array=True, shape="auto")
@example(values=[{"text": float("inf"), "label": float("nan")}], array=True, shape="label")
def test_junk_in_json_is_refused_or_accounted_for(values: list[Json], array: bool, shape: str, tmp_path: Path) -> None:
    text = json.dumps(values) if array else "\n".join(map(json.dumps, values))
    reading = accounted(tmp_path, "x.json", text.encode(), ReadOptions(format=shape))
    assert reading is None or reading.file.rows == len(values) or text.startswith("[")


@pytest.mark.parametrize("depth", [100, 900, 1_000, 100_000])
@pytest.mark.parametrize("name", ["x.json", "x.jsonl"])
def test_deep_nesting_is_refused_or_accounted_for(name: str, depth: int, tmp_path: Path) -> None:
    for text in (
        "[" * depth,
        "[" * depth + "]" * depth,
        '{"text":' * depth,
        '{"label": "b", "text":' * depth + "1" + "}" * depth,
        '[{"text": "a", "label": "b", "more":' + "[" * depth + "]" * depth + "}]",
    ):
        accounted(tmp_path, name, text.encode())


@pytest.mark.parametrize("number", ["1e999", "-1e999", "Infinity", "NaN", "1" * 5_000, "1." + "0" * 9_000 + "1"])
def test_a_number_beyond_all_measure_is_no_answer(number: str, tmp_path: Path) -> None:
    rows = f'{{"text": "a", "label": {number}}}\n{{"text": "c", "label": "d"}}\n'
    reading = accounted(tmp_path, "x.jsonl", rows.encode())
    assert reading is not None
    assert reading.file.rows == 2
    assert {row.answer for row in reading.examples} <= {"1.0", "d"}


@fuzzed
@given(ends=st.lists(st.sampled_from(["\n", "\r\n", "\r", "\n\n", "\r\n \r\n"]), min_size=2, max_size=9))
@pytest.mark.parametrize("name", ["x.csv", "x.jsonl"])
def test_mixed_line_ends_lose_no_row(name: str, ends: list[str], tmp_path: Path) -> None:
    rows = [f"t{at},l" if name == "x.csv" else f'{{"text": "t{at}", "label": "l"}}' for at in range(len(ends))]
    head = "text,label\n" if name == "x.csv" else ""
    reading = accounted(tmp_path, name, (head + "".join(map(str.__add__, rows, ends))).encode())
    assert reading is not None
    assert [row.question for row in reading.examples] == [f"t{at}" for at in range(len(ends))]


def test_many_columns_of_one_name_are_refused_at_once(tmp_path: Path) -> None:
    names = [f"c{at}" for at in range(100_000)]
    wide = ",".join([*names, "c7"])
    thick = "{" + ", ".join(f'"{name}": 1' for name in [*names, "z", "z"]) + "}"
    begun = time.process_time()
    with pytest.raises(DataError, match="two columns are named 'c7'"):
        read(written(tmp_path, "x.csv", wide.encode()), NAMED)
    with pytest.raises(DataError, match="the field 'z' stands twice"):
        read(written(tmp_path, "x.jsonl", thick.encode()))
    assert time.process_time() - begun < 5


def test_a_file_in_another_encoding_is_recognised_once_and_not_for_every_row(tmp_path: Path) -> None:
    rows = "".join(f"Où est mon café {at}?,déjà\n" for at in range(2_000))
    path = written(tmp_path, "x.csv", b"text,label\nplain,row\n" + rows.encode("cp1252"))
    begun = time.process_time()
    reading = read(path, ReadOptions(input="text", output="label", skip_bad_rows=True))
    assert time.process_time() - begun < 1
    assert (len(reading.examples), len(reading.left_out)) == (1, 2_000)


@fuzzed
@given(
    edits=st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0, 1, 9]), st.binary(max_size=4)), max_size=4),
    cut=st.just(1.0) | st.floats(0, 1),
)
def test_a_damaged_parquet_file_is_refused_or_accounted_for(
    edits: list[tuple[float, int, bytes]], cut: float, tmp_path: Path
) -> None:
    content = table(text=["a", "b", None, "ü"], label=["x", "y", "x", "y"], more=[[1], [], None, [2]])
    accounted(tmp_path, "x.parquet", damaged(content, edits)[: int(cut * len(content)) + 1])


def test_a_parquet_file_loses_no_column_and_no_byte(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    held = arrow.array(["a"])
    twice = arrow.Table.from_arrays([held, held, held], names=["text", "text", "label"])
    with pytest.raises(DataError, match=r"x\.parquet: two columns are named 'text'; rename one"):
        read(written(tmp_path, "x.parquet", parquet_bytes(twice)), NAMED)
    bytes_ = arrow.table({"text": [b"caf\xc3\xa9", b"caf\xe9"], "label": ["x", "y"]})
    reading = accounted(tmp_path, "x.parquet", parquet_bytes(bytes_))
    assert reading is not None
    assert [row.question for row in reading.examples] == ["café"]
    assert "is not UTF-8 (byte 0xe9" in reading.left_out[0].reason
    late = arrow.table({"text": ["a"], "label": ["x"], "when": arrow.array([2**30], arrow.date32())})
    assert accounted(tmp_path, "x.parquet", parquet_bytes(late)) is None


def table(**columns: list[object]) -> bytes:
    """A small Parquet file."""
    return parquet_bytes(pytest.importorskip("pyarrow").table(columns))


def parquet_bytes(held: object) -> bytes:
    stream = io.BytesIO()
    pytest.importorskip("pyarrow.parquet").write_table(held, stream)
    return stream.getvalue()


def damaged(content: bytes, edits: list[tuple[float, int, bytes]]) -> bytes:
    """The content with, at each share of its length, some bytes lost and others put in."""
    for share, lost, mark in edits:
        at = int(share * len(content))
        content = content[:at] + mark + content[at + lost :]
    return content


def written(folder: Path, name: str, content: bytes) -> str:
    path = folder / name
    path.write_bytes(content)
    return str(path)


def test_records_on_one_line_are_told_apart_by_their_number(tmp_path: Path) -> None:
    rows: list[Json] = [{"text": word, "label": "x"} for word in "abc"]
    path = written(tmp_path, "x.json", json.dumps(rows).encode())
    assert [row.id for row in read(path).examples] == ["x.json:1", "x.json:2", "x.json:3"]
    path = written(tmp_path, "y.json", json.dumps(rows, indent=1).encode())
    assert [row.id for row in read(path).examples] == ["y.json:2", "y.json:6", "y.json:10"]
