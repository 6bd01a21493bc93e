"""One file's rows written in the format of others, and read back: what comes back otherwise is what was lost.

No format says by itself what it can hold. The file is written, read by the very reader that training uses, and
compared with what it was made of, row by row; so a loss is found whether the record, the table or the reader is to
blame. A row that would teach something else is left out and named, unless losses are allowed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from luthier.data import shapes
from luthier.data.files import Fault, records
from luthier.data.formats import Format, Written, find_format
from luthier.data.formats.format import plain
from luthier.data.loss import Loss, invented, losses
from luthier.data.read import LeftOut, Reading, ReadOptions, read
from luthier.data.recognise import recognise
from luthier.data.row import Row
from luthier.data.save import ending, is_table, save
from luthier.errors import DataError, RecipeError
from luthier.types import Example

_TEXTS = ("text", "prompt", "completion", "chosen", "rejected")
"""Columns that are texts or messages, and in a table texts: their readers take what is there as it stands."""


@dataclass(frozen=True, slots=True)
class Lost:
    """A kind of thing that the written rows lack."""

    kind: str
    rows: tuple[str, ...]
    """Ids of the rows that lack it."""


@dataclass(frozen=True, slots=True)
class Converted:
    """What became of every row of a file."""

    path: str
    """The file that was written."""
    format: str
    rows: int
    """Rows that the source holds."""
    written: int
    unreadable: tuple[LeftOut, ...]
    """Rows of the source that are no example."""
    unheld: tuple[LeftOut, ...]
    """Rows that the format cannot hold."""
    lost: tuple[Lost, ...]
    """What the written rows lack, the essential first."""
    recognised: bool
    """Whether `format: auto` reads the new file as what it is."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where rows go, and how."""

    target: Path
    name: str
    format: Format
    options: ReadOptions
    allow_loss: bool


def convert(
    source: str,
    target: Path,
    to: str,
    options: ReadOptions | None = None,
    *,
    allow_loss: bool = False,
    overwrite: bool = False,
) -> Converted:
    """Writes a file's rows in a format of others, all of the file or nothing.

    allow_loss: write rows, too, that lose what they teach. overwrite: replace a file that is there.
    Raises RecipeError for a format or a target that cannot be written, DataError where the source cannot be read or
    not one of its rows can be written.
    """
    options = options or ReadOptions()
    name, format = find_format(to)
    _check_target(source, target, name, format, overwrite=overwrite)
    reading = read(source, options)
    plan = _Plan(target, name, format, options, allow_loss)
    with TemporaryDirectory(dir=target.parent, prefix=".luthier-") as folder:
        draft = Path(folder) / target.name
        done = _written(reading, draft, plan)
        if not done.written:
            first = done.unheld[0]
            raise DataError(f"{target}: nothing is written, no row can be held: {first.id}: {first.reason}")
        draft.replace(target)
    return done


def _check_target(source: str, target: Path, name: str, format: Format, *, overwrite: bool) -> None:
    if is_table(target) and not format.table:
        remedy = "end the name in .json or .jsonl"
        raise RecipeError(
            f"{target}: {format.title} are objects within objects, which no {ending(target)} holds; {remedy}"
        )
    if target.is_dir():
        raise RecipeError(f"{target}: is a folder; name the file to write, for instance {target / f'{name}.jsonl'}")
    if not target.parent.is_dir():
        raise RecipeError(f"{target}: there is no folder {target.parent}; make it, or write elsewhere")
    if target.exists() and Path(source).expanduser().exists() and target.samefile(Path(source).expanduser()):
        raise RecipeError(f"{target}: is the file that is read, and nothing of yours is overwritten; write elsewhere")
    if target.exists() and not overwrite:
        raise RecipeError(f"{target}: is there already; name another file, or pass --overwrite")


