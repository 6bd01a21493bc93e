"""A file to examples, with every row of it accounted for: an example, or a row left out and why."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from luthier.data import Shape, shapes
from luthier.data.files import Fault, Record, readers, records
from luthier.data.hub import fingerprint, hub_name, hub_records
from luthier.data.label import are_labels, label_set, with_label
from luthier.data.recognise import nested, recognise
from luthier.data.row import Row
from luthier.errors import ColumnError, DataError, RecipeError
from luthier.manifest import sha256
from luthier.types import Example, Message
from luthier.words import closest

_PERHAPS_LABELS = (shapes["argilla"], shapes["doccano"])
"""Shapes that do not say whether an answer is a label or a text."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How the rows of a file become examples."""

    format: str = "auto"
    """Shape of a record: auto, prompt, messages, sharegpt, alpaca, label, pair, unpaired, openai_preference,
    labelstudio, argilla, doccano, prodigy, or `module:function` for your own."""
    input: str | None = None
    """Column that holds the input."""
    output: str | None = None
    """Column that holds the wanted answer."""
    group: str | None = None
    """Column that says which rows belong together (user, thread, document); they never straddle a split."""
    weight: str | None = None
    """Column of a row's loss weight, a number above 0 by which all that is learned of it is multiplied."""
    system: str | None = None
    """System message put before every prompt that has none."""
    instruction: str | None = None
    """Text put before the input, with a blank line between; `{labels}` in it becomes the sorted labels, one a line."""
    encoding: str | None = None
    """Encoding of the file; by default its byte-order mark, else UTF-8."""
    skip_bad_rows: bool = False
    """Leave rows out that cannot be used, by name and reason, rather than stop at the first."""
    limit: int | None = None
    """Read this many rows and look at no more."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row that became no example."""

    id: str
    reason: str
    """What is wrong with it and what would mend it."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What identifies the file that was read."""

    path: str
    sha256: str
    """Of its bytes as they lie on the disk; of its rows as JSON lines for a dataset on the hub."""
    rows: int
    """Rows read: examples and rows left out."""
    bytes: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Everything a file gave."""

    examples: tuple[Example, ...]
    left_out: tuple[LeftOut, ...]
    file: FileFacts
    labels: tuple[str, ...] | None
    """The sorted labels, where the answers are labels."""


def read(
    path: str, options: ReadOptions | None = None, *, labels: Sequence[str] | None = None, name: str | None = None
) -> Reading:
    """Every row of a file, or of a hub dataset, as an example or as a row left out.

    `labels` are those of the training file, for reading its validation and test files: they decide that answers are
    labels, and stand in the instruction. `name` is what ids
    begin with, by default the file's name. Raises DataError; RecipeError for a limit below 1.
    """
    options = options or ReadOptions()
    if options.limit is not None and options.limit < 1:
        raise RecipeError(f"limit: {options.limit} reads no row; give 1 or more, or none for all")
    rows, facts = _rows(path, options)
    source = name or Path(facts.path).name
    shape = _shape(rows, source, options)
    examples, left_out = _examples(rows, source, shape, options)
    if not examples:
        first = f"; the first: {left_out[0].id}: {left_out[0].reason}" if left_out else ""
        raise DataError(f"{source}: no row of {facts.rows} can be used{first or '; it has only a header or nothing'}")
    if labels is not None or (
        (options.output or shape in _PERHAPS_LABELS)
        and are_labels([row.answer.strip() for row in examples], options.output or "")
    ):
        _each(examples, with_label)
    found = label_set(examples)
    shown = tuple(labels) if labels is not None else found
    if options.instruction is not None or options.system is not None:
        _each(examples, lambda example: replace(example, prompt=dress(example.prompt, options, shown)))
    return Reading(tuple(examples), tuple(left_out), facts, found)


def dress(prompt: Iterable[Message], options: ReadOptions, labels: Sequence[str] | None) -> tuple[Message, ...]:
    """A prompt with the options' system message and instruction: as in training, so in serving."""
    turns = list(prompt)
    if options.instruction is not None:
        text = _instruction(options.instruction, labels)
        first = next((place for place, turn in enumerate(turns) if turn.role == "user"), None)
        if first is None:
            turns.append(Message("user", text))
        else:
            turns[first] = replace(turns[first], content=f"{text}\n\n{turns[first].content}")
    if options.system is not None and all(turn.role != "system" for turn in turns):
        turns.insert(0, Message("system", options.system))
    return tuple(turns)


