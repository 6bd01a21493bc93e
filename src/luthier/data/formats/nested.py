"""What annotation tools have in common: columns in an inner object beside the tool's own, and answers with voters.

Inner columns become columns of the example by their own names; one that has the name of an outer column keeps its
place before the name (`data.id`), so that the record can be written again as it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from luthier.data.formats.format import Written
from luthier.data.row import Row
from luthier.errors import DataError
from luthier.types import Json, Message
from luthier.words import closest

_USUAL = ("text", "messages", "dialogue", "prompt", "instruction", "question", "input")
"""Names that the column of the input usually has, tried in this order."""


def inner(values: Mapping[str, Json], column: str) -> dict[str, Json]:
    """The object in a column. Raises DataError where there is something else."""
    found = values.get(column)
    if not isinstance(found, dict):
        kind = type(found).__name__ if column in values else "not there"
        raise DataError(f"{column!r} is {kind}; write an object {{...}} there")
    return found


def objects(value: Json, column: str) -> list[dict[str, Json]]:
    """A list of objects; empty where the column is null or missing."""
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DataError(f"{column!r} is not a list of objects; write [{{...}}, ...]")
    return [one for one in value if isinstance(one, dict)]


def input_of(columns: Mapping[str, Json], row: Row) -> str:
    """The inner column that is asked about: the one named, the usual one, or the only text or conversation."""
    if row.input is not None:
        if row.input not in columns:
            raise DataError(f"has no field {row.input!r}{closest(row.input, list(columns))}")
        return row.input
    held = [name for name, value in columns.items() if isinstance(value, str | list)]
    found = next((name for name in _USUAL if name in held), held[0] if len(held) == 1 else None)
    if found is None:
        raise DataError(f"which of {', '.join(held) or 'its fields'} is the input? name it with --input")
    return found


def question(columns: Mapping[str, Json], row: Row) -> tuple[str, tuple[Message, ...]]:
    """The inner column that is asked about, and its text or conversation as messages."""
    name = input_of(columns, row)
    own = Row(row.id, row.source, columns)
    return name, own.messages(name) if isinstance(columns[name], list) else (Message("user", own.text(name)),)


def agreed(votes: Sequence[str]) -> str:
    """What most annotators say. Raises DataError where no answer has more votes than every other."""
    ranked = Counter(votes).most_common()
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        said = ", ".join(f"{text[:40]!r} ({count})" for text, count in ranked[:4])
        raise DataError(f"its annotators disagree: {said}; settle it in the tool, or leave the row out")
    return ranked[0][0]


def asked_about(names: Collection[str], row: Row) -> str:
    """The one thing that was annotated, or the one named as output."""
    if row.output is not None and row.output in names:
        return row.output
    if row.output is not None:
        raise DataError(f"was not annotated for {row.output!r}, only for {', '.join(names) or 'nothing'}")
    if len(names) != 1:
        raise DataError(f"was annotated for {', '.join(names)}; name the one to learn with --output")
    return next(iter(names))


def spread(outer: Mapping[str, Json], within: Mapping[str, Json], place: str, own: frozenset[str]) -> Written:
    """Outer and inner columns side by side; `own` are the tool's outer ones, `place` is where the inner ones stood."""
    found = {name if name in own else f"record.{name}": value for name, value in outer.items()}
    return found | {f"{place}.{name}" if name in own else name: value for name, value in within.items()}


def gathered(columns: Mapping[str, Json], place: str, own: frozenset[str]) -> tuple[Written, Written]:
    """The outer and the inner columns that `spread` laid side by side."""
    outer: Written = {}
    within: Written = {}
    for name, value in columns.items():
        if name in own:
            outer[name] = value
        elif name.startswith("record.") and name.removeprefix("record.") not in own:
            outer[name.removeprefix("record.")] = value
        else:
            bare = name.removeprefix(f"{place}.")
            within[bare if bare in own else name] = value
    return outer, within
