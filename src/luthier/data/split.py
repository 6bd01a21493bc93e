"""Examples to train, validation and test, by content rather than by place in the file.

Rows that share a group, or whose prompts say the same, form one unit and stay together. Units are put in an order
drawn from the seed and their text, in which every beginning holds the labels in about their proportions; the test split
is a beginning of it, validation what follows, training the rest. So the same rows give the same splits in whatever
order they are listed, and a label always keeps a unit in training.
"""

from __future__ import annotations

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

from luthier.errors import RecipeError
from luthier.types import Example, Message

PARTS = ("train", "validation", "test")
"""Splits, in the order in which a row counts as the earlier one."""


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """How the rows that were given together are divided."""

    validation: float = 0.1
    """Share of the rows kept for choosing the best checkpoint."""
    test: float = 0.1
    """Share of the rows kept for the final comparison, looked at once."""
    seed: int = 0
    """Which of the possible divisions is drawn."""


@dataclass(frozen=True, slots=True)
class _Unit:
    """Rows that stay together."""

    places: tuple[int, ...]
    key: str
    """Its rows' text, hashed with the seed."""
    label: str
    """The label most of its rows have."""


def split(
    examples: Sequence[Example],
    options: SplitOptions,
    *,
    validation: Sequence[Example] | None = None,
    test: Sequence[Example] | None = None,
    linked: Iterable[tuple[int, int]] = (),
) -> dict[str, tuple[Example, ...]]:
    """The examples under `train`, `validation` and `test`, each in the order they came in.

    A split that is given is taken as it is, and no share is drawn for it. linked: places of examples that stay
    together, too, such as near duplicates. Raises RecipeError for impossible shares.
    """
    shares = {
        "test": options.test if test is None else 0.0,
        "validation": options.validation if validation is None else 0.0,
    }
    if any(share < 0 for share in shares.values()) or sum(shares.values()) >= 1:
        named = f"validation={options.validation}, test={options.test}"
        raise RecipeError(f"split: {named} leave nothing to train on; give shares from 0 up, less than 1 together")
    drawn = _draw(_ordered(_units(examples, options.seed, linked), options.seed), shares)
    names = [drawn.get(place, "train") for place in range(len(examples))]
    parts = {
        part: tuple(example for example, name in zip(examples, names, strict=True) if name == part) for part in PARTS
    }
    given = {"validation": validation, "test": test}
    return parts | {part: tuple(rows) for part, rows in given.items() if rows is not None}


def normalised(prompt: Iterable[Message]) -> str:
    """The prompt's text as duplicates are found by: without case, punctuation, symbols, or kind and amount of
    white space. A message of these alone stays as it is.
    """
    return "\n".join(f"{message.role} {_normalised(message.content)}" for message in prompt)


def _normalised(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    marks = {ord(char): None for char in set(plain) if unicodedata.category(char)[0] in "PS"}
    return " ".join(plain.translate(marks).split()) or " ".join(plain.split())


def _units(examples: Sequence[Example], seed: int, linked: Iterable[tuple[int, int]]) -> list[_Unit]:
    """The examples joined wherever they share a group or a prompt, or are linked."""
    root = list(range(len(examples)))

    def find(place: int) -> int:
        while root[place] != place:
            root[place] = root[root[place]]
            place = root[place]
        return place

    first: dict[tuple[str, str], int] = {}
    texts = [normalised(example.prompt) for example in examples]
    for place, (example, text) in enumerate(zip(examples, texts, strict=True)):
        ties = [("prompt", text)] + ([("group", example.group)] if example.group is not None else [])
        for tie in ties:
            root[find(place)] = find(first.setdefault(tie, place))
    for one, other in linked:
        root[find(other)] = find(one)
    members: defaultdict[int, list[int]] = defaultdict(list)
    for place in range(len(examples)):
        members[find(place)].append(place)
    return [_unit(examples, texts, tuple(places), seed) for places in members.values()]


def _unit(examples: Sequence[Example], texts: Sequence[str], places: tuple[int, ...], seed: int) -> _Unit:
    contents = sorted({texts[place] for place in places})
    labels = Counter(examples[place].label or "" for place in places)
    label = min(labels, key=lambda name: (-labels[name], name))
    return _Unit(places, _hash(str(seed), *contents), label)


def _hash(*parts: str) -> str:
    return blake2b("\0".join(parts).encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _ordered(units: Iterable[_Unit], seed: int) -> list[_Unit]:
    """Units so that every beginning holds each label in about its proportion.

    The r-th of a label's u units, in the order of their hashes, stands at (r + a number in [0, 1) of the label) / u.
    """
    by_label: defaultdict[str, list[_Unit]] = defaultdict(list)
    for unit in sorted(units, key=lambda unit: unit.key):
        by_label[unit.label].append(unit)
    placed = []
    for label, some in by_label.items():
        shift = int(_hash(str(seed), "label", label), 16) / 2**128
        placed += [((rank + shift) / len(some), unit.key, unit) for rank, unit in enumerate(some)]
    return [unit for *_, unit in sorted(placed, key=lambda entry: entry[:2])]


def _draw(units: Sequence[_Unit], shares: dict[str, float]) -> dict[int, str]:
    """The split of each row that is not trained on; a label's last unit is always left to training.

    Units that do not fit in a share are passed over; where none fits, the share grows to the smallest.
    """
    total = sum(len(unit.places) for unit in units)
    left = Counter(unit.label for unit in units)
    drawn: dict[int, str] = {}
    for part, share in shares.items():
        wanted = max(1, round(share * total)) if share else 0
        free = [unit for unit in units if unit.places[0] not in drawn]
        if share and not any(len(unit.places) <= wanted and left[unit.label] > 1 for unit in free):
            wanted = min((len(unit.places) for unit in free if left[unit.label] > 1), default=0)
        for unit in free:
            if len(unit.places) <= wanted and left[unit.label] > 1:
                wanted -= len(unit.places)
                left[unit.label] -= 1
                drawn.update(dict.fromkeys(unit.places, part))
    return drawn
