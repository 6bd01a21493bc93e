"""What a search may try: for each setting a range or a list, read from a recipe's `search:` section.

    lr: log(1e-5, 1e-2)       evenly over orders of magnitude
    warmup: uniform(0, 0.2)   evenly; so is 0..0.2
    epochs: 1..5              whole numbers, both ends among them
    rank: [8, 16, 32]         one of these

A setting is named as in a recipe (`train.lr`) or by its last word where only one setting of the run has it. Texts are
read by the patterns below and nothing else. Not here: drawing from the space, which is Optuna's business.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Final, TypeAlias, get_args, get_type_hints

import yaml

from luthier.errors import RecipeError
from luthier.recipe import Recipe, make_recipe, section, to_tree
from luthier.search.options import SearchOptions
from luthier.types import Json
from luthier.words import closest

Scalar: TypeAlias = str | int | float | bool | None
Settings: TypeAlias = Mapping[str, Scalar]
"""`section.key` -> value."""

SECTIONS: Final = ("train", "method", "objective")
"""What may differ from trial to trial; model and rows are opened once for all."""
OTHER_NAMES: Final = {"batch": "examples_per_step"}
FIXED: Final = (
    *("evaluations_per_epoch", "evaluation_share", "save_every", "keep_checkpoints", "token_budget", "seed"),
    *("trunk", "trunk_gb"),
)
"""Settings of `train` that change no result, or decide how it is measured."""
REACH: Final = 10.0
"""The usual space reaches this many times above and below the method's own learning rate."""
HOW: Final = "write log(1e-5, 1e-2), uniform(0, 0.2), 1..5 or [8, 16, 32]"
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_CALL = re.compile(r"\s*(log|uniform)\s*\(([^(),]*),([^(),]*)\)\s*")


@dataclass(frozen=True, slots=True)
class Among:
    """One of some values."""

    key: str
    values: tuple[Scalar, ...]

    def holds(self, value: Scalar) -> bool:
        """Whether a value is one of them."""
        return value in self.values

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """Values that a recipe must allow."""
        return self.values

    def told(self) -> str:
        """As it is written."""
        return f"[{', '.join('none' if one is None else str(one) for one in self.values)}]"


