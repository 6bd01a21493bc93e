"""The methods that have a name, and how one is made from a recipe's or a file's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from luthier.errors import RunError
from luthier.methods.bitfit import BitFit
from luthier.methods.bottleneck import Bottleneck
from luthier.methods.full import Freeze, Full
from luthier.methods.ia3 import IA3
from luthier.methods.lora import LoRA
from luthier.methods.method import Method
from luthier.methods.prefix import PrefixTuning
from luthier.methods.prompt import PromptTuning
from luthier.methods.tuner import Peft
from luthier.types import Json

T = TypeVar("T")

methods: Final[dict[str, type[Method]]] = {
    "full": Full,
    "freeze": Freeze,
    "lora": LoRA,
    "prefix": PrefixTuning,
    "prompt": PromptTuning,
    "bottleneck": Bottleneck,
    "ia3": IA3,
    "bitfit": BitFit,
    "peft": Peft,
}
"""The methods a recipe can name; a stranger's is named `module:Class` and passes `contract.py`."""


def method_name(section: Json) -> str:
    """How a `method` section names its method: by one word, or by `name` beside its fields."""
    return str(section.get("name") if isinstance(section, dict) else section)


def method_of(section: Json, where: str) -> Method:
    """The method that a `method` section of a run describes; raises RunError for one that has no name here.

    A stranger's is refused too: nothing that a file names is imported.
    """
    settings = dict(section) if isinstance(section, dict) else {}
    settings.pop("name", None)
    name = method_name(section)
    if name not in methods:
        remedy = "attach a method of your own to its base, then luthier.methods.restore"
        raise RunError(f"{where}: {name!r} is not one of {', '.join(methods)}; {remedy}")
    return built(methods[name], settings, where)


def described(method: Method) -> dict[str, Json]:
    """A method as a `method` section has it: its name, and its fields."""
    own = next((name for name, kind in methods.items() if kind is type(method)), None)
    name = own or f"{type(method).__module__}:{type(method).__qualname__}"
    return {"name": name, **asdict(method)}  # type: ignore[call-overload]  # every method is a dataclass


def built(shape: type[T], section: Json, where: str) -> T:
    """A section as its options class; raises RunError for what does not fit."""
    given: Mapping[str, Json] = section if isinstance(section, dict) else {}
    known = [field.name for field in fields(shape)]  # type: ignore[arg-type]  # every options class is a dataclass
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise RunError(f"{where}: {unknown[0]!r} is no setting of this version; there are {', '.join(known)}")
    try:
        return TypeAdapter(shape).validate_python(given)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"][:1])
        raise RunError(f"{where}.{place}: {problem['msg']}, not {problem['input']!r}") from None
