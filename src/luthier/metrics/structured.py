"""Answers that are to be JSON: whether they are, whether they follow a schema, how much of a reference they hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

from luthier.errors import RecipeError
from luthier.types import Json

if TYPE_CHECKING:
    from luthier.metrics.metric import RowMetric


def json_valid(prediction: str, references: Sequence[str]) -> float:
    """1 if the whole prediction is JSON (RFC 8259), else 0."""
    return float(parsed(prediction) is not None)


def json_equal(prediction: str, references: Sequence[str]) -> float:
    """1 if the prediction is the same JSON value as a reference, whatever the order of keys and the spacing, else 0."""
    given = parsed(prediction)
    return float(given is not None and any(given == parsed(text) for text in references))


def json_f1(prediction: str, references: Sequence[str]) -> float:
    """Best harmonic mean of precision and recall of the values at their places, over references, in [0, 1].

    A place is the path of keys down to a value; the items of a list share theirs, so that their order does not matter.
    """
    given = parsed(prediction)
    found = Counter(_leaves(given[0])) if given is not None else Counter[str]()
    return max((_overlap(found, parsed(text)) for text in references), default=0.0)


def follows(schema: Path) -> RowMetric:
    """A metric that is 1 where a prediction is JSON that follows a JSON Schema file, else 0.

    Raises RecipeError where the file is no schema, or `jsonschema` is not installed.
    """
    valid = _validator(schema)

    def json_schema(prediction: str, references: Sequence[str]) -> float:
        given = parsed(prediction)
        return float(given is not None and valid(given[0]))

    return json_schema


def parsed(text: str) -> tuple[Json] | None:
    """The value a text is in JSON, in a tuple, since it may be null; None where the text is no JSON."""
    try:
        return (cast(Json, json.loads(text, parse_constant=_no_json)),)
    except (ValueError, RecursionError):
        return None


@cache
def _validator(schema: Path) -> Callable[[Json], bool]:
    if find_spec("jsonschema") is None:
        raise RecipeError("json_schema needs the package jsonschema; install it with `pip install 'luthier[schema]'`")
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from jsonschema.validators import validator_for

    try:
        read = json.loads(schema.read_text(encoding="utf-8"))
        kind = validator_for(read, default=Draft202012Validator)
        kind.check_schema(read)
    except (OSError, ValueError, SchemaError) as error:
        why = getattr(error, "message", str(error))
        raise RecipeError(f"{schema}: is no JSON Schema ({why}); write json_schema=FILE") from error
    checks: Callable[[Json], bool] = kind(read).is_valid
    return checks


def _no_json(constant: str) -> Json:
    raise ValueError(f"{constant} is no JSON")


def _leaves(value: Json, path: str = "") -> Iterator[str]:
    """Every value that holds no others, with its path; an empty object or list is one."""
    inner = (
        value.items() if isinstance(value, dict) else [("", one) for one in value] if isinstance(value, list) else ()
    )
    for key, below in inner:
        yield from _leaves(below, f"{path}/{json.dumps(key)}")
    if not inner:
        yield f"{path}={json.dumps(value)}"


def _overlap(given: Counter[str], reference: tuple[Json] | None) -> float:
    if reference is None or not given:
        return 0.0
    right = Counter(_leaves(reference[0]))
    return 2 * (given & right).total() / (given.total() + right.total())
