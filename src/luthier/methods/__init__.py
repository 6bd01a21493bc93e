"""Which parameters of a network learn, and what can be done with what they learned."""

from luthier.methods.bitfit import BitFit
from luthier.methods.bottleneck import Bottleneck
from luthier.methods.full import Freeze, Full
from luthier.methods.ia3 import IA3
from luthier.methods.known import methods
from luthier.methods.lora import LoRA
from luthier.methods.method import Adapted, Mergeable, Method, Rate, merge, switched_off
from luthier.methods.prefix import PrefixTuning
from luthier.methods.prompt import PromptTuning
from luthier.methods.store import restore, save
from luthier.methods.tuner import Peft
from luthier.methods.untuned import keep_base

__all__ = [
    "IA3",
    "Adapted",
    "BitFit",
    "Bottleneck",
    "Freeze",
    "Full",
    "LoRA",
    "Mergeable",
    "Method",
    "Peft",
    "PrefixTuning",
    "PromptTuning",
    "Rate",
    "keep_base",
    "merge",
    "methods",
    "restore",
    "save",
    "switched_off",
]
