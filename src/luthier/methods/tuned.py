"""A run folder's tuned model, opened again: its base with what was learned, or the whole model that was saved.

Opens only what the checkpoint's manifest proves and what lies inside the run folder, links followed. The optimizer's
state is neither read nor hashed. Not here: resuming a run, and exporting what it learned.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import yaml
from transformers import AutoTokenizer

from luthier.data.template import ensure_template
from luthier.errors import RunError
from luthier.manifest import unproven
from luthier.methods.known import built, method_name, method_of
from luthier.methods.method import Method
from luthier.methods.several import as_opened
from luthier.methods.store import adapter_files, restore
from luthier.methods.tuner import built_in, examine
from luthier.model.accept import open_model
from luthier.model.leaf import restore_head
from luthier.model.load import Model, ModelOptions, stop_tokens
from luthier.types import Json

RECIPE: Final = "recipe.yaml"
TOKENIZER: Final = "tokenizer_config.json"
UNREAD: Final = "optimizer"
"""How the names of files begin that are only for resuming."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a run folder says of its tuned model; nothing is opened yet."""

    run: Path
    checkpoint: Path
    """`checkpoints/NNNNNN` within the run, links followed."""
    named: Path
    """The same as it is shown to people: the run's own link where one was asked for."""
    options: ModelOptions
    """The base, and how it computes."""
    method: Method
    settings: Mapping[str, Json]
    """The whole recipe."""

    @property
    def adapted(self) -> bool:
        """Whether the checkpoint holds an adapter, which needs its base; otherwise it holds the whole model."""
        return adapter_files(self.checkpoint) is not None

    @property
    def has_tokenizer(self) -> bool:
        """Whether the tokenizer it was tuned with was saved with it."""
        return (self.checkpoint / TOKENIZER).is_file()


def open_tuned(
    run: Path,
    *,
    checkpoint: str = "best",
    dtype: Literal["auto", "float32", "bfloat16"] | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
) -> Model:
    """The tuned model of a run, ready for the engine; an adapter's base is behind `switched_off`.

    checkpoint: `best`, `last` or a step; a run that was never evaluated has no best, and its last is taken.
    dtype, device: where they are to differ from the run's own.
    Raises RunError for a folder that is no run or holds no proven checkpoint, ModelError where the base does not open.
    """
    return open_found(find_tuned(run, checkpoint=checkpoint), dtype=dtype, device=device)


def find_tuned(run: Path, *, checkpoint: str = "best") -> Tuned:
    """The checkpoint of a run that was asked for, after its manifest proved it; raises RunError."""
    settings = _recipe(run)
    options = built(ModelOptions, settings.get("model"), f"{run / RECIPE}: model")
    method = method_of(settings.get("method"), f"{run / RECIPE}: method")
    named = _named(run, checkpoint)
    found = _inside(named, run)
    _prove(run, found)
    return Tuned(run, found, named, options, method, settings)


def strange_method(run: Path) -> str | None:
    """A run's method where it is a stranger's, `module:Class`: no run is opened by importing what it names."""
    name = method_name(_recipe(run).get("method"))
    return name if ":" in name else None


def open_found(
    tuned: Tuned,
    *,
    dtype: Literal["auto", "float32", "bfloat16"] | None = None,
    device: Literal["auto", "cpu", "cuda"] | None = None,
) -> Model:
    """What `open_tuned` opens, once it was found; raises ModelError."""
    options = replace(tuned.options, dtype=dtype or tuned.options.dtype, device=device or tuned.options.device)
    if dtype is not None and options.shared is True:
        options = replace(options, shared="auto")  # demanded for the run's own dtype, not for every other
    if not tuned.adapted and tuned.has_tokenizer:
        model = open_model(replace(options, name=str(tuned.checkpoint), revision=None), masters=True)
        model.name = tuned.options.name
        restore_head(model.network, tuned.checkpoint)
    else:
        model = open_model(options, masters=not tuned.method.removable)
        _take(model, tuned.checkpoint)
    return _settled(model)


@contextmanager
def worn_on(base: Model, tuned: Tuned) -> Iterator[Model]:
    """A run's adapter on its base, which is open already and is left as it was; raises ModelError."""
    with as_opened(base.network):
        model = replace(base)
        _take(model, tuned.checkpoint)
        yield _settled(model)


def open_adapter(folder: Path, base: ModelOptions) -> Model:
    """An adapter, in PEFT's layout or ours, on its base, with the tokenizer that lies beside it, if any.

    Raises ModelError, and RunError where its method is none of this version's.
    """
    model = open_model(base)
    _take(model, folder)
    return _settled(model)


def _settled(model: Model) -> Model:
    for parameter in model.network.parameters():
        parameter.requires_grad_(False)
    model.network.eval()
    return model


def _take(model: Model, folder: Path) -> None:
    """What was learned, and the tokenizer saved with it in place of the base's, if one was."""
    restore(model.network, folder)
    if built_in(model.network) is not None:
        examine(model)
    if (folder / TOKENIZER).is_file():
        model.tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        ensure_template(model.tokenizer)
        model.stop = stop_tokens(model.network, model.tokenizer)


def _recipe(run: Path) -> dict[str, Json]:
    file = run / RECIPE
    if not run.is_dir():
        raise RunError(f"{run}: no such run folder; `luthier train ... --run {run}` makes one")
    if not file.is_file():
        raise RunError(f"{run}: not a run folder, it has no {RECIPE}; name the folder that --run was given")
    try:
        tree = yaml.safe_load(_inside(file, run).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise RunError(f"{file}: cannot be read ({' '.join(str(error).split())}); restore it from a copy") from error
    if not isinstance(tree, dict):
        raise RunError(f"{file}: holds {type(tree).__name__}, not sections; restore it from a copy")
    return tree


def _named(run: Path, wanted: str) -> Path:
    """The checkpoint's place in the run; raises RunError with what there is instead."""
    if wanted in ("best", "last"):
        place = run / wanted
    elif wanted.isdecimal():
        place = run / "checkpoints" / f"{int(wanted):06d}"
    else:
        raise RunError(f"{run}: {wanted!r} names no checkpoint; use best, last or the number of a step")
    if wanted == "best" and not place.is_symlink() and (run / "last").is_dir():
        return run / "last"  # never evaluated
    if not place.is_dir():
        there = [name for name in ("best", "last") if (run / name).is_dir()]
        there += sorted(path.name for path in (run / "checkpoints").glob("[0-9]*") if path.is_dir())
        remedy = f"there are {', '.join(there)}" if there else f"`luthier train --resume {run}` makes one"
        raise RunError(f"{run}: no checkpoint {wanted!r}; {remedy}")
    return place


def _prove(run: Path, checkpoint: Path) -> None:
    """Raises RunError unless every file that is read is the one the manifest names, inside the run."""
    for path in checkpoint.rglob("*"):
        _inside(path, run)
    reason = unproven(checkpoint, unread=UNREAD)
    if reason:
        where = checkpoint.relative_to(run.resolve()).as_posix()
        raise RunError(f"{run}: {where}: {reason}; use another checkpoint, or resume the run")


def _inside(path: Path, run: Path) -> Path:
    """The path with links followed; raises RunError where it leads out of the run."""
    found = path.resolve()
    if not found.is_relative_to(run.resolve()):
        raise RunError(f"{path}: leads to {found}, outside the run folder; a run holds all that it opens")
    return found
