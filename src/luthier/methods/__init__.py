"""Which parameters of a network learn, and what can be done with what they learned."""

from luthier.methods.full import Freeze, Full
from luthier.methods.lora import LoRA
from luthier.methods.method import Adapted, Method, Rate, merge, switched_off
from luthier.methods.store import restore, save
from luthier.methods.tuner import Peft
from luthier.methods.untuned import keep_base

methods: dict[str, type[Method]] = {"full": Full, "freeze": Freeze, "lora": LoRA, "peft": Peft}
"""The methods a recipe can name; a stranger's is named `module:Class` and passes `contract.py`."""

__all__ = [
    "Adapted",
    "Freeze",
    "Full",
    "LoRA",
    "Method",
    "Peft",
    "Rate",
    "keep_base",
    "merge",
    "methods",
    "restore",
    "save",
    "switched_off",
]
