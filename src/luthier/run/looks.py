"""Readings of a run's test rows: noted when it ends, once however often it was stopped, and when it is judged again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from luthier.data.read import ReadOptions, undress
from luthier.evaluate.reads import Read, noted, reading, told
from luthier.run.files import read_json, write_json
from luthier.run.prepare import Prepared
from luthier.types import Example, Json

NAME = "reads.json"
"""In a run folder: the reading of its test rows at its end, and those before it."""


def looked(prepared: Prepared, folder: Path) -> tuple[Read, ...]:
    """Notes that a run read its test rows, unless it did so in an earlier sitting; returns the readings before."""
    path = folder / NAME
    if path.exists():
        return tuple(Read(**read) for read in read_json(path)["before"])
    read = reading(prepared.corpus.splits["test"], run=str(folder.absolute()), model=prepared.model.name, by="train")
    before = noted(read, file=prepared.files.get("test", prepared.files["train"]).path)
    write_json(path, {"read": asdict(read), "before": [asdict(one) for one in before]})
    return before


@dataclass(frozen=True, slots=True)
class Source:
    """Rows, and how they were read."""

    rows: Sequence[Example]
    file: str
    options: ReadOptions
    labels: Sequence[str] | None
    """What `{labels}` in the instruction became."""


def looked_again(source: Source, target: str, model: str) -> tuple[Read, ...]:
    """Notes that a run or a model was judged on rows; returns the readings before."""
    bare = [replace(row, prompt=undress(row.prompt, source.options, source.labels)) for row in source.rows]
    run = str(Path(target).absolute()) if Path(target).exists() else target
    return noted(reading(bare, run=run, model=model, by="evaluate"), file=source.file)


def reads_json(before: Sequence[Read]) -> dict[str, Json]:
    """`reads` of report.json: how often the test rows were read before, by whom, and the sentence that says so."""
    return {"before": len(before), "by": [one.run for one in before], "sentence": told(before)}
