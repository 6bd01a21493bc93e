"""From a file to examples, to tokens and weights, to splits.

The order of travel: `files` (rows), `recognise` (which shape they have), `shape` (a row to an Example), `read` (all
three, with every row accounted for), `split`, `template` and `render` (tokens and weights), `ledger` (what became of
each row). The way back, from examples to the files of others, is `formats` and `convert`. Nothing here judges the
data; that is `checks`.

A record shape of your own is a function `(Row) -> Example` and one line in `shapes`; one from elsewhere is named
`module:function` in `ReadOptions.format`.
"""

from collections.abc import Callable
from typing import TypeAlias

from luthier.data.formats.argilla import argilla
from luthier.data.formats.doccano import doccano
from luthier.data.formats.labelstudio import labelstudio
from luthier.data.formats.preference import openai_preference
from luthier.data.formats.prodigy import prodigy
from luthier.data.recognise import recognised
from luthier.data.row import Row
from luthier.data.shape import alpaca, label, messages, pair, prompt, sharegpt, unpaired
from luthier.types import Example

Shape: TypeAlias = "Callable[[Row], Example]"
"""Turns one record into an Example; raises DataError, without the row's name, where it cannot."""

shapes: dict[str, Shape] = {
    "pair": pair,
    "messages": messages,
    "sharegpt": sharegpt,
    "alpaca": alpaca,
    "prompt": prompt,
    "label": label,
    "unpaired": unpaired,
    "openai_preference": openai_preference,
    "labelstudio": labelstudio,
    "argilla": argilla,
    "doccano": doccano,
    "prodigy": prodigy,
}
"""Record shapes by the name `ReadOptions.format` gives them."""

__all__ = ["Shape", "recognised", "shapes"]