def undress(prompt: Sequence[Message], options: ReadOptions, labels: Sequence[str] | None) -> tuple[Message, ...]:
    """A dressed prompt as it stood in the file: without the options' system message and instruction."""
    turns = list(prompt)
    if options.system is not None and turns[:1] == [Message("system", options.system)]:
        del turns[0]
    first = next((place for place, turn in enumerate(turns) if turn.role == "user"), None)
    if options.instruction is not None and first is not None:
        before = f"{_instruction(options.instruction, labels)}\n\n"
        turns[first] = replace(turns[first], content=turns[first].content.removeprefix(before))
    return tuple(turns)


def ask(text: str, options: ReadOptions, *, labels: Sequence[str] | None = None) -> tuple[Message, ...]:
    """The prompt for one new input."""
    return dress((Message("user", text),), options, labels)


def distinct_names(paths: Sequence[str]) -> tuple[str, ...]:
    """For each path the shortest ending that tells it from the others: what ids of several files begin with."""
    parts = [Path(path).resolve().parts for path in paths]
    return tuple(_shortest(own, [other for other in parts if other != own]) for own in parts)


def _shortest(own: tuple[str, ...], others: list[tuple[str, ...]]) -> str:
    length = next(n for n in range(1, len(own) + 1) if all(other[-n:] != own[-n:] for other in others))
    return "/".join(own[-length:])


def _instruction(text: str, labels: Sequence[str] | None) -> str:
    if "{labels}" not in text:
        return text
    if not labels:
        remedy = "read with format='label', or write the instruction without it"
        raise DataError(f"instruction: holds '{{labels}}', but the answers are not labels; {remedy}")
    return text.replace("{labels}", "\n".join(labels))


def _rows(path: str, options: ReadOptions) -> tuple[list[Record | Fault], FileFacts]:
    hub = hub_name(path)
    if hub is not None:
        table = hub_records(*hub)[: options.limit]
        digest, size = fingerprint(table)
        return list(table), FileFacts(path.removeprefix("hub:"), digest, len(table), size)
    file = existing(path)
    with closing(records(file, encoding=options.encoding)) as stream:
        rows = list(islice(stream, options.limit))
    return rows, FileFacts(path, sha256(file), len(rows), file.stat().st_size)


def existing(path: str) -> Path:
    """The file of a path. Raises DataError where there is none, it is a folder, or it has no bytes."""
    if "://" in path:
        raise DataError(f"{path}: is an address on the web, and none is read; download the file and name it")
    file = Path(path).expanduser()
    if file.is_dir():
        held = [entry.name for entry in sorted(file.iterdir()) if entry.suffix in readers or entry.suffix == ".gz"]
        raise DataError(f"{path}: is a folder; name one file in it" + (f": {', '.join(held[:5])}" if held else ""))
    if not file.is_file():
        near = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        hint = closest(file.name, near, cutoff=0.75) or (
            f"; {file.parent} is no folder either" if not file.parent.is_dir() else ""
        )
        raise DataError(f"{path}: there is no such file{hint or '; check the path'}")
    if file.stat().st_size == 0:
        raise DataError(f"{path}: is empty (0 bytes); give it a row for each example")
    return file


def _each(examples: list[Example], change: Callable[[Example], Example]) -> None:
    """Changes them where they stand, so that a million are never held twice."""
    for at, example in enumerate(examples):
        examples[at] = change(example)


