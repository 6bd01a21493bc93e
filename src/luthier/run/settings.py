"""Every setting of a recipe, with its default and the meaning that stands under it in the code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from itertools import pairwise
from types import MappingProxyType

from rich.table import Table
from rich.text import Text

from luthier.recipe import DEFAULTS, FROM, PLUGS, SECTIONS
from luthier.types import Json


@dataclass(frozen=True, slots=True)
class Setting:
    """One key of a recipe."""

    name: str
    """As it is written on the command line: `train.lr`."""
    default: Json
    meaning: str


def settings(words: Sequence[str] = (), more: Mapping[str, type] = MappingProxyType({})) -> list[Setting]:
    """All settings whose name or meaning holds every word; those of a plug-in under its kind's name.

    more: sections that a room above a run's reads.
    """
    found = [setting for name, shape in SECTIONS.items() for setting in _of(name, shape)]
    for kind, shapes in PLUGS.items():
        found.append(Setting(kind, DEFAULTS[kind], f"One of {', '.join(shapes)}, or module:Class."))
        for plug, shape in shapes.items():
            found += [Setting(s.name, s.default, f"({plug}) {s.meaning}") for s in _of(kind, shape)]
    found.append(Setting("run", "runs/NAME", "Folder that everything of the run is written to."))
    going_on = "A finished run, whose tuned model is gone on from; what a recipe leaves out is then as in that run."
    found.append(Setting(FROM, None, going_on))
    found += [setting for name, shape in more.items() for setting in _of(name, shape)]
    wanted = [word.casefold() for word in words]
    return [one for one in found if all(word in f"{one.name} {one.meaning}".casefold() for word in wanted)]


def told(found: Sequence[Setting]) -> Table:
    """For a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("setting", no_wrap=True)
    table.add_column("default", overflow="fold", max_width=18)
    table.add_column("meaning")
    for one in found:
        default = "none" if one.default is None else str(one.default) or "-"
        table.add_row(Text(one.name, style="bold"), Text(default), Text(one.meaning))
    return table


def _of(section: str, shape: type) -> Iterator[Setting]:
    if not is_dataclass(shape):
        return
    meanings = {name: text for kind in reversed(shape.__mro__) if is_dataclass(kind) for name, text in _texts(kind)}
    for one in fields(shape):
        default = one.default if one.default is not MISSING else None
        plain: Json = list(default) if isinstance(default, tuple) else default
        yield Setting(f"{section}.{one.name}", plain, " ".join(meanings.get(one.name, "").split()))


def _texts(shape: type) -> Iterator[tuple[str, str]]:
    """Each field of a class with the text that stands under it."""
    (tree,) = ast.parse(inspect.getsource(shape)).body
    body = tree.body if isinstance(tree, ast.ClassDef) else []
    for entry, below in pairwise(body):
        if not (isinstance(entry, ast.AnnAssign) and isinstance(entry.target, ast.Name)):
            continue
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            yield entry.target.id, str(below.value.value)
