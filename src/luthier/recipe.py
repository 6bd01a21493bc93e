"""One recipe: all that a run is told, by a YAML file, `key=value` words or Python, and checked before anything runs.

A recipe is made of the rooms' own options; their fields are its keys. All that is wrong with one is told at once.
"""

from __future__ import annotations

import typing
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import cast

import yaml
from pydantic import TypeAdapter, ValidationError

from luthier.data.read import ReadOptions
from luthier.errors import RecipeError
from luthier.evaluate import EvaluateOptions
from luthier.methods import LoRA, Method, methods
from luthier.model.load import ModelOptions
from luthier.objectives import objectives
from luthier.objectives.objective import Objective
from luthier.objectives.sft import SFT
from luthier.train.options import TrainOptions
from luthier.types import Json


@dataclass(frozen=True, slots=True)
class DataOptions(ReadOptions):
    """Which rows are learned from, and which are held out."""

    train: str = ""
    """File or hub name of the training rows."""
    validation: str | float = 0.1
    """A file, or the share of the training file that is held out to watch the training by."""
    test: str | float = 0.1
    """A file, or the share of the training file that is held out for the verdict."""
    learn: typing.Literal["all", "last"] = "all"
    """Which assistant turns of a conversation are learned."""
    seed: int = 0
    """What the split is drawn from."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole run."""

    data: DataOptions
    model: ModelOptions = field(default_factory=ModelOptions)
    method: Method = field(default_factory=LoRA)
    """`lora`, `freeze`, `full`, or a stranger's `module:Class`, with its fields."""
    objective: Objective = field(default_factory=SFT)
    """`sft`, with its fields."""
    train: TrainOptions = field(default_factory=TrainOptions)
    evaluate: EvaluateOptions = field(default_factory=EvaluateOptions)
    run: str = "runs/luthier"
    """Folder that everything of the run is written to."""


SECTIONS: Mapping[str, type] = {
    "data": DataOptions,
    "model": ModelOptions,
    "train": TrainOptions,
    "evaluate": EvaluateOptions,
}
PLUGS: Mapping[str, Mapping[str, type]] = {"method": methods, "objective": objectives}
DEFAULTS: Mapping[str, str] = {"method": "lora", "objective": "sft"}


def recipe(**sections: Json) -> Recipe:
    """A recipe in Python: `recipe(data={"train": "train.csv"}, train={"lr": 1e-4}, run="runs/one")`.

    Raises RecipeError naming every problem.
    """
    return make_recipe(sections)