def _examples(
    rows: list[Record | Fault], source: str, shape: Shape, options: ReadOptions
) -> tuple[list[Example], list[LeftOut]]:
    """What the rows become; the list is emptied on the way, so that a million are never held twice."""
    examples: list[Example] = []
    left_out: list[LeftOut] = []
    rows.reverse()
    while rows:
        row = rows.pop()
        place = f"{source}:{row.line}"
        try:
            examples.append(_example(row, place, source, shape, options))
        except DataError as error:
            if not options.skip_bad_rows:
                remedy = "or --skip-bad-rows to leave such rows out"
                raise DataError(f"{place}: {error}; {remedy}") from error
            left_out.append(LeftOut(place, str(error)))
    return examples, left_out


def _example(row: Record | Fault, place: str, source: str, shape: Shape, options: ReadOptions) -> Example:
    if isinstance(row, Fault):
        raise DataError(row.reason)
    record = Row(place, source, row.values, options.input, options.output)
    example = shape(record)
    example = replace(example, group=_group(record, example, options.group)) if options.group else example
    return _weighted(example, record.weight(options.weight)) if options.weight else example


def _weighted(example: Example, weight: float) -> Example:
    """The example with the weight of every message multiplied."""
    if weight == 1:
        return example
    completions = tuple(replace(one, messages=_times(one.messages, weight)) for one in example.completions)
    return replace(example, prompt=_times(example.prompt, weight), completions=completions)


def _times(turns: Iterable[Message], weight: float) -> tuple[Message, ...]:
    return tuple(replace(turn, weight=turn.weight * weight) if turn.role == "assistant" else turn for turn in turns)


def _group(record: Row, example: Example, column: str) -> str:
    """The value of the group's column, which may stand inside an object of the record."""
    return replace(record, values={**example.meta, **record.values}).text(column)


def _shape(rows: Sequence[Record | Fault], source: str, options: ReadOptions) -> Shape:
    records = [row.values for row in rows if isinstance(row, Record)]
    columns = {column: None for record in records for column in record}
    name = options.format if options.format != "auto" else recognise(columns, records)
    if name in nested:
        columns = {column: None for record in records for column in nested[name](record)}
    _check_named(list(columns), source, options, both=name not in nested)
    if name is not None and (options.format != "auto" or name in nested):
        return _shape_named(name)
    if options.input and options.output:
        return shapes["prompt"]
    if name is None and columns:
        seen = ", ".join(columns)
        remedy = "pass --input COLUMN --output COLUMN to say which is asked and which is the answer"
        raise ColumnError(f"{source}: no known shape of record in the columns {seen}; {remedy}")
    return shapes[name or "prompt"]


def _named_columns(options: ReadOptions) -> list[tuple[str, str | None]]:
    return [(name, getattr(options, name)) for name in ("input", "output", "group", "weight")]


def _check_named(columns: list[str], source: str, options: ReadOptions, *, both: bool) -> None:
    """Raises DataError for a column that is not there, and where one of input and output is named but `both` needed."""
    for option, column in _named_columns(options):
        if column is not None and columns and column not in columns:
            hint = closest(column, columns) or f"; the columns are {', '.join(columns)}"
            raise ColumnError(f"{source}: {option}: there is no column {column!r}{hint}")
    if both and options.format == "auto" and bool(options.input) != bool(options.output):
        given, missing = ("input", "output") if options.input else ("output", "input")
        raise DataError(f"{source}: --{given} is named without --{missing}; name both")


def _shape_named(name: str) -> Shape:
    if name in shapes:
        return shapes[name]
    module, colon, function = name.partition(":")
    if not colon:
        hint = closest(name, list(shapes)) or f"; use auto, {', '.join(shapes)} or module:function"
        raise DataError(f"format: {name!r} is not a shape{hint}")
    try:
        shape: Shape = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise DataError(f"format: {name!r} cannot be imported ({error}); check the module and the function") from error
    return shape
