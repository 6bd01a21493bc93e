"""Real rows to prove an export on: the run's own predictions, asked again."""

from __future__ import annotations

from pathlib import Path

from luthier.errors import RunError
from luthier.evaluate import read_predictions
from luthier.methods.tuned import Tuned
from luthier.types import Completion, Example, Message


def rows_of(tuned: Tuned, *, limit: int) -> tuple[Example, ...]:
    """At most `limit` rows of the run's predictions.jsonl, evenly spread, with the recipe's system message.

    Raises RunError where there are none.
    """
    file = Path(tuned.run) / "predictions.jsonl"
    rows = [row for row in read_predictions(file)[0] if row.question and row.references]
    if not rows:
        raise RunError(f"{file}: no row with question and reference; hand in `examples`, or evaluate on test rows")
    before = _system(tuned)
    spread = [rows[at * len(rows) // min(limit, len(rows))] for at in range(min(limit, len(rows)))]
    return tuple(
        Example(row.id, (*before, Message("user", row.question)), (_answer(row.references[0]),)) for row in spread
    )


def _answer(text: str) -> Completion:
    return Completion((Message("assistant", text),))


def _system(tuned: Tuned) -> tuple[Message, ...]:
    data = tuned.settings.get("data")
    system = data.get("system") if isinstance(data, dict) else None
    return (Message("system", system),) if isinstance(system, str) else ()
