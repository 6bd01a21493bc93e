"""One recipe: all that a run is told, by a YAML file, `key=value` words or Python, and checked before anything runs.

A recipe is made of the rooms' own options; their fields are its keys. All that is wrong with one is told at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from luthier.checks import CheckOptions
from luthier.data.mix import MixOptions
from luthier.data.read import ReadOptions
from luthier.errors import RecipeError
from luthier.evaluate import EvaluateOptions
from luthier.evaluate.forgetting import ForgettingOptions
from luthier.methods import LoRA, Method, methods
from luthier.model.load import ModelOptions
from luthier.objectives import objectives
from luthier.objectives.objective import Objective
from luthier.objectives.sft import SFT
from luthier.train.options import TrainOptions
from luthier.types import Json
from luthier.wrong_setting import instead, misfit, unknown

Share: TypeAlias = Annotated[float | str, Field(union_mode="left_to_right")]
"""A share where it reads as a number, as it comes from a command line, else a file or hub name."""


@dataclass(frozen=True, slots=True)
class DataOptions(ReadOptions):
    """Which rows are learned from, and which are held out."""

    train: str = ""
    """File or hub name of the training rows."""
    validation: Share = 0.1
    """A file, or the share of the training file that is held out to watch the training by."""
    test: Share = 0.1
    """A file, or the share of the training file that is held out for the verdict."""
    learn: Literal["all", "last"] = "all"
    """Which assistant turns of a conversation are learned."""
    seed: int = 0
    """What the split is drawn from."""

    def __post_init__(self) -> None:
        bounds = [
            ("validation", _is_share(self.validation), "a file, or a share in [0, 1)"),
            ("test", _is_share(self.test), "a file, or a share in [0, 1)"),
            ("limit", self.limit is None or self.limit >= 1, "at least 1, or none"),
            ("seed", self.seed >= 0, "0 or more"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)!r}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole run."""

    data: DataOptions
    checks: CheckOptions = field(default_factory=CheckOptions)
    model: ModelOptions = field(default_factory=ModelOptions)
    method: Method = field(default_factory=LoRA)
    """`lora`, `freeze`, `full`, a tuner of PEFT as `peft:VERA`, or a stranger's `module:Class`, with its fields."""
    objective: Objective = field(default_factory=SFT)
    """`sft`, with its fields."""
    mix: MixOptions = field(default_factory=MixOptions)
    train: TrainOptions = field(default_factory=TrainOptions)
    evaluate: EvaluateOptions = field(default_factory=EvaluateOptions)
    forgetting: ForgettingOptions = field(default_factory=ForgettingOptions)
    """What the model could do before and can do after; a list is its `files`."""
    run: str = "runs/luthier"
    """Folder that everything of the run is written to."""
    search: Mapping[str, Json] = field(default_factory=dict)
    """What `luthier search` tries, as it is written; a run itself does not read it."""
    parent: str = ""
    """`from`: the folder of a finished run, whose tuned model is gone on from; empty begins with the base."""


SECTIONS: Mapping[str, type] = {
    "data": DataOptions,
    "checks": CheckOptions,
    "model": ModelOptions,
    "mix": MixOptions,
    "train": TrainOptions,
    "evaluate": EvaluateOptions,
    "forgetting": ForgettingOptions,
}
SHORT: Mapping[str, tuple[type, str]] = {"model": (str, "name"), "forgetting": (list, "files")}
"""Sections that may be given as one value, and the setting it is for."""
PLUGS: Mapping[str, Mapping[str, type]] = {"method": methods, "objective": objectives}
FROM = "from"
"""The key of `parent`; a word of Python's own."""
OF_THE_ROWS = ("train", "limit")
"""Settings of `data` that a run does not take from the one it goes on from, besides files of validation and test."""
DEFAULTS: Mapping[str, str] = {"method": "lora", "objective": "sft"}


def recipe(**sections: Json) -> Recipe:
    """A recipe in Python: `recipe(data={"train": "train.csv"}, train={"lr": 1e-4}, run="runs/one")`.

    Raises RecipeError naming every problem.
    """
    return make_recipe(sections)


def load_recipe(path: Path | None, words: Iterable[str] = (), *, flags: Mapping[str, Json] | None = None) -> Recipe:
    """The recipe of a YAML file, if any, with `section.key=value` words laid over it, and flags over both.

    flags: `section.key` -> value, taken as it is. A word's text is taken as it is where its field is text; else it is
    read as YAML. Naming a method keeps the fields given for it. Raises RecipeError naming every problem.
    """
    tree = _read(path) if path is not None else {}
    problems: list[str] = []
    for word in words:
        key, equals, text = word.partition("=")
        if equals and _is_key(key.strip()):
            _lay(tree, key.strip(), _Word(text))
        else:
            problems.append(f"{word!r}: settings are written section.key=value, for instance train.lr=1e-4")
    for key, value in (flags or {}).items():
        _lay(tree, key, value)
    return make_recipe(_inherited(tree), problems)