@dataclass(frozen=True, slots=True)
class Between:
    """A number from low to high, both among them."""

    key: str
    low: float
    high: float
    log: bool = False
    """Whether orders of magnitude are drawn evenly, not values."""
    whole: bool = False

    def holds(self, value: Scalar) -> bool:
        """Whether a value lies within."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """Values that a recipe must allow."""
        return (int(self.low), int(self.high)) if self.whole else (self.low, self.high)

    def told(self) -> str:
        """As it is written."""
        low, high = (f"{one:g}" for one in (self.low, self.high))
        if self.log:
            return f"log({low}, {high})"
        return f"{low}..{high}" if self.whole else f"uniform({low}, {high})"


Dimension: TypeAlias = Among | Between


@dataclass(frozen=True, slots=True)
class Stated:
    """A `search:` section, read."""

    options: SearchOptions
    space: tuple[Dimension, ...]
    """Empty where the section names no setting: the usual space is meant."""


def stated(recipe: Recipe, given: Mapping[str, Json] | None = None) -> Stated:
    """The search that a recipe's section asks for, with `given` options over it.

    Raises RecipeError naming every problem, each with its key and the remedy.
    """
    known = [one.name for one in fields(SearchOptions)]
    asked = {**recipe.search, **(given or {})}
    problems: list[str] = []
    own = {key: _plain(value) for key, value in asked.items() if key in known}
    options = section("search", SearchOptions, own, problems)
    space = [_dimension(name, value, recipe, problems) for name, value in asked.items() if name not in known]
    found = [one for one in space if one is not None]
    for key in sorted({one.key for one in found if sum(one.key == other.key for other in found) > 1}):
        problems.append(f"search: {key} is named twice; keep one of the two")
    if problems or not isinstance(options, SearchOptions):
        many = f"{len(problems)} problems:\n  " if len(problems) > 1 else ""
        raise RecipeError(many + "\n  ".join(problems))
    return Stated(options, tuple(found))


def usual_space(recipe: Recipe, usual_lr: float) -> tuple[Dimension, ...]:
    """The learning rate around the one the recipe would take, and half and twice its examples a step.

    usual_lr: the method's own, of which LoRA's is ten times that of full tuning. LoRA's strength is alpha / rank, with
    which the best rate hardly moves with the rank, so the rank stays as it is.
    """
    rate = recipe.train.lr or usual_lr
    low, high = (float(f"{one:.2g}") for one in (rate / REACH, rate * REACH))
    batch = recipe.train.examples_per_step
    return (
        Between("train.lr", low, high, log=True),
        Among("train.examples_per_step", tuple(dict.fromkeys((max(1, batch // 2), batch, 2 * batch)))),
    )


def applied(recipe: Recipe, settings: Settings) -> Recipe:
    """The recipe with some settings changed. Raises RecipeError where one does not fit."""
    tree = to_tree(recipe)
    for key, value in settings.items():
        name, _, field = key.partition(".")
        below = tree[name]
        assert isinstance(below, dict), f"{name} is no section"
        tree[name] = {**below, field: value}
    return make_recipe(tree)


def own_settings(recipe: Recipe, space: Sequence[Dimension], usual_lr: float) -> dict[str, Scalar]:
    """What the recipe itself says of each setting of the space."""
    own: dict[str, Scalar] = {one.key: _value(recipe, one.key) for one in space}
    if "train.lr" in own and own["train.lr"] is None:
        own["train.lr"] = usual_lr
    return own


def outside(space: Sequence[Dimension], own: Settings) -> str:
    """Which of the recipe's own settings no trial can have, in a sentence; empty where the space holds all of them."""
    apart = [f"{one.key}={own[one.key]} ({one.told()} is tried)" for one in space if not one.holds(own[one.key])]
    if not apart:
        return ""
    it = "it is" if len(apart) == 1 else "they are"
    return (
        f"No trial is the recipe as it stands, since the space leaves out its {', '.join(apart)}: {it} drawn instead."
    )


def _value(recipe: Recipe, key: str) -> Scalar:
    name, _, field = key.partition(".")
    found: Scalar = getattr(getattr(recipe, name), field)
    return found


def _dimension(name: str, given: Json, recipe: Recipe, problems: list[str]) -> Dimension | None:
    """One setting's range, or None with what is wrong noted."""
    key = _key(name, recipe, problems)
    if key is None:
        return None
    read = _read(key, given, _is_whole(key, recipe))
    if isinstance(read, str):
        problems.append(f"search.{name}: {read}")
        return None
    wrong = {refused for end in read.ends if (refused := _refused(recipe, key, end)) is not None}
    problems.extend(f"search.{name}: {one}" for one in sorted(wrong))
    return None if wrong else read


def _key(name: str, recipe: Recipe, problems: list[str]) -> str | None:
    """The `section.key` that a name stands for."""
    parts = [part for part in SECTIONS if part != "method" or not recipe.parent]
    there = [f"{part}.{one.name}" for part in parts for one in fields(getattr(recipe, part)) if _may(part, one.name)]
    if name in there:
        return name
    last = OTHER_NAMES.get(name, name)
    named = [key for key in there if key.partition(".")[2] == last]
    if len(named) == 1:
        return named[0]
    problems.append(f"search.{name}: {_unknown(name, last, named, there)}")
    return None


def _may(part: str, field: str) -> bool:
    return part != "train" or field not in FIXED


