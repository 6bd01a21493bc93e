"""One record with its place, and typed access to its fields; every refusal says what to do."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from luthier.data.text import blemish
from luthier.errors import DataError
from luthier.types import Json, Message
from luthier.words import closest

_ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
}
_READ = frozenset({"role", "from", "content", "value", "train", "weight"})


@dataclass(frozen=True, slots=True)
class Row:
    """A record on its way to becoming an Example."""

    id: str
    """`file.csv:17`."""
    source: str
    """The file or hub name it was read from."""
    values: Mapping[str, Json]
    """Its fields by column."""
    input: str | None = None
    """The column the user named as input."""
    output: str | None = None
    """The column the user named as output."""

    def value(self, column: str) -> Json:
        """The field of a column. Raises DataError where the record has no such field or it is null."""
        if column not in self.values:
            known = sorted(self.values)
            hint = closest(column, known) or f"; its fields are {', '.join(known)}"
            raise DataError(f"has no field {column!r}{hint}")
        return _present(self.values[column], column)

    def text(self, column: str) -> str:
        """The field as `as_text` has it. Raises DataError where it is none."""
        return as_text(self.value(column), column)

    def weight(self, column: str) -> float:
        """The field as a number above 0; raises DataError where it is none."""
        try:
            found = float(self.text(column))
        except ValueError:
            found = math.nan
        if not 0 < found < math.inf:
            remedy = "write a number above 0, or remove the row"
            raise DataError(f"{column!r} is {self.values[column]!r}, no weight; {remedy}")
        return found

    def messages(self, column: str) -> tuple[Message, ...]:
        """The field, or its JSON text, as a conversation. Raises DataError with the number of the turn that is none."""
        found = self.value(column)
        if isinstance(found, str) and found.lstrip().startswith("["):
            found = _listed(found, column)
        if not isinstance(found, list) or not found:
            raise DataError(f"{column!r} is not a list of messages; write [{{'role': ..., 'content': ...}}, ...]")
        return tuple(_message(turn, f"{column}[{number}]") for number, turn in enumerate(found))

    def tools(self) -> tuple[Mapping[str, Json], ...]:
        """Tool definitions, given as a list of objects or as its JSON text; none where there is no such field."""
        found = self.values.get("tools")
        if isinstance(found, str) and found.strip():
            try:
                found = json.loads(found)
            except ValueError as error:
                raise DataError(f"'tools' is not JSON ({error}); write a list of objects") from error
        if not found:
            return ()
        if not isinstance(found, list):
            raise DataError(f"'tools' is a {type(found).__name__}; write a list of objects")
        tools = tuple(tool for tool in found if isinstance(tool, dict))
        if len(tools) < len(found):
            raise DataError("'tools' holds something that is not an object; write a list of objects")
        return tools

    def rest(self, *used: str) -> Mapping[str, Json]:
        """The fields no shape has read."""
        return {name: value for name, value in self.values.items() if name not in used}


def as_text(value: Json, column: str) -> str:
    """A value as text to learn, numbers and booleans written as JSON does.

    column: where it stands, for the refusal. Raises DataError where it is no text, or an empty one.
    """
    found = _present(value, column)
    if isinstance(found, float) and math.isinf(found):
        raise DataError(f"{column!r} is {found}, which is no number to learn; write text there or remove the row")
    if isinstance(found, bool | int | float):
        return json.dumps(found)
    if not isinstance(found, str):
        raise DataError(f"{column!r} is a {type(found).__name__}, not text; put text there")
    if not found.strip():
        raise DataError(f"{column!r} is empty; fill it in or remove the row")
    return _readable(found, column)


def _present(value: Json, column: str) -> Json:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        raise DataError(f"{column!r} is missing (null); fill it in or remove the row")
    return value


def _listed(text: str, column: str) -> Json:
    """The list that a table of plain texts holds as JSON."""
    try:
        found: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{column!r} is not JSON ({error}); write a list of messages") from error
    return found


def _message(turn: Json, place: str) -> Message:
    if not isinstance(turn, dict):
        raise DataError(f"{place} is a {type(turn).__name__}; write {{'role': ..., 'content': ...}}")
    role = _role(turn, place)
    fields = {name: value for name, value in turn.items() if name not in _READ and value is not None}
    content = _content(turn, place, optional=role == "assistant" and bool(fields.get("tool_calls")))
    train = turn.get("train")
    if not (train is None or isinstance(train, bool)):
        raise DataError(f"{place}: 'train' is {train!r}; write true or false")
    if train and role != "assistant":
        raise DataError(f"{place}: 'train' is true on a {role} turn, but only the assistant's are learned; remove it")
    return Message(role, content, train=train, weight=_weight(turn, place), fields=fields)


def _role(turn: Mapping[str, Json], place: str) -> str:
    role = turn.get("role", turn.get("from"))
    if not isinstance(role, str) or role not in _ROLES:
        known = list(_ROLES)
        hint = closest(str(role), known) or f"; use one of {', '.join(known)}"
        raise DataError(f"{place}: {role!r} is not a role{hint}")
    return _ROLES[role]


def _content(turn: Mapping[str, Json], place: str, *, optional: bool) -> str:
    content = turn.get("content", turn.get("value"))
    if content is None and optional:
        return ""
    if isinstance(content, list):
        content = "".join(_part(part, place) for part in content)
    if not isinstance(content, str):
        raise DataError(f"{place}: 'content' is {type(content).__name__}, not text; put text there")
    return _readable(content, place)


def _part(part: Json, place: str) -> str:
    text = part.get("text") if isinstance(part, dict) and part.get("type") == "text" else part
    if isinstance(text, str):
        return text
    kind = part.get("type") if isinstance(part, dict) else type(part).__name__
    raise DataError(f"{place}: 'content' holds a part of type {kind!r}; only text is read")


def _weight(turn: Mapping[str, Json], place: str) -> float:
    weight = turn.get("weight")
    if weight is None:
        return 1.0
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise DataError(f"{place}: 'weight' is {weight!r}; write a number from 0 up")
    return float(weight)


def _readable(text: str, place: str) -> str:
    if flaw := blemish(text):
        raise DataError(f"{place!r} {flaw}")
    return text
