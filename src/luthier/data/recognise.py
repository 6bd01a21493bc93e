"""Which shape the records of a file have, told by their columns and, where others have these too, by what they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from luthier.data.formats import argilla, labelstudio
from luthier.data.formats.prodigy import VERDICTS
from luthier.types import Json

LOOKED_AT = 100
"""Records with the columns that are looked into."""

recognised: dict[str, frozenset[str]] = {
    "labelstudio": frozenset({"data"}),
    "argilla": frozenset({"fields"}),
    "openai_preference": frozenset({"input", "preferred_output", "non_preferred_output"}),
    "pair": frozenset({"chosen", "rejected"}),
    "messages": frozenset({"messages"}),
    "sharegpt": frozenset({"conversations"}),
    "alpaca": frozenset({"instruction", "output"}),
    "unpaired": frozenset({"prompt", "completion", "label"}),
    "prompt": frozenset({"prompt", "completion"}),
    "prodigy": frozenset({"answer"}),
    "doccano": frozenset({"text"}),
    "label": frozenset({"text", "label"}),
}
"""The columns by which a shape is recognised, tried in this order."""

nested: dict[str, Callable[[Mapping[str, Json]], Iterable[str]]] = {
    "labelstudio": labelstudio.columns,
    "argilla": argilla.columns,
}
"""Of shapes with columns inside an object: the names of all that an option can name."""


def recognise(columns: Iterable[str], records: Sequence[Mapping[str, Json]]) -> str | None:
    """The first shape whose columns are there and whose look every record has that holds them; None where none is."""
    there = set(columns)
    return next((name for name, needed in recognised.items() if needed <= there and _looks(name, records)), None)


def _looks(name: str, records: Sequence[Mapping[str, Json]]) -> bool:
    if name not in _looks_like:
        return True
    held = [one for one in records if recognised[name] <= one.keys()][:LOOKED_AT]
    return bool(held) and all(_looks_like[name](one) for one in held)


def _labelstudio(record: Mapping[str, Json]) -> bool:
    return isinstance(record["data"], dict) and bool({"annotations", "predictions"} & record.keys())


def _argilla(record: Mapping[str, Json]) -> bool:
    return isinstance(record["fields"], dict) and bool({"responses", "suggestions"} & record.keys())


def _unpaired(record: Mapping[str, Json]) -> bool:
    return isinstance(record["label"], bool) or str(record["label"]).lower() in ("true", "false")


def _prodigy(record: Mapping[str, Json]) -> bool:
    return record["answer"] in VERDICTS and bool({"label", "accept", "user_input"} & record.keys())


def _doccano(record: Mapping[str, Json]) -> bool:
    return isinstance(record.get("label", record.get("labels")), list)


_looks_like: dict[str, Callable[[Mapping[str, Json]], bool]] = {
    "labelstudio": _labelstudio,
    "argilla": _argilla,
    "unpaired": _unpaired,
    "prodigy": _prodigy,
    "doccano": _doccano,
}
"""What a record of a shape looks like whose columns other records have, too."""
