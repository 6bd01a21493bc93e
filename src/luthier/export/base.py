"""What a stranger opens to get a run's base: a hub id, or a folder; an alias or a GGUF file as its converted copy."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from luthier.model.find import ALIASES, find
from luthier.model.gguf import converted
from luthier.model.load import ModelOptions
from luthier.model.quantize import Bits

BITS = "base.json"
"""Lies beside an adapter that was learned over a base in few bits, and says in how many."""
NF4 = "BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type='nf4', bnb_4bit_use_double_quant=True)"
"""What `model.quantize: nf4` is to transformers."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base as transformers names it."""

    name: str
    """Hub id, or the path of a folder on this machine."""
    revision: str | None
    """Of a hub id."""
    kind: Literal["hub", "folder", "gguf"]
    asked: str
    """As the recipe names it."""
    bits: Bits | None = None
    """What its weights were kept in while an adapter learned over them."""

    @property
    def call(self) -> str:
        """The arguments of `from_pretrained`, as Python."""
        return repr(self.name) + (f", revision={self.revision!r}" if self.revision else "")

    @property
    def network_call(self) -> str:
        """The same for its network, in as many bits where transformers can keep it in them."""
        return f"{self.call}, quantization_config={NF4}" if self.bits == "nf4" else self.call

    @property
    def sentence(self) -> str:
        """Which base it is, and what a stranger has to know of it."""
        if self.kind == "hub":
            return f"`{self.name}`" + (f" at revision `{self.revision}`." if self.revision else " on the hub.")
        if self.kind == "folder":
            return f"`{self.name}`, a folder on the machine it was trained on; hand it on with the adapter."
        return (
            f"exactly `{self.name}`: the weights of {_source(self.asked)}, dequantised to bfloat16. The model of the "
            "same name on a hub was never quantised, has other weights, and gives other answers with this adapter. "
            "The folder is a cache and may be emptied."
        )


def base_of(options: ModelOptions) -> Base:
    """The base that a run's options name; raises ModelError if it leads nowhere any more."""
    place = find(options.name)
    if place.path is None:
        return Base(str(place.hub), options.revision, "hub", options.name, options.quantize)
    if place.is_gguf:
        return Base(str(converted(place.path)), None, "gguf", options.name, options.quantize)
    return Base(str(place.path), None, "folder", options.name, options.quantize)


def bits_of(folder: Path) -> Bits | None:
    """In how many bits an exported adapter's base is kept; None where it is kept as it is."""
    if not (folder / BITS).is_file():
        return None
    found: Bits = json.loads((folder / BITS).read_text(encoding="utf-8"))["quantize"]
    return found


def _source(asked: str) -> str:
    if asked in ALIASES:
        found = ALIASES[asked]
        return f"`{Path(found.file).name}` in the Python package `{found.package}=={found.version}` (alias `{asked}`)"
    return f"`{Path(asked).name}`"