def make_recipe(tree: Mapping[str, Json], problems: Iterable[str] = ()) -> Recipe:
    """A recipe from nested settings; whatever they leave out keeps its default. Raises RecipeError."""
    if not isinstance(tree, Mapping):
        raise RecipeError(f"a recipe holds sections such as `data:` and `train:`, not {tree!r}")
    known = (*SECTIONS, *PLUGS, "run", "search", FROM)
    found = [*problems, *(unknown(str(name), known) for name in tree if name not in known)]
    parts: dict[str, object] = {name: section(name, shape, tree.get(name), found) for name, shape in SECTIONS.items()}
    parts |= {name: _plug(name, shapes, tree.get(name), found) for name, shapes in PLUGS.items()}
    data, run = tree.get("data") or {}, tree.get("run") or ""
    if isinstance(data, dict) and not data.get("train"):
        found.append("data.train: name the file of training rows (--data FILE)")
    if not isinstance(run, str):
        found.append(f"run: holds {run!r}, not the name of a folder; write it in quotes")
    search = tree.get("search") or {}
    if not isinstance(search, dict):
        found.append(f"search: holds {search!r}, not what is to be tried; write `search:` and its keys below it")
    parent = tree.get(FROM) or ""
    if not isinstance(parent, str):
        found.append(f"{FROM}: holds {parent!r}, not the folder of a run; write it in quotes")
    mix = parts["mix"]
    if not parent and isinstance(mix, MixOptions) and mix.replay and mix.source == "parent":
        found.append(f"mix.source: parent replays what the run learned that `{FROM}` names; name one (--from RUN)")
    if found:
        raise RecipeError("\n".join(found) if len(found) == 1 else f"{len(found)} problems:\n  " + "\n  ".join(found))
    folder = str(run) or _default_run(cast(DataOptions, parts["data"]))
    return Recipe(**parts, run=folder, parent=str(parent), search=_texts(search))  # type: ignore[arg-type]  # each part was made from its own field's type


def to_tree(recipe: Recipe) -> dict[str, Json]:
    """Every resolved value, as YAML and JSON have it; `make_recipe` gives the same recipe back."""
    tree: dict[str, Json] = {name: _plain(asdict(getattr(recipe, name))) for name in SECTIONS}
    for name, shapes in PLUGS.items():
        plug = getattr(recipe, name)
        own = next((key for key, shape in shapes.items() if shape is type(plug)), None)
        tree[name] = {"name": own or f"{type(plug).__module__}:{type(plug).__qualname__}", **_plain_dict(asdict(plug))}
    beside: dict[str, Json] = {"search": dict(recipe.search), FROM: recipe.parent}
    return {**tree, "run": recipe.run, **{name: value for name, value in beside.items() if value}}


def to_yaml(recipe: Recipe) -> str:
    """The recipe as a file."""
    return yaml.safe_dump(to_tree(recipe), sort_keys=False, allow_unicode=True, width=120)


def _inherited(tree: dict[str, Json]) -> dict[str, Json]:
    """Where the tree goes on from a run, that run's settings under it: all but its rows, its replay and its folder.

    A run that is not there leaves it as it is, since a finished run's own recipe says everything itself.
    """
    parent = tree.get(FROM)
    recipe = Path(parent) / "recipe.yaml" if isinstance(parent, str) and parent else None
    if recipe is None or not recipe.is_file():
        return tree
    above = {name: part for name, part in _read(recipe).items() if name not in ("run", "mix", FROM)}
    data = above.get("data")
    if isinstance(data, dict):
        given = {name for name in ("validation", "test") if isinstance(data.get(name), str)}
        above["data"] = {name: value for name, value in data.items() if name not in {*OF_THE_ROWS, *given}}
    return {**above, **{name: _over(name, above.get(name), part) for name, part in tree.items()}}


def _over(section: str, above: Json, own: Json) -> Json:
    """A section's own settings over inherited ones; another method than the parent's inherits nothing."""
    own = {"name": own} if section in PLUGS and isinstance(own, str) else _long(section, own)
    if not (isinstance(above, dict) and isinstance(own, dict)):
        return above if own is None else own
    other = section in PLUGS and own.get("name", above.get("name")) != above.get("name")
    return own if other else {**above, **own}


