"""doccano's JSONL: `text` and a list of answers in `label` (`labels` in old exports); several are all right."""

from __future__ import annotations

from dataclasses import replace

from luthier.data.formats.format import Written, flat, only
from luthier.data.row import Row, as_text
from luthier.data.shape import ending, made
from luthier.errors import DataError
from luthier.types import Completion, Example, Json, Message


def doccano(row: Row) -> Example:
    """A text with its classes, or with what it is to be turned into."""
    column = "label" if "label" in row.values else "labels"
    texts = _texts(row.value(column), column)
    answer = ending((Message("assistant", texts[0]),), column)
    example = made(row, (Message("user", row.text("text")),), (Completion(answer),), "text", column)
    return example if len(texts) == 1 else replace(example, references=tuple(texts))


def write_doccano(example: Example, texts: bool) -> Written:
    """`text` and `label`."""
    question = only(example)
    if len(example.completions) > 1 or example.completions[0].score != 1:
        raise DataError("holds several answers or a score, and doccano holds right answers; use --to pair or unpaired")
    answers: list[Json] = list(example.references or (example.answer,))
    return flat(example, {"text": question, "label": answers}, "labels")


def _texts(found: Json, column: str) -> list[str]:
    if not isinstance(found, list) or not found:
        raise DataError(f"{column!r} holds no label; label the row in doccano, or leave it out")
    if not all(isinstance(one, str) for one in found):
        raise DataError(f"{column!r} holds spans or numbers; only whole-text labels and texts are answers")
    return [as_text(one, column) for one in found]
