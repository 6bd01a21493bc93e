"""Real rows to prove an export on: the run's own predictions asked again, or where it made none its training rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from luthier.data.hub import hub_name
from luthier.data.read import ReadOptions, read
from luthier.errors import DataError, RecipeError, RunError
from luthier.evaluate import read_predictions
from luthier.methods.tuned import Tuned
from luthier.types import Completion, Example, Json, Message


def rows_of(tuned: Tuned, *, limit: int) -> tuple[Example, ...]:
    """At most `limit` rows, evenly spread: of the run's predictions.jsonl, else of the file it was trained on.

    Raises RunError where neither can be had.
    """
    file = Path(tuned.run) / "predictions.jsonl"
    rows = _predicted(tuned, file) if file.exists() else _trained_on(tuned)
    return tuple(rows[at * len(rows) // min(limit, len(rows))] for at in range(min(limit, len(rows))))


def _predicted(tuned: Tuned, file: Path) -> Sequence[Example]:
    """With the recipe's system message."""
    rows = [row for row in read_predictions(file)[0] if row.question and row.references]
    if not rows:
        raise RunError(f"{file}: no row with question and reference; hand in rows of your own, `examples=`")
    before = _system(tuned)
    return [Example(row.id, (*before, Message("user", row.question)), (_answer(row.references[0]),)) for row in rows]


def _trained_on(tuned: Tuned) -> Sequence[Example]:
    """The training file read again; nothing is imported or fetched for it, whatever the recipe names."""
    data = _data(tuned)
    path, shape = data.get("train"), str(data.get("format") or "")
    try:
        if not isinstance(path, str) or hub_name(path) is not None or ":" in shape:
            raise DataError("its training rows are not in a file that is read without asking the network or importing")
        known = {field.name: data[field.name] for field in fields(ReadOptions) if field.name in data}
        return read(path, TypeAdapter(ReadOptions).validate_python(known)).examples
    except (DataError, RecipeError, ValidationError) as error:
        reason = " ".join(str(error).split())
        raise RunError(
            f"{tuned.run}: holds no predictions.jsonl to prove the export on, since it had no test rows, and its "
            f"training rows cannot be read ({reason}); put the file back, or hand in rows of your own, `examples=`"
        ) from error


def _answer(text: str) -> Completion:
    return Completion((Message("assistant", text),))


def _system(tuned: Tuned) -> tuple[Message, ...]:
    system = _data(tuned).get("system")
    return (Message("system", system),) if isinstance(system, str) else ()


def _data(tuned: Tuned) -> dict[str, Json]:
    data = tuned.settings.get("data")
    return dict(data) if isinstance(data, dict) else {}