def load_recipe(path: Path | None, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe of a YAML file, if any, with `section.key=value` words laid over it.

    Raises RecipeError naming every problem.
    """
    tree = _read(path) if path is not None else {}
    problems: list[str] = []
    for word in overrides:
        _lay(tree, word, problems)
    return make_recipe(tree, problems)


def make_recipe(tree: Mapping[str, Json], problems: Iterable[str] = ()) -> Recipe:
    """A recipe from nested settings; whatever they leave out keeps its default. Raises RecipeError."""
    found = list(problems)
    known = (*SECTIONS, *PLUGS, "run")
    for name in tree:
        if name not in known:
            found.append(_unknown(name, known))
    parts: dict[str, object] = {name: _section(name, shape, tree.get(name), found) for name, shape in SECTIONS.items()}
    parts |= {name: _plug(name, shapes, tree.get(name), found) for name, shapes in PLUGS.items()}
    if isinstance(parts["data"], DataOptions) and not parts["data"].train:
        found.append("data.train: name the file of training rows (--data FILE)")
    if found:
        raise RecipeError("\n".join(found) if len(found) == 1 else f"{len(found)} problems:\n  " + "\n  ".join(found))
    run = str(tree.get("run") or "") or _default_run(cast(DataOptions, parts["data"]))
    return Recipe(**parts, run=run)  # type: ignore[arg-type]  # each part was made from its own field's type


def to_tree(recipe: Recipe) -> dict[str, Json]:
    """Every resolved value, as YAML and JSON have it; `make_recipe` gives the same recipe back."""
    tree: dict[str, Json] = {name: _plain(asdict(getattr(recipe, name))) for name in SECTIONS}
    for name, shapes in PLUGS.items():
        plug = getattr(recipe, name)
        own = next((key for key, shape in shapes.items() if shape is type(plug)), None)
        tree[name] = {"name": own or f"{type(plug).__module__}:{type(plug).__qualname__}", **_plain_dict(asdict(plug))}
    return {**tree, "run": recipe.run}


def to_yaml(recipe: Recipe) -> str:
    """The recipe as a file."""
    return yaml.safe_dump(to_tree(recipe), sort_keys=False, allow_unicode=True, width=120)


def _read(path: Path) -> dict[str, Json]:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path}: cannot be read ({error.strerror}); a recipe is a YAML file") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: is not YAML: {error}") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{path}: holds {type(tree).__name__}, not sections such as `data:` and `train:`")
    return tree


def _lay(tree: dict[str, Json], word: str, problems: list[str]) -> None:
    """Lays one `section.key=value` over the tree."""
    path, equals, text = word.partition("=")
    *above, key = path.strip().split(".")
    if not equals or not key or (len(above) != 1 and path not in ("run", *PLUGS)):
        problems.append(f"{word!r}: settings are written section.key=value, for instance train.lr=1e-4")
        return
    value = _scalar(text)
    if not above:
        tree[key] = {"name": value} if key in PLUGS else value
        return
    section = tree.setdefault(above[0], {})
    if isinstance(section, str):
        section = tree[above[0]] = {"name": section}
    if isinstance(section, dict):
        section[key] = value


def _scalar(text: str) -> Json:
    try:
        return cast(Json, yaml.safe_load(text)) if text else None
    except yaml.YAMLError:
        return text


def _section(name: str, shape: type, given: Json, problems: list[str]) -> object:
    """One section's options, or None with what is wrong noted."""
    if given is None:
        given = {}
    if not isinstance(given, dict):
        problems.append(f"{name}: holds {given!r}, not settings; write `{name}:` and its keys below it")
        return None
    known = [one.name for one in fields(shape)]
    wrong = [key for key in given if key not in known]
    problems.extend(_unknown(f"{name}.{key}", [f"{name}.{one}" for one in known]) for key in wrong)
    try:
        return TypeAdapter(shape).validate_python({key: value for key, value in given.items() if key in known})
    except ValidationError as error:
        problems.extend(_told(name, one) for one in error.errors())
        return None


def _plug(name: str, shapes: Mapping[str, type], given: Json, problems: list[str]) -> object:
    """A plug-in named by one word or by `name:` with its fields."""
    settings: dict[str, Json] = {"name": given} if isinstance(given, str) else {}
    settings |= given if isinstance(given, dict) else {}
    chosen = str(settings.pop("name", DEFAULTS[name]))
    shape = shapes.get(chosen) or _strange(chosen, problems) if ":" in chosen else shapes.get(chosen)
    if shape is None:
        if ":" not in chosen:
            problems.append(_unknown(f"{name}={chosen}", [f"{name}={one}" for one in shapes]))
        return None
    return _section(name, shape, settings, problems)


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


def _unknown(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
    return f"{name}: is no setting; {hint}"


def _told(section: str, error: Mapping[str, typing.Any]) -> str:
    """One of pydantic's findings in our words."""
    place = ".".join([section, *(str(part) for part in error["loc"][:1])])
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {message}" + (f", not {error['input']!r}" if error["loc"] else "")


def _plain(value: object) -> Json:
    if isinstance(value, dict):
        return _plain_dict(value)
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return cast(Json, value)


def _plain_dict(value: Mapping[str, object]) -> dict[str, Json]:
    return {key: _plain(one) for key, one in value.items()}


def _default_run(data: DataOptions) -> str:
    return f"runs/{Path(data.train.rsplit(':', 1)[-1]).name.split('.')[0]}"


def help_of(shape: type) -> dict[str, str]:
    """The meaning of each field of an options class, as it stands under the field."""
    import ast
    import inspect

    found: dict[str, str] = {}
    for parent in reversed(shape.__mro__[:-1]):
        body = ast.parse(inspect.cleandoc(inspect.getsource(parent))).body[0]
        assert isinstance(body, ast.ClassDef)
        for one, after in zip(body.body, body.body[1:], strict=False):
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(after, ast.Expr):
                found[one.target.id] = inspect.cleandoc(str(cast(ast.Constant, after.value).value)).replace("\n", " ")
    return found
