"""Formats of others: what is written reads back the same; what cannot be held is refused or listed, never dropped."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.data import shapes
from luthier.data.convert import Converted, convert
from luthier.data.files import Record, records
from luthier.data.formats import find_format, formats
from luthier.data.formats.format import plain
from luthier.data.loss import losses
from luthier.data.read import ReadOptions, read
from luthier.data.row import Row
from luthier.data.save import save, writers
from luthier.errors import DataError, RecipeError
from luthier.types import Completion, Example, Json, Message

SHARED = Path(__file__).parents[3] / "shared" / "data"
quick = settings(max_examples=40, deadline=None)

ODD = ["\ufeffa", '"', "a,b\tc;d|e", "two\nlines\r\nand \r", " space ", "日本 🙂 e\u0301", "[1]", "{}", "null", "=1+1"]
TEXT = (st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12) | st.sampled_from(ODD)).filter(
    str.strip
)
CALLS: Json = [{"type": "function", "function": {"name": "find", "arguments": {"a": None, "b": [1, "x"]}}}]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
NAMES = st.sampled_from(["source", "id", "ä b", "data.id", "metadata.status", "fields.x", "record.y", "1", "meta"])
META = st.dictionaries(NAMES, JSON, max_size=3)
WEIGHT = st.sampled_from([1.0, 1.0, 0.0, 0.5, 3.0])


@st.composite
def assistant(draw: st.DrawFn) -> Message:
    fields: dict[str, Json] = {"tool_calls": CALLS} if draw(st.booleans()) else {}
    return Message(
        "assistant", draw(TEXT), train=draw(st.sampled_from([None, True, False])), weight=draw(WEIGHT), fields=fields
    )


@st.composite
def conversation(draw: st.DrawFn) -> tuple[Message, ...]:
    system = [Message("system", draw(TEXT))] if draw(st.booleans()) else []
    turns = [turn for _ in range(draw(st.integers(0, 2))) for turn in (Message("user", draw(TEXT)), draw(assistant()))]
    tool = [Message("tool", draw(TEXT), fields={"tool_call_id": "1"})] if turns and draw(st.booleans()) else []
    return (*system, *turns, *tool, Message("user", draw(TEXT)))


def asked(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


def answers(*texts: str) -> tuple[Completion, ...]:
    return tuple(Completion((Message("assistant", text),), float(at == 0)) for at, text in enumerate(texts))


PLAIN = asked("What?")
simple = st.builds(lambda q, a, meta: Example("x:1", asked(q), answers(a), source="x", meta=meta), TEXT, TEXT, META)
named = st.builds(
    lambda q, a, meta: Example("x:1", asked(q), answers(a.strip()), label=a.strip(), source="x", meta=meta),
    TEXT,
    TEXT,
    META,
)
compared = st.builds(
    lambda q, a, b, meta: Example("x:1", asked(q), answers(a, b + "!"), source="x", meta=meta), TEXT, TEXT, TEXT, META
)
talked = st.builds(
    lambda turns, a, meta, tools: Example("x:1", turns, answers(a), source="x", meta=meta, tools=tools),
    conversation(),
    TEXT,
    META,
    st.sampled_from([(), ({"type": "function", "function": {"name": "find"}},)]),
)
debated = st.builds(
    lambda one, b: replace(unlearned(one), completions=(*one.completions, *answers("-", b)[1:])), talked, TEXT
)
judged = st.builds(
    lambda one, s: replace(unlearned(one), completions=(replace(one.completions[0], score=s),)),
    talked,
    st.sampled_from([0.0, 1.0]),
)
several = st.builds(
    lambda one, texts: replace(one, completions=answers(texts[0]), references=tuple(texts)),
    simple,
    st.lists(TEXT, min_size=2, max_size=3, unique=True),
)


def differ(example: Example) -> bool:
    return len({one.text for one in example.completions}) == len(example.completions)


def unlearned(example: Example) -> Example:
    turns = (replace(t, train=False) if t.role == "assistant" else t for t in example.prompt)
    return replace(example, prompt=tuple(turns))


HELD = {
    "messages": talked,
    "sharegpt": talked,
    "alpaca": simple,
    "prompt": talked.map(unlearned),
    "label": named,
    "pair": debated.filter(differ),
    "unpaired": judged,
    "openai_preference": debated.filter(differ),
    "labelstudio": simple | named | compared.filter(differ) | several,
    "argilla": simple,
    "doccano": simple | several,
    "prodigy": simple | named | compared.filter(differ),
}
"""What each format holds whole. HH's transcripts are stripped and divided by names of speakers, and stand apart."""


def back(name: str, example: Example) -> Example:
    """An example written as JSON and read again by the format's reader."""
    format = formats[name]
    values = json.loads(json.dumps(format.write(example, plain(example))))
    return shapes[format.shape](Row(example.id, example.source, values))


def test_every_format_has_its_law() -> None:
    assert {*HELD, "hh"} == {*formats}
    assert {one.shape for one in formats.values()} == {*shapes}


@quick
@pytest.mark.parametrize("name", HELD)
@given(data=st.data())
def test_what_a_format_holds_comes_back_as_it_was(name: str, data: st.DataObject) -> None:
    example = data.draw(HELD[name])
    again = back(name, example)
    kept = {name: value for name, value in example.meta.items() if value is not None}
    assert losses(replace(example, meta=kept), again) == []
    assert again.label == example.label or name in ("doccano", "argilla")


