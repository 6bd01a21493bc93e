"""What each run of a folder is, in one line: task, base, metric with its interval, size, parent, date.

Read from the few small files that tell it, so that a hundred runs are listed at once; a damaged one is a line, too.
Not here: the table that a terminal shows (`listing_terminal.py`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeVar

import yaml
from pydantic import TypeAdapter, ValidationError

from luthier.errors import RunError
from luthier.report.records import Data, Interval, Report
from luthier.types import Json

T = TypeVar("T")

SKIPPED = ("checkpoints", "forgetting")
"""Folders of a run in which no other run is looked for."""
OF_A_SEARCH = ("journal.jsonl", "search.json", "ask.lock")
"""Files beside a recipe that make the folder a search's; its trials are no runs."""


@dataclass(frozen=True, slots=True)
class _Base:
    """What a line needs of the model's section."""

    name: str = ""
    quantize: str | None = None


@dataclass(frozen=True, slots=True)
class _Method:
    """What a line needs of the method's section, whatever else it holds."""

    name: str = ""
    kind: str = ""
    rslora: bool = False
    dora: bool = False
    init: str = ""


@dataclass(frozen=True, slots=True)
class _Recipe:
    """What a line needs of recipe.yaml."""

    model: _Base = field(default_factory=_Base)
    method: _Method | str = ""
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A run in a line."""

    run: str
    state: Literal["finished", "unfinished", "damaged"]
    task: str = ""
    """Its training file, and how many labels there are."""
    base: str = ""
    method: str = ""
    variant: tuple[str, ...] = ()
    """What is special about the method or the base it stands on: DoRA, nf4."""
    metric: str = ""
    n: int = 0
    """Test rows it was judged on beside the base."""
    untuned: Interval = field(default_factory=Interval)
    tuned: Interval = field(default_factory=Interval)
    difference: Interval = field(default_factory=Interval)
    verdict: str = ""
    bytes: int | None = None
    """Of the weights and tokenizer in its best checkpoint."""
    parent: str | None = None
    """The run that it went on from."""
    created: str = ""
    """ISO 8601; of an unfinished run, empty."""
    why: str = ""
    """What is wrong with a damaged run."""


def listing(folder: Path) -> tuple[Listed, ...]:
    """Every run in a folder, at any depth, in the order of their names.

    Raises RunError where there is no such folder, or no run in it.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder}: no such folder; name the one that holds runs, or `luthier train --run {folder}/NAME`"
        )
    found = tuple(listed(run) for run in runs(folder))
    if not found:
        raise RunError(f"{folder}: holds no run; `luthier train ... --run {folder}/NAME` makes one")
    return found


def runs(folder: Path) -> Iterator[Path]:
    """The run folders below a folder, itself too; no run is looked for inside a checkpoint."""
    if (folder / "recipe.yaml").is_file():
        if _is_search(folder):
            return
        yield folder
    for below in sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()):
        if below.name not in SKIPPED and not below.name.startswith("."):
            yield from runs(below)


def searches(folder: Path) -> tuple[Path, ...]:
    """The folders of searches below a folder, itself too."""
    return tuple(sorted(path.parent for path in folder.rglob("recipe.yaml") if _is_search(path.parent)))


def _is_search(folder: Path) -> bool:
    return any((folder / name).is_file() for name in OF_A_SEARCH)


def listed(run: Path) -> Listed:
    """One run folder."""
    try:
        recipe, data = _recipe(run / "recipe.yaml"), _json(run / "data.json", Data)
        known = Listed(
            run=str(run),
            state="unfinished",
            task=_task(data),
            base=recipe.model.name,
            method=recipe.method if isinstance(recipe.method, str) else _method(recipe.method),
            variant=_variant(recipe),
            parent=recipe.parent,
            bytes=_bytes(run),
        )
        return _judged(known, _json(run / "report.json", Report)) if (run / "report.json").exists() else known
    except RunError as error:
        return Listed(run=str(run), state="damaged", why=str(error))


def as_json(found: Sequence[Listed], searched: Sequence[Path] = ()) -> dict[str, Json]:
    """For machines."""
    runs = [{**asdict(one), "variant": list(one.variant)} for one in found]
    return {"runs": [*runs], "searches": [str(one) for one in searched]}


def _judged(known: Listed, report: Report) -> Listed:
    verdict = report.verdict
    return replace(
        known,
        state="finished",
        metric=verdict.metric if verdict.n else "",
        n=verdict.n,
        untuned=verdict.base,
        tuned=verdict.tuned,
        difference=verdict.difference,
        verdict=verdict.word,
        created=report.created,
    )


def _method(method: _Method) -> str:
    return f"{method.name}:{method.kind}" if method.kind else method.name


def _variant(recipe: _Recipe) -> tuple[str, ...]:
    method = recipe.method if isinstance(recipe.method, _Method) else _Method()
    said = {
        "DoRA": method.dora,
        "rsLoRA": method.rslora,
        "PiSSA": method.init == "pissa",
        recipe.model.quantize or "": bool(recipe.model.quantize),
    }
    return tuple(name for name, holds in said.items() if holds)


def _task(data: Data) -> str:
    files = [Path(one.path) for one in data.files if one.role == "train"]
    named = "/".join(files[0].parts[-2:]) if files else "?"
    return named + (f", {len(data.labels)} labels" if data.labels else "")


def _bytes(run: Path) -> int | None:
    """What is needed to use the model: not the optimizer's state, which is for resuming."""
    place = next((run / name for name in ("best", "last") if (run / name).is_dir()), None)
    if place is None:
        return None
    files = [path for path in place.rglob("*") if path.is_file() and not path.name.startswith("optimizer")]
    return sum(path.stat().st_size for path in files)


def _recipe(path: Path) -> _Recipe:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
        held = {**tree, "parent": tree.get("from") or None}
        return TypeAdapter(_Recipe).validate_python(held)
    except (OSError, ValueError, TypeError, AttributeError, yaml.YAMLError) as error:
        raise RunError(f"{path}: cannot be read ({type(error).__name__})") from None


def _json(path: Path, shape: type[T]) -> T:
    try:
        return TypeAdapter(shape).validate_python(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError) as error:
        raise RunError(f"{path}: cannot be read ({type(error).__name__})") from None
