"""Argilla 2 records: `fields`, `responses` by people, `suggestions` by models, which are kept and never learned.

`fields.text`, a list of messages or the field named with `--input` is the input, a question's name is what `--output`
names; of several responses the majority counts. Other fields, metadata, vectors and suggestions are kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from luthier.data.formats.format import Written, plain, said
from luthier.data.formats.nested import agreed, asked_about, gathered, inner, objects, question, spread
from luthier.data.row import Row, as_text
from luthier.data.shape import ending
from luthier.errors import DataError
from luthier.types import Completion, Example, Json, Message

RECORD = frozenset(["id", "status", "_server_id", "external_id", "responses", "suggestions", "vectors"])
"""A record's own fields, beside `fields` and `metadata`."""


def columns(values: Mapping[str, Json]) -> Iterator[str]:
    """What `--input`, `--output` and `--group` can name in a record."""
    for place in ("fields", "responses", "metadata"):
        found = values.get(place)
        yield from found if isinstance(found, dict) else ()
    yield from values


def argilla(row: Row) -> Example:
    """A record that someone has answered."""
    fields, given = inner(row.values, "fields"), row.values.get("responses") or {}
    if not isinstance(given, dict):
        raise DataError("'responses' is not an object of answers by question; export the records with to_json")
    answered = {name: said for name, said in given.items() if said}
    if not answered:
        raise DataError("has no response, at most suggestions; answer it in Argilla, or leave it out")
    name, asked = question(fields, row)
    answer = agreed([_text(one) for one in objects(answered[asked_about(answered, row)], "responses")])
    outer = {key: value for key, value in row.values.items() if key not in ("fields", "metadata")}
    if given == _responses(answer):
        del outer["responses"]
    rest = {f"fields.{key}": value for key, value in fields.items() if key != name}
    metadata = row.values.get("metadata") or {}
    meta = rest | spread(outer, metadata if isinstance(metadata, dict) else {}, "metadata", RECORD)
    completion = Completion(ending((Message("assistant", answer),), "responses"))
    return Example(row.id, asked, (completion,), source=row.source, meta=meta)


def write_argilla(example: Example, texts: bool) -> Written:
    """The record that `argilla` reads, with the responses it came with where it came from Argilla."""
    bare = plain(example)
    (completion, *others) = example.completions
    if others or len(completion.messages) > 1 or completion.score != 1:
        raise DataError(
            "holds several answers, turns or a score, and a response is one text; use --to messages or pair"
        )
    outer, metadata = gathered(example.meta, "metadata", RECORD)
    moved = {name.removeprefix("fields."): metadata.pop(name) for name in list(metadata) if name.startswith("fields.")}
    core: Written = {"text" if bare else "messages": said(example.prompt, texts=bare)}
    record: Written = {"fields": moved | core, "metadata": metadata, **outer}
    if not _same(record, example):
        record["responses"] = _responses(example.answer)
    return record


def _responses(answer: str) -> Json:
    """One response with the answer and nothing else."""
    return {"answer": [{"value": answer}]}


def _same(record: Written, example: Example) -> bool:
    try:
        return argilla(Row(example.id, example.source, record)).completions == example.completions
    except DataError:
        return False


def _text(response: Mapping[str, Json]) -> str:
    value = response.get("value")
    if not isinstance(value, bool | int | float | str):
        kind = type(value).__name__
        raise DataError(f"its response is a {kind}; answers to label, text and rating questions are read")
    return as_text(value, "responses")