def _read(path: Path) -> dict[str, Json]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); a recipe is a YAML file") from error
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(f"{path}: is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{path}: holds {type(tree).__name__}, not sections such as `data:` and `train:`")
    return tree


class _Word(str):
    """Text of a `key=value` word; what it means depends on the type of the field it is for."""

    __slots__ = ()


def _is_key(key: str) -> bool:
    """Whether a key is `section.key`, or stands alone and may."""
    section, _, name = key.partition(".")
    return key in ("run", FROM, *PLUGS, *SHORT) or bool(section and name and ("." not in name or section == "search"))


def _lay(tree: dict[str, Json], key: str, value: Json) -> None:
    """Lays one setting over the tree; naming a plug-in leaves its other settings."""
    section, _, name = key.partition(".")
    name = name or ("name" if section in PLUGS else SHORT[section][1] if section in SHORT else "")
    if not name:
        tree[section] = value
        return
    below = _long(section, tree.get(section))
    if isinstance(below, str) and section in PLUGS:
        below = {"name": below}
    if below is None or isinstance(below, dict):
        tree[section] = {**(below or {}), name: value}


def _long(section: str, given: Json) -> Json:
    """A section that was given as one value, written out."""
    kind, name = SHORT.get(section, (None, ""))
    return {name: given} if kind is not None and isinstance(given, kind) else given


def _understood(text: str, kind: object) -> Json:
    """What a word's text says to a field of this type."""
    kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    if str in kinds:
        return None if type(None) in kinds and text in ("", "null") else str(text)
    try:
        return cast(Json, yaml.safe_load(text)) if text else None
    except (yaml.YAMLError, ValueError):
        return str(text)


def section(name: str, shape: type, given: Json, problems: list[str]) -> object:
    """One section's options, its keys and values checked; None with what is wrong noted."""
    if given is None:
        given = {}
    given = _long(name, given)
    if not isinstance(given, dict):
        problems.append(f"{name}: holds {given!r}, not settings; write `{name}:` and its keys below it")
        return None
    known = [one.name for one in fields(shape)]
    problems.extend(
        unknown(f"{name}.{key}", [f"{name}.{one}" for one in known], of=shape) for key in given if key not in known
    )
    kinds = get_type_hints(shape)
    settings = {
        key: _understood(value, kinds[key]) if isinstance(value, _Word) else value
        for key, value in given.items()
        if key in known
    }
    try:
        return TypeAdapter(shape).validate_python(settings)
    except ValidationError as error:
        problems.extend(misfit(name, one, known) for one in error.errors())
        return None


def _plug(name: str, shapes: Mapping[str, type], given: Json, problems: list[str]) -> object:
    """A plug-in named by one word or by `name:` with its fields."""
    if not isinstance(given, str | dict | None):
        problems.append(f"{name}: holds {given!r}, not a name; there are {', '.join(shapes)}")
        return None
    settings: dict[str, Json] = {"name": given} if isinstance(given, str) else dict(given or {})
    chosen = str(settings.pop("name", None) or DEFAULTS[name])
    family, _, kind = chosen.partition(":")
    if kind and family in shapes:
        chosen, settings["kind"] = family, kind
    shape = shapes.get(chosen) or _strange(chosen, problems) if ":" in chosen else shapes.get(chosen)
    if shape is None:
        if ":" not in chosen:
            problems.append(f"{name}: {chosen!r} is none{instead(name, chosen, shapes)}")
        return None
    return section(name, shape, settings, problems)


def _strange(chosen: str, problems: list[str]) -> type | None:
    """A stranger's plug-in, `module:Class`."""
    import importlib

    module, _, attribute = chosen.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        problems.append(f"{chosen}: cannot be imported ({error}); write module:Class")
        return None
    if not (isinstance(found, type) and is_dataclass(found)):
        problems.append(f"{chosen}: is no dataclass, and a plug-in is one")
        return None
    return found


def _plain(value: object) -> Json:
    if isinstance(value, dict):
        return _plain_dict(value)
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return cast(Json, value)


def _plain_dict(value: Mapping[str, object]) -> dict[str, Json]:
    return {key: _plain(one) for key, one in value.items()}


def _texts(search: Mapping[str, Json]) -> dict[str, Json]:
    """Words of a command line as plain text."""
    return {str(key): str(value) if isinstance(value, _Word) else value for key, value in search.items()}


def _default_run(data: DataOptions) -> str:
    return f"runs/{Path(data.train.rsplit(':', 1)[-1]).name.split('.')[0]}"


def _is_share(value: float | str) -> bool:
    """Whether a value is a share that leaves rows to train on, or a name."""
    return bool(value) if isinstance(value, str) else 0 <= value < 1