@quick
@given(example=compared.filter(differ))
def test_an_hh_transcript_comes_back_stripped(example: Example) -> None:
    found = {loss.kind for loss in losses(example, back("hh", example))}
    assert found <= {"space around the answer", "turns of the prompt"}


@settings(quick, max_examples=15)
@pytest.mark.parametrize("ending", [".jsonl", ".json", ".csv", ".tsv", ".parquet", ".jsonl.gz"])
@given(data=st.data())
def test_no_loss_goes_unsaid_whatever_goes_in(ending: str, data: st.DataObject) -> None:
    """The law of `convert`: every row is written as it was, or written and its loss named, or named and not written."""
    name = data.draw(st.sampled_from([name for name, one in formats.items() if one.table or "json" in ending]))
    rows: list[Json] = data.draw(st.lists(ANY.map(record), min_size=1, max_size=4))
    with TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.jsonl", Path(folder) / f"out{ending}"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        try:
            done = convert(
                str(source), target, name, ReadOptions(format="messages"), allow_loss=data.draw(st.booleans())
            )
        except DataError:
            assert not target.exists()
            return
        check_accounted(source, target, done)


ANY = talked | simple | named


def record(example: Example) -> Json:
    return formats["messages"].write(example, False)


def check_accounted(source: Path, target: Path, done: Converted) -> None:
    examples = {row.id: row for row in read(str(source), ReadOptions(format="messages")).examples}
    left = {row.id for row in done.unheld}
    kept = [row for name, row in examples.items() if name not in left]
    shape = shapes[formats[done.format].shape]
    found = [one for one in records(target) if isinstance(one, Record)]
    assert len(found) == len(kept) == done.written == done.rows - len(left)
    said = {name: {lost.kind for lost in done.lost if name in lost.rows} for name in examples}
    for row, one in zip(kept, found, strict=True):
        assert {loss.kind for loss in losses(row, shape(Row(row.id, row.source, one.values)))} == said[row.id]


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.sampled_from(["\ud83d", "a\0", "accept", "left"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "value", "result", "text", "choices", "type", "from_name"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@settings(quick, max_examples=60)
@pytest.mark.parametrize("name", formats)
@given(data=st.data())
def test_a_broken_record_is_read_or_refused_with_a_reason(name: str, data: st.DataObject) -> None:
    """A whole record with some values anywhere within it replaced by junk."""
    example = data.draw(HELD.get(name, compared))
    values = json.loads(json.dumps(formats[name].write(example, plain(example))))
    for _ in range(data.draw(st.integers(1, 2))):
        values = damaged(values, data)
    if not isinstance(values, dict):
        return
    refused = ""
    try:
        found = shapes[formats[name].shape](Row("x:1", "x", values))
    except DataError as error:
        refused = str(error)
    if refused:
        assert len(refused.encode("utf-8", "surrogatepass")) > 10
    else:
        assert found.answer.strip() or found.completions[0].messages[-1].fields
        assert (found.question + found.answer).encode()


def damaged(value: Json, data: st.DataObject) -> Json:
    """The value with one of what is in it replaced or gone."""
    if isinstance(value, dict) and value and data.draw(st.booleans() | st.just(True)):
        name = data.draw(st.sampled_from(sorted(value)))
        if data.draw(st.integers(0, 4)) == 0:
            return {key: one for key, one in value.items() if key != name}
        return {key: damaged(one, data) if key == name else one for key, one in value.items()}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(value) - 1))
        return [damaged(one, data) if place == at else one for place, one in enumerate(value)]
    return data.draw(JUNK)


@pytest.mark.parametrize("ending", writers)
def test_the_same_rows_are_the_same_bytes(ending: str, tmp_path: Path) -> None:
    rows: list[dict[str, Json]] = [{"text": 'a "b"\n', "label": "ä", "n": 1}, {"text": "c", "label": "d", "x": [1]}]
    for name in ("one", "two"):
        save(tmp_path / f"{name}{ending}", rows)
    assert (tmp_path / f"one{ending}").read_bytes() == (tmp_path / f"two{ending}").read_bytes()


def test_strangers_read_the_tables(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    texts = ['He said "no"', "two\nlines", "a,b;c\td", "日本 🙂", "plain"]
    rows: list[dict[str, Json]] = [{"text": text, "label": str(at), "n": at} for at, text in enumerate(texts)]
    for name, reader in (("x.csv", pandas.read_csv), ("x.parquet", pandas.read_parquet)):
        save(tmp_path / name, rows)
        assert list(reader(tmp_path / name)["text"]) == texts
        assert list(reader(tmp_path / name)["n"]) == list(range(5))


def test_formats_are_found_by_other_names_and_unknown_ones_are_named() -> None:
    assert find_format("Label-Studio")[0] == "labelstudio"
    assert find_format("trl_preference")[0] == "pair"
    with pytest.raises(RecipeError, match="did you mean 'alpaca'"):
        find_format("alpacca")
    with pytest.raises(RecipeError, match="holds no answer"):
        find_format("trl-prompt-only")
