"""`predictions.jsonl`: a line a row, base beside tuned; what every number of a report can be traced to."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from math import nan
from pathlib import Path
from typing import cast

from luthier.errors import RunError, ShapeError
from luthier.evaluate.measure import Row
from luthier.evaluate.tables import number
from luthier.types import Json


def write_predictions(
    path: Path, tuned: Sequence[Row], base: Sequence[Row] | None = None, *, split: str = "test"
) -> None:
    """Writes the rows, whole or not at all; where the base was not asked, its field is null.

    Raises ShapeError if the base was asked a row that the tuned model was not.
    """
    before = {row.id: row for row in base or ()}
    if strange := before.keys() - {row.id for row in tuned}:
        raise ShapeError(f"{len(strange)} base rows are not among the {len(tuned)} tuned ones; evaluate the same rows")
    unfinished = path.with_name(path.name + ".tmp")
    with unfinished.open("w", encoding="utf-8") as file:
        for row in tuned:
            line = _line(row, before.get(row.id), split)
            file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
    os.replace(unfinished, path)


def read_predictions(path: Path) -> tuple[tuple[Row, ...], tuple[Row, ...] | None]:
    """The tuned rows, and those of the base where it was asked, in the same order.

    Raises RunError with file and line for a file that is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8") as file:
            lines = list(file)
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(f"{path}: cannot be read ({error}); restore the file from a copy") from error
    found = [_read(line, f"{path}:{at}") for at, line in enumerate(lines, start=1)]
    base = [row for _, row in found if row is not None]
    return tuple(row for row, _ in found), tuple(base) or None


def _line(row: Row, base: Row | None, split: str) -> dict[str, Json]:
    return {
        "id": row.id,
        "split": split,
        "question": row.question,
        "reference": list(row.references),
        "label": row.label,
        "group": row.group,
        "tokens": row.tokens,
        "bytes": row.bytes,
        "base": None if base is None else _said(base),
        "tuned": _said(row),
    }


def _said(row: Row) -> dict[str, Json]:
    scores: dict[str, Json] = {name: number(score) for name, score in row.scores.items()}
    found: dict[str, Json] = {"text": row.text, "logprob": None if row.logprob is None else number(row.logprob)}
    if row.finished is not None:
        found["finished"] = row.finished
    if row.options:
        found |= {"confidence": row.confidence, "left_out": row.left_out, "options": dict(row.options)}
    return {**found, "scores": scores}


def _read(line: str, where: str) -> tuple[Row, Row | None]:
    try:
        record = cast(dict[str, Json], json.loads(line))
        base = record["base"]
        return _row(record, record["tuned"]), None if base is None else _row(record, base)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{where}: not a row of predictions ({error!r}); restore the file from a copy") from error


def _row(record: dict[str, Json], said: Json) -> Row:
    answer = cast(dict[str, Json], said)
    scores = cast(dict[str, float | None], answer["scores"])
    references = cast(list[str], record["reference"])
    return Row(
        id=cast(str, record["id"]),
        question=cast(str, record["question"]),
        references=tuple(references),
        label=cast(str | None, record["label"]),
        group=cast(str | None, record["group"]),
        tokens=cast(float, record["tokens"]),
        text=cast(str, answer["text"]),
        logprob=cast(float | None, answer["logprob"]),
        scores={name: nan if score is None else score for name, score in scores.items()},
        bytes=cast(float, record.get("bytes", sum(len(text.encode()) for text in references))),
        finished=cast(bool | None, answer.get("finished")),
        options=cast(dict[str, float], answer.get("options", {})),
        left_out=cast(float | None, answer.get("left_out")),
    )
