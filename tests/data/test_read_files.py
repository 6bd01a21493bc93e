"""Reading: every row becomes an example or a named row left out, and every refusal says where and what to do."""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data import shapes
from luthier.data.read import Reading, ReadOptions, distinct_names, read
from luthier.data.text import LINE_CAP
from luthier.errors import DataError, RecipeError

NAMED = ReadOptions(input="text", output="category")


def write(folder: Path, content: str | bytes, name: str = "bank.csv") -> str:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def pairs(reading: Reading) -> list[tuple[str, str, str]]:
    return [(example.id, example.question, example.answer) for example in reading.examples]


FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1).filter(str.strip)


@settings(max_examples=60)
@given(rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=6))
def test_a_table_written_by_the_csv_module_reads_back_with_the_line_each_record_starts_on(
    rows: list[tuple[str, str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) + "\n" for row in rows]
    path = write(tmp_path_factory.mktemp("csv"), "text,category\n" + "".join(quoted))
    reading = read(path, ReadOptions(input="text", output="category", format="prompt"))
    text = "text,category\n"
    for row, (name, question, answer), raw in zip(rows, pairs(reading), quoted, strict=True):
        line = 1 + text.count("\n") + text.replace("\r\n", "").count("\r")
        assert name == f"bank.csv:{line}"
        assert (question, answer.strip()) == (row[0], row[1].strip())
        text += raw


@settings(max_examples=40)
@given(rows=st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=6), packed=st.booleans(), array=st.booleans())
def test_json_reads_back_what_was_written(
    rows: list[tuple[str, str]], packed: bool, array: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    objects = [json.dumps({"prompt": a, "completion": b}) for a, b in rows]
    text = "[\n" + ",\n".join(objects) + "\n]" if array else "\n".join(objects)
    name = "x.json" + (".gz" if packed else "")
    path = write(tmp_path_factory.mktemp("json"), gzip.compress(text.encode()) if packed else text, name)
    expected = [(f"{name}:{line}", *row) for line, row in enumerate(rows, 2 if array else 1)]
    assert pairs(read(path)) == expected


def test_a_file_is_known_by_its_hash_its_size_and_its_rows(tmp_path: Path) -> None:
    content = b"text,category\na,b\nc,d\n"
    file = read(write(tmp_path, content), NAMED).file
    assert (file.sha256, file.rows, file.bytes) == (hashlib.sha256(content).hexdigest(), 2, len(content))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_is_obeyed(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path, "text,category\ncafé,drink\n".encode(encoding))
    assert pairs(read(path, NAMED)) == [("bank.csv:2", "café", "drink")]
    assert read(path, ReadOptions(input="text", output="category", encoding=encoding)).examples


def test_a_named_encoding_is_used(tmp_path: Path) -> None:
    path = write(tmp_path, "text,category\ncafé,drink\n".encode("cp1252"))
    assert pairs(read(path, ReadOptions(input="text", output="category", encoding="cp1252")))[0][1] == "café"


@pytest.mark.parametrize(("name", "mark"), [("a.tsv", "\t"), ("a.csv", ";"), ("a.csv", "|"), ("a.csv", "\t")])
def test_other_separators_are_told_from_the_header(name: str, mark: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"text{mark}category\na, b{mark}c\n", name)
    assert pairs(read(path, NAMED)) == [(f"{name}:2", "a, b", "c")]


def test_blank_lines_and_carriage_returns_are_no_rows(tmp_path: Path) -> None:
    path = write(tmp_path, b"\r\ntext,category\r\n\r\na,b\r\n\r\nc,d\r\n")
    assert pairs(read(path, NAMED)) == [("bank.csv:4", "a", "b"), ("bank.csv:6", "c", "d")]


def test_parquet_reads_like_any_table(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = arrow.table({"text": ["a", "b"], "label": ["x", None]})
    parquet.write_table(table, tmp_path / "p.parquet")
    reading = read(str(tmp_path / "p.parquet"), ReadOptions(skip_bad_rows=True))
    assert pairs(reading) == [("p.parquet:1", "a", "x")]
    assert [row.id for row in reading.left_out] == ["p.parquet:2"]
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(DataError, match=r"broken\.parquet: is not a whole Parquet file"):
        read(str(tmp_path / "broken.parquet"))


ROWS: dict[str, tuple[str | bytes, str]] = {
    "too many fields": ("text,category\na,b\nc,d,e\n", r"bank\.csv:3: has 3 fields where the header has 2; put quotes"),
    "too few fields": ("text,category\na,b\nc\n", r"bank\.csv:3: has 1 fields where the header has 2"),
    "after a quoted line break": ('text,category\n"a\nb",c\nd\n', r"bank\.csv:4: has 1 fields"),
    "empty input": ("text,category\na,b\n,c\n", r"bank\.csv:3: 'text' is empty; fill it in or remove the row"),
    "blank output": ("text,category\na,b\nc,  \n", r"bank\.csv:3: 'category' is empty"),
    "a NUL": ("text,category\na,b\nc\0,d\n", r"bank\.csv:3: holds NUL characters; remove them"),
    "not UTF-8": (
        b"text,category\na,b\n" + "Où est mon café glacé à la crème?,déjà\n".encode("cp1252"),
        r"bank\.csv:3: is not UTF-8 \(byte 0xf9 after 'O'\); if 'Où est mon café .*it is cp1252: data\.encoding=cp1252",
    ),
    "text after a quote": ('text,category\na,b\n"c"x,d\n', r"bank\.csv:3: is no row of a table .* double the quotes"),
}


@pytest.mark.parametrize("case", ROWS)
def test_a_bad_row_of_a_table_is_named_or_left_out(case: str, tmp_path: Path) -> None:
    content, message = ROWS[case]
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message + r".*; or --skip-bad-rows to leave such rows out"):
        read(path, NAMED)
    reading = read(path, ReadOptions(input="text", output="category", skip_bad_rows=True))
    assert len(reading.examples) == 1
    assert len(reading.left_out) == 1
    assert len(reading.examples) + len(reading.left_out) == reading.file.rows


LINES = {
    "broken": ('{"prompt": "a", "completion"\n', r"is not JSON \(Expecting ':' delimiter"),
    "a list": ('["a", "b"]\n', "is a list, not a record"),
    "null": ('{"prompt": null, "completion": "b"}\n', r"'prompt' is missing \(null\)"),
    "NaN": ('{"prompt": NaN, "completion": "b"}\n', r"'prompt' is missing \(null\)"),
    "wrong type": ('{"prompt": {"a": 1}, "completion": "b"}\n', "'prompt' is a dict, not text"),
    "misspelt": ('{"promt": "a", "completion": "b"}\n', "has no field 'prompt'; did you mean 'promt'"),
    "twice": ('{"prompt": "a", "prompt": "b", "completion": "c"}\n', "'prompt' stands twice"),
    "half a character": ('{"prompt": "\\ud83d", "completion": "c"}\n', r"'prompt' holds half a character \(.ud83d"),
    "escaped NUL": ('{"prompt": "a\\u0000", "completion": "c"}\n', "'prompt' holds NUL"),
    "too deep": ('{"prompt": ' + "[" * 100_000 + "\n", "is not JSON"),
    "a huge number": ('{"prompt": ' + "1" * 5000 + ', "completion": "c"}\n', "is not JSON"),
}


@pytest.mark.parametrize("case", LINES)
def test_a_bad_line_of_json_is_named_or_left_out(case: str, tmp_path: Path) -> None:
    content, message = LINES[case]
    path = write(tmp_path, '{"prompt": "good", "completion": "row"}\n\n' + content, "x.jsonl")
    with pytest.raises(DataError, match=r"x\.jsonl:3: .*" + message):
        read(path)
    reading = read(path, ReadOptions(skip_bad_rows=True))
    assert [row.id for row in reading.left_out] == ["x.jsonl:3"]
    assert pairs(reading) == [("x.jsonl:1", "good", "row")]


FILES: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("bank.csv", "", r"bank\.csv: is empty \(0 bytes\)"),
    "blank": ("bank.csv", "\n \n", r"bank\.csv: is empty; give it a line of column names"),
    "only line ends": ("bank.csv", "\n\n", r"bank\.csv: is empty; give it a line of column names"),
    "header only": ("bank.csv", "text,category\n", r"bank\.csv: no row of 0 can be used; it has only a header"),
    "duplicate header": ("bank.csv", "text,text\na,b\n", r"bank\.csv:1: two columns are named 'text'; rename one"),
    "open quote": ("bank.csv", 'text,category\na,b\n"c,d\ne,f\n', r"bank\.csv:3: a quote opened here is never closed"),
    "not gzip": ("bank.csv.gz", "text,category\na,b\n", r"bank\.csv\.gz: is not a whole gzip file"),
    "half of a gzip": ("b.csv.gz", gzip.compress(b"text,category\n" * 99)[:20], r"b\.csv\.gz: is not a whole gzip"),
    "unknown ending": ("bank.xlsx", "x", r"bank\.xlsx: '\.xlsx' is not a format read here; use \.csv, "),
    "broken array": ("x.json", '[{"text": "a",\n "category": }]', r"x\.json:2: is not JSON"),
    "array without comma": ("x.json", '[{"a": 1}\n{"a": 2}]', r"x\.json:2: a ',' or the closing"),
    "array never closed": ("x.json", '[{"a": 1},\n{"a": 2}', r"x\.json:2: a ',' or the closing"),
    "more after the array": ("x.json", '[{"text": "a", "category": "b"}] x', r"x\.json: goes on after the array ends"),
    "empty array": ("x.json", "[]", r"x\.json: no row of 0 can be used"),
    "UTF-16 cut short": ("bank.csv", b"\xff\xfet\0e\0x", r"bank\.csv: cannot be read as utf-16"),
}


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("case", FILES)
def test_a_file_that_cannot_be_used_is_refused_whole(case: str, skip: bool, tmp_path: Path) -> None:
    name, content, message = FILES[case]
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, content, name), ReadOptions(input="text", output="category", skip_bad_rows=skip))


