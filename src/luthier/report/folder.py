"""Reading a run folder: every file checked against its shape, and a damaged one named with its line.

required   recipe.yaml  data.json  rows.jsonl  metrics.jsonl  report.json
may lack   issues.jsonl  predictions.jsonl  environment.json     (None, and the page says so)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from luthier.errors import RunError
from luthier.report.records import Data, Measured, Prediction, Report, Row, Step
from luthier.types import Issue

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Run:
    """Everything a report is made from."""

    folder: Path
    report: Report
    data: Data
    rows: tuple[Row, ...]
    steps: tuple[Step, ...]
    evaluations: tuple[Measured, ...]
    recipe: str
    """recipe.yaml as it stands."""
    issues: tuple[Issue, ...] | None
    predictions: tuple[Prediction, ...] | None
    environment: Mapping[str, object] | None


def read_run(folder: Path) -> Run:
    """The run in `folder`. Raises RunError naming the file, and the line, that is missing or damaged."""
    if not folder.is_dir():
        raise RunError(f"{folder}: no such run folder; `luthier train ... --run {folder}` makes one")
    if not (folder / "recipe.yaml").is_file():
        raise RunError(f"{folder}: holds no run (no recipe.yaml); `luthier train --run {folder}` makes one")
    if not (folder / "report.json").exists():
        raise RunError(f"{folder}: has no report.json yet; `luthier train --resume {folder}` finishes the run")
    metrics = _lines(folder / "metrics.jsonl", _METRICS)
    return Run(
        folder=folder,
        report=_whole(folder / "report.json", _REPORT),
        data=_whole(folder / "data.json", _DATA),
        rows=_lines(folder / "rows.jsonl", _ROW),
        steps=tuple(line for line in metrics if isinstance(line, Step)),
        evaluations=tuple(line for line in metrics if isinstance(line, Measured)),
        recipe=_recipe(folder / "recipe.yaml"),
        issues=_lines_if_there(folder / "issues.jsonl", _ISSUE),
        predictions=_lines_if_there(folder / "predictions.jsonl", _PREDICTION),
        environment=_environment(folder / "environment.json"),
    )


_REPORT = TypeAdapter(Report)
_DATA = TypeAdapter(Data)
_ROW = TypeAdapter(Row)
_ISSUE = TypeAdapter(Issue)
_PREDICTION = TypeAdapter(Prediction)
_ENVIRONMENT = TypeAdapter(dict[str, object])
_METRICS: TypeAdapter[Step | Measured] = TypeAdapter(Annotated[Step | Measured, Field(discriminator="kind")])


def _whole(path: Path, shape: TypeAdapter[T]) -> T:
    return _parse(_bytes(path), shape, where=str(path))


def _lines(path: Path, shape: TypeAdapter[T]) -> tuple[T, ...]:
    return tuple(_parse(line, shape, where=f"{path}:{number}") for number, line in _numbered(_bytes(path)) if line)


def _lines_if_there(path: Path, shape: TypeAdapter[T]) -> tuple[T, ...] | None:
    return _lines(path, shape) if path.exists() else None


def _numbered(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Lines of a JSONL file; only a line feed ends one, since U+2028 may stand inside a JSON string."""
    for number, line in enumerate(content.split(b"\n"), start=1):
        yield number, line.strip()


def _parse(content: bytes, shape: TypeAdapter[T], *, where: str) -> T:
    try:
        return shape.validate_json(content)
    except ValidationError as error:
        raise RunError(f"{where}: {_first_problem(error)}; {_REMEDY}") from None


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    value = json.dumps(problem["input"], ensure_ascii=False, default=repr)
    if problem["type"] == "json_invalid":
        return f"not JSON ({problem['msg']})"
    return f"field '{field}': {problem['msg']}, found {value[:80]}"


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path}: missing from the run; {_REMEDY}") from None
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror})") from None


def _recipe(path: Path) -> str:
    content = _bytes(path)
    try:
        text = content.decode("utf-8")
        yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise RunError(f"{path}: not UTF-8 at byte {error.start}; {_REMEDY}") from None
    except yaml.YAMLError as error:
        raise RunError(f"{path}: not YAML ({' '.join(str(error).split())}); {_REMEDY}") from None
    return text


def _environment(path: Path) -> Mapping[str, object] | None:
    return _whole(path, _ENVIRONMENT) if path.exists() else None


_REMEDY = "restore the file from a copy, or train again into a new folder"
