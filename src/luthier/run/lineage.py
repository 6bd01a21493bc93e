"""`run.json`: where a model comes from, by the SHA-256 of each link: data -> recipe -> checkpoint -> its parent's.

A parent's record stands whole in its child's, so that the chain is known after the parent's folder is gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from luthier.manifest import MANIFEST, sha256
from luthier.recipe import Recipe, to_yaml
from luthier.run.files import read_json, write_json
from luthier.types import Json

NAME = "run.json"


def begin_lineage(recipe: Recipe, folder: Path) -> None:
    """Writes what is known before the first step, once data.json is there."""
    held: dict[str, Json] = {
        "run": recipe.run,
        "data": _data(folder),
        "recipe": hashlib.sha256(to_yaml(recipe).encode()).hexdigest(),
        "checkpoint": None,
        "parent": _record(Path(recipe.parent)) if recipe.parent else None,
    }
    write_json(folder / NAME, held)


def end_lineage(folder: Path) -> None:
    """Adds the checkpoint that was judged."""
    if (folder / NAME).exists():
        write_json(folder / NAME, {**read_json(folder / NAME), "checkpoint": _checkpoint(folder)})


def lineage_json(folder: Path) -> Json:
    """`lineage` of report.json: the runs that this one goes on from, the nearest first; null where there is none."""
    chain: list[Json] = []
    above = read_json(folder / NAME).get("parent") if (folder / NAME).exists() else None
    while above:
        data = [one["path"] for one in above["data"] if one["role"] == "train"]
        chain.append({"run": above["run"], "step": above["checkpoint"]["step"], "data": data})
        above = above.get("parent")
    return chain or None


def ancestors(parent: str) -> Iterator[Path]:
    """A run and those that it went on from, the nearest first, as far as their folders are there."""
    here = Path(parent) if parent else None
    met: set[Path] = set()
    while here is not None and (here / "recipe.yaml").is_file() and here.resolve() not in met:
        met.add(here.resolve())
        yield here
        above = (read_json(here / NAME) if (here / NAME).exists() else {}).get("parent")
        here = Path(above["run"]) if above else None


def _record(run: Path) -> dict[str, Json]:
    """What a run says of itself, with the checkpoint that is gone on from; of an older run, what its folder says."""
    known = read_json(run / NAME) if (run / NAME).exists() else {"recipe": sha256(run / "recipe.yaml"), "parent": None}
    return {**known, "run": str(run), "data": _data(run), "checkpoint": _checkpoint(run)}


def _data(folder: Path) -> list[Json]:
    files = read_json(folder / "data.json").get("files", [])
    return [{name: one.get(name) for name in ("role", "path", "sha256")} for one in files]


def _checkpoint(run: Path) -> dict[str, Json]:
    """The best, or the last of a run that was never evaluated, by the digest of its manifest, which proves it."""
    place = (run / ("best" if (run / "best").is_dir() else "last")).resolve()
    return {"step": int(place.name), "sha256": sha256(place / MANIFEST)}