def test_a_missing_file_names_the_one_meant(tmp_path: Path) -> None:
    write(tmp_path, "x", "training.csv")
    with pytest.raises(DataError, match=r"trainin\.csv: there is no such file; did you mean 'training\.csv'"):
        read(str(tmp_path / "trainin.csv"))
    with pytest.raises(DataError, match=r"there is no such file; .*nowhere is no folder either"):
        read(str(tmp_path / "nowhere" / "x.csv"))


def test_a_folder_names_the_files_in_it(tmp_path: Path) -> None:
    write(tmp_path, "x", "training.csv")
    with pytest.raises(DataError, match=r"is a folder; name one file in it: training\.csv"):
        read(str(tmp_path))


@pytest.mark.parametrize("name", ["long.csv", "long.jsonl"])
def test_a_line_without_end_is_refused_without_being_read_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text('{"text":\n' if name == "long.jsonl" else "text,category\n")
    with path.open("r+b") as stream:
        stream.truncate(2**30)
    with pytest.raises(DataError, match=rf"{name}:2: the line is longer than {LINE_CAP:,} characters"):
        read(str(path), NAMED)


def test_a_field_longer_than_the_csv_modules_own_limit_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "text,category\n" + "a" * 200_000 + ",b\n")
    assert len(read(path, NAMED).examples[0].question) == 200_000