def _written(reading: Reading, draft: Path, plan: _Plan) -> Converted:
    """Writes what can be held, in as many rounds as it takes until all that was written reads back as it was."""
    made, unheld = _made(reading.examples, plan)
    while made:
        save(draft, [record for _, record in made])
        found = list(_compared(draft, made, plan))
        bad = [_refused(example, one, plan) for (example, _), one in zip(made, found, strict=True)]
        if not any(bad):
            return _summary(reading, made, unheld, found, plan)
        unheld += [left for left in bad if left is not None]
        made = [pair for pair, left in zip(made, bad, strict=True) if left is None]
    return _summary(reading, [], unheld, [], plan)


def _made(examples: Sequence[Example], plan: _Plan) -> tuple[list[tuple[Example, Written]], list[LeftOut]]:
    """Each example with its record, and those that have none. In a table each row is texts where it can be."""
    alike = all(plain(example) for example in examples)
    table = is_table(plan.target)
    made: list[tuple[Example, Written]] = []
    unheld: list[LeftOut] = []
    for example in examples:
        try:
            record = plan.format.write(example, plain(example) if table else alike)
            if table and any(isinstance(record.get(column), list) for column in _TEXTS):
                raise DataError("is a conversation, which a table of plain texts has no room for; end OUT in .jsonl")
            made.append((example, record))
        except DataError as error:
            unheld.append(LeftOut(example.id, str(error)))
    return made, unheld


def _compared(draft: Path, made: Sequence[tuple[Example, Written]], plan: _Plan) -> Iterator[list[Loss] | str]:
    """For each row what it lost, or why it does not come back as itself."""
    shape = shapes[plan.format.shape]
    with closing(records(draft)) as stream:
        for found, (example, _) in zip(stream, made, strict=True):
            if isinstance(found, Fault):
                yield found.reason
                continue
            row = Row(example.id, example.source, found.values)
            try:
                again = _grouped(shape(row), row, plan.options.group)
                found_losses = losses(example, again)
                yield _changed(found_losses) if invented(example, again) else found_losses
            except DataError as error:
                yield str(error)


def _changed(found: list[Loss]) -> str:
    return f"would be read as something else ({', '.join(loss.kind for loss in found if loss.essential)})"


def _grouped(example: Example, row: Row, column: str | None) -> Example:
    held = {**example.meta, **row.values}
    if column is None or held.get(column) is None:
        return example
    return replace(example, group=replace(row, values=held).text(column))


def _refused(example: Example, found: list[Loss] | str, plan: _Plan) -> LeftOut | None:
    """The row left out, where it cannot be read back or lost what may not be lost."""
    if isinstance(found, str):
        return LeftOut(example.id, found)
    essential = [loss.kind for loss in found if loss.essential]
    if plan.allow_loss or not essential:
        return None
    return LeftOut(example.id, f"would lose: {', '.join(essential)}")


def _summary(
    reading: Reading,
    made: Sequence[tuple[Example, Written]],
    unheld: Sequence[LeftOut],
    found: Sequence[list[Loss] | str],
    plan: _Plan,
) -> Converted:
    rows: dict[Loss, list[str]] = {}
    for (example, _), one in zip(made, found, strict=True):
        for loss in one if isinstance(one, list) else ():
            rows.setdefault(loss, []).append(example.id)
    ranked = sorted(rows, key=lambda loss: (not loss.essential, -len(rows[loss]), loss.kind))
    order = {example.id: place for place, example in enumerate(reading.examples)}
    written = [record for _, record in made]
    columns = {name for record in written for name in record}
    return Converted(
        path=str(plan.target),
        format=plan.name,
        rows=reading.file.rows,
        written=len(made),
        unreadable=reading.left_out,
        unheld=tuple(sorted(unheld, key=lambda left: order[left.id])),
        lost=tuple(Lost(loss.kind, tuple(rows[loss])) for loss in ranked),
        recognised=recognise(columns, written) == plan.format.shape,
    )
