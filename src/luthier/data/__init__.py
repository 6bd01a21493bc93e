"""From a file to examples, to tokens and weights, to splits.

The order of travel: `files` (rows), `shape` (a row to an Example), `read` (both, with every row accounted for),
`split`, `template` and `render` (tokens and weights), `ledger` (what became of each row). Nothing here judges the
data; that is `checks`.

A record shape of your own is a function `(Row) -> Example` and one line in `shapes`; one from elsewhere is named
`module:function` in `ReadOptions.format`.
"""

from collections.abc import Callable
from typing import TypeAlias

from luthier.data.row import Row
from luthier.data.shape import alpaca, label, messages, pair, prompt, sharegpt
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
}
"""Record shapes by the name `ReadOptions.format` gives them."""

recognised: dict[str, frozenset[str]] = {
    "pair": frozenset({"chosen", "rejected"}),
    "messages": frozenset({"messages"}),
    "sharegpt": frozenset({"conversations"}),
    "alpaca": frozenset({"instruction", "output"}),
    "prompt": frozenset({"prompt", "completion"}),
    "label": frozenset({"text", "label"}),
}
"""The columns by which a shape is recognised, tried in this order."""

__all__ = ["Shape", "recognised", "shapes"]