def test_an_unknown_encoding_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="encoding: 'utf8x' is not an encoding; did you mean 'utf-8'"):
        read(write(tmp_path, "a,b\nc,d\n"), ReadOptions(input="a", output="b", encoding="utf8x"))


def test_columns_no_shape_fits_are_listed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"in the columns a, b; pass --input COLUMN --output COLUMN"):
        read(write(tmp_path, "a,b\nc,d\n"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (ReadOptions(input="txt", output="category"), "input: there is no column 'txt'; did you mean 'text'"),
        (ReadOptions(input="text", output="category", group="user"), "group: there is no column 'user'; the columns"),
        (ReadOptions(input="text"), "--input is named without --output; name both"),
        (ReadOptions(format="promt"), "format: 'promt' is not a shape; did you mean 'prompt'"),
        (ReadOptions(format="nowhere:shape"), "format: 'nowhere:shape' cannot be imported"),
    ],
)
def test_a_mistaken_option_is_refused(options: ReadOptions, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(write(tmp_path, "text,category\na,b\n"), options)


def test_a_limit_reads_no_further(tmp_path: Path) -> None:
    path = write(tmp_path, "text,category\na,b\nc,d\nbroken\n")
    assert read(path, ReadOptions(input="text", output="category", limit=2)).file.rows == 2
    for limit in (0, -1):
        with pytest.raises(RecipeError, match=f"limit: {limit} reads no row"):
            read(path, ReadOptions(limit=limit))


def test_when_no_row_can_be_used_the_first_reason_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, "text,category\n,b\n,d\n")
    with pytest.raises(DataError, match=r"no row of 2 can be used; the first: bank\.csv:2: 'text' is empty"):
        read(path, ReadOptions(input="text", output="category", skip_bad_rows=True))


def test_a_shape_of_a_strangers_module_is_found_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "text,label\na,b\n")
    assert pairs(read(path, ReadOptions(format="luthier.data.shape:label"))) == pairs(read(path))
    known = {"pair", "messages", "sharegpt", "alpaca", "prompt", "label", "unpaired", "openai_preference"}
    assert set(shapes) == known | {"labelstudio", "argilla", "doccano", "prodigy"}


def test_files_of_one_name_get_distinct_names() -> None:
    assert distinct_names(["a/train.csv", "b/train.csv", "b/test.csv"]) == ("a/train.csv", "b/train.csv", "test.csv")
    assert distinct_names(["a/x.csv", "a/x.csv"]) == ("x.csv", "x.csv")


def test_a_hub_name_needs_the_library_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"owner/name: reading from the hub needs datasets; pip install"):
        read("hub:owner/name")
    with pytest.raises(DataError, match="needs datasets"):
        read("owner/name:test")
    with pytest.raises(DataError, match="there is no such file"):
        read("owner/name.csv")


def test_a_hub_tables_class_numbers_become_their_names() -> None:
    datasets = pytest.importorskip("datasets")
    from luthier.data.hub import table_records

    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    table = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
    assert [(row.line, row.values) for row in table_records(table)] == [
        (1, {"text": "a", "label": "yes"}),
        (2, {"text": "b", "label": "no"}),
    ]


@pytest.mark.parametrize("text", ["café,a", "Müller,b", "Größe,c"])
def test_a_file_of_a_few_words_is_not_guessed_to_be_utf_16(text: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cp1252"):
        read(write(tmp_path, f"text,label\n{text}\n".encode("cp1252")))
