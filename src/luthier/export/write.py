"""An export, written beside its place, proved, and put there in one move; one that fails leaves nothing behind."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from luthier.errors import GateError, RunError
from luthier.export.base import base_of
from luthier.export.format import Format
from luthier.export.parity import Parity, hold
from luthier.export.rows import rows_of
from luthier.export.truth import Trial, ask
from luthier.export.use import use_lines
from luthier.methods.store import adapter_files
from luthier.methods.tuned import Tuned, find_tuned, open_found
from luthier.types import Example


@dataclass(frozen=True, slots=True)
class Exported:
    """An export that was proved."""

    folder: Path
    format: str
    bytes: int
    """Size of all its files."""
    parity: Parity
    use: str
    """Python lines that load it without Luthier."""


def export(
    run: Path,
    folder: Path,
    *,
    format: Format,
    checkpoint: str = "best",
    examples: Sequence[Example] | None = None,
    trial: Trial | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> Exported:
    """Writes the tuned model of a run into a new folder, which appears only after it was read again and proved.

    examples: rows to prove it on; None takes some of the run's predictions, or of its training rows where it
    made none.
    Raises GateError where what was written is not what was trained, RunError for a folder that holds something, and
    for a run that cannot be opened or exported in this format.
    """
    _refuse_taken(folder)
    trial = trial or Trial()
    tuned = find_tuned(run, checkpoint=checkpoint)
    rows = rows_of(tuned, limit=trial.rows) if examples is None else examples
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        model = open_found(tuned, dtype="float32", device=device)
        truth = ask(model, rows, trial)
        format.write(model, tuned, made)
        del model
        try:
            parity = hold(truth, made, format=format, device=device)
        except GateError as error:
            raise GateError(f"{folder}: not exported: {error}") from error
        _write_readme(made, tuned, format, parity)
        _open_to_readers(made)
        _put(made, folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Exported(folder, format.name, size, parity, use_lines(folder))


def _refuse_taken(folder: Path) -> None:
    if folder.is_symlink() or folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise RunError(f"{folder}: holds something already, and an export never overwrites; name another folder")


def _put(made: Path, folder: Path) -> None:
    try:
        os.rename(made, folder)  # an empty folder gives way, one that holds files does not
    except OSError as error:
        raise RunError(f"{folder}: cannot be put there ({error.strerror}); name another folder") from error


def _open_to_readers(folder: Path) -> None:
    """Gives every file the mode of the folder's own README: safetensors writes files that only their owner reads."""
    mode = (folder / "README.md").stat().st_mode
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(mode & 0o666)


def _write_readme(folder: Path, tuned: Tuned, format: Format, parity: Parity) -> None:
    needs = ""
    if adapter_files(folder) is not None:
        base = base_of(tuned.options)
        whole = " The format `merged` needs no base." if base.kind == "gguf" and tuned.method.mergeable else ""
        needs = f"**Needs its base:** {base.sentence}{whole}"
    parts = [
        f"# {folder.name}",
        f"`{tuned.options.name}`, tuned by Luthier in the run `{tuned.run.resolve().name}`, checkpoint "
        f"{tuned.checkpoint.name}. Format: {format.name}.",
        needs,
        f"```python\n{use_lines(folder, shown=Path(folder.name))}\n```",
        "Generation settings are those the run was judged by: greedy, no penalties. The chat template is the one it "
        "was trained with; it is to be asked through it.",
        f"Read again through transformers and compared with the run: {parity.sentence}.",
    ]
    (folder / "README.md").write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")