def _unknown(name: str, last: str, named: Sequence[str], there: Sequence[str]) -> str:
    """Why a name stands for no setting of the space."""
    if named:
        return f"stands for {' and '.join(named)}; write one of them in full"
    part, dot, field = name.partition(".")
    if (part == "train" and field in FIXED) or last in FIXED:
        return "changes no result or decides how it is measured; set it in its own section"
    if dot and part not in SECTIONS:
        return f"{part} is opened and prepared once for all trials; there are {', '.join(SECTIONS)}"
    if name in ("method", "objective"):
        return f"one search has one {name}; make one search for each"
    names = [*(key.partition(".")[2] for key in there), *OTHER_NAMES, *(one.name for one in fields(SearchOptions))]
    return f"is no setting of this run{closest(name, [*there, *names]) or '; `luthier settings` lists them'}"


def _is_whole(key: str, recipe: Recipe) -> bool:
    """Whether a setting takes whole numbers alone."""
    part, _, field = key.partition(".")
    kind = get_type_hints(type(getattr(recipe, part)))[field]
    kinds = get_args(kind) or (kind,)
    return int in kinds and float not in kinds


def _read(key: str, given: Json, whole: bool) -> Dimension | str:
    """A range or list from what is written, or what is wrong with it."""
    given = _plain(given)
    if isinstance(given, list):
        return _among(key, given)
    if not isinstance(given, str):
        return f"holds {given!r}, one value, which is no choice; {HOW}, or set it in its own section"
    call = _CALL.fullmatch(given)
    low, dots, high = given.partition("..")
    if call is None and not dots:
        return f"{given!r} cannot be read; {HOW}"
    kind, ends = (call[1], (call[2], call[3])) if call is not None else ("..", (low, high))
    numbers = [_number(one.strip()) for one in ends]
    if None in numbers:
        return f"{given!r} has an end that is no number; {HOW}"
    return _between(key, given, kind, [one for one in numbers if one is not None], whole)


def _between(key: str, given: str, kind: str, ends: Sequence[int | float], whole: bool) -> Dimension | str:
    low, high = ends
    if not low < high:
        return f"{given!r} does not rise from its first to its second number"
    if kind == "log" and low <= 0:
        return f"{given!r} begins at {low:g}, and orders of magnitude begin above 0"
    integral = all(float(one).is_integer() for one in ends)
    if whole and not integral:
        return f"{given!r} has an end that is no whole number, and {key} takes no other"
    counted = whole or (kind == ".." and all(isinstance(one, int) for one in ends))
    return Between(key, float(low), float(high), log=kind == "log", whole=counted)


def _among(key: str, given: Sequence[Json]) -> Dimension | str:
    values: list[Scalar] = []
    for one in given:
        if isinstance(one, list | dict):
            return f"holds {one!r} in its list, which is neither number nor text"
        number = _number(one) if isinstance(one, str) else None
        values.append(one if number is None else number)
    if len(values) < 2:
        return f"holds {list(given)!r}; a list names at least two values to try"
    if len({repr(one) for one in values}) < len(values):
        return f"holds {list(given)!r}, in which a value stands twice"
    return Among(key, tuple(values))


def _number(text: str) -> int | float | None:
    """A finite number; whole where it is written so."""
    if not _NUMBER.fullmatch(text):
        return None
    value = float(text)
    if not math.isfinite(value):
        return None
    return int(text) if re.fullmatch(r"[+-]?\d+", text) else value


def _plain(given: Json) -> Json:
    """A list or number that a command line wrote as text, as YAML has it; other text as it is."""
    if isinstance(given, str) and (given.strip().startswith("[") or _number(given.strip()) is not None):
        try:
            found: Json = yaml.safe_load(given)
        except yaml.YAMLError:
            return given
        return _number(given.strip()) if isinstance(found, str) else found
    return given


def _refused(recipe: Recipe, key: str, value: Scalar) -> str | None:
    """Why a recipe does not take a value, in its own words; None where it does."""
    try:
        applied(recipe, {key: value})
    except RecipeError as error:
        return str(error)
    return None
