"""What lies in the user's cache folder: hidden states of frozen layers, and models converted from GGUF."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from luthier.model.gguf import cache_folder
from luthier.model.kept import ABOUT, segments
from luthier.model.trunk import trunk_folder
from luthier.train.log import spoken
from luthier.types import Json


@dataclass(frozen=True, slots=True)
class TrunkFacts:
    """The hidden states that one set of frozen layers computed."""

    folder: str
    model: str
    """As it was asked for when the first state was kept."""
    cut: int
    """How many layers are below the states."""
    layers: int
    stored: str
    """Their number format."""
    bytes: int
    unused_s: float
    """Since a run last used any of it."""

    def json(self) -> dict[str, Json]:
        """For machines."""
        return dict(asdict(self))


@dataclass(frozen=True, slots=True)
class ConvertedModel:
    """A model unpacked from a GGUF file."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Cached:
    """All of it."""

    folder: Path
    trunks: tuple[TrunkFacts, ...]
    models: tuple[ConvertedModel, ...]


def kept() -> Cached:
    """What is there now; a folder that does not say what it holds is named as unknown."""
    trunks = sorted(path for path in trunk_folder().glob("*") if path.is_dir())
    models = sorted(path for path in (cache_folder() / "gguf").glob("[!.]*") if path.is_dir())
    return Cached(
        cache_folder(),
        tuple(_trunk(path) for path in trunks),
        tuple(ConvertedModel(path.name, _size(path)) for path in models),
    )


def cleared() -> int:
    """Removes the hidden states; how many bytes they took. A run that uses them goes on with what it has read."""
    size = sum(one.bytes for one in segments(trunk_folder()))
    shutil.rmtree(trunk_folder(), ignore_errors=True)
    return size - sum(one.bytes for one in segments(trunk_folder()))


def told_kept(found: Cached, *, cleared: bool = False) -> str:
    """For a terminal. cleared: the hidden states are being removed, so that how to need not be said."""
    lines = [f"{found.folder}:"]
    for one in found.trunks:
        what = f"hidden states after layer {one.cut} of {one.layers} of {one.model}, {one.stored}"
        lines.append(f"  {one.bytes / 1e6:>9,.1f} MB  {what}; used {spoken(one.unused_s)} ago")
    for model in found.models:
        lines.append(f"  {model.bytes / 1e6:>9,.1f} MB  {model.name}, converted from GGUF")
    if len(lines) == 1:
        lines.append("  nothing is kept")
    lines.append("LUTHIER_CACHE=FOLDER in the environment puts all of it elsewhere")
    if found.trunks and not cleared:
        lines.append("`luthier cache --clear` removes the hidden states; they are computed again when they are needed")
    return "\n".join(lines)


def _trunk(folder: Path) -> TrunkFacts:
    try:
        about = json.loads((folder / ABOUT).read_bytes())
        model, cut, layers, stored = str(about["model"]), int(about["cut"]), int(about["layers"]), str(about["stored"])
    except (OSError, ValueError, KeyError, TypeError):
        model, cut, layers, stored = "an unknown model", 0, 0, "unknown"
    mine = [one for one in segments(folder.parent) if one.path.parent == folder]
    used = max((one.used for one in mine), default=folder.stat().st_mtime)
    size = sum(one.bytes for one in mine)
    return TrunkFacts(str(folder), model, cut, layers, stored, size, max(0.0, time.time() - used))


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
