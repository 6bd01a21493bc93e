"""Personal data and secrets replaced by stand-ins: the same value by the same one, through a whole file.

write to ann@mail.de, or Ann@mail.de   ->   write to [EMAIL_1], or [EMAIL_1]

What people are shown of a row keeps enough of a value to find it by (`masked`):   ->   write to [EMAIL ann@…]
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

from luthier.checks.privacy import RECOGNISERS
from luthier.checks.recognise import Found, found

_STAND_IN: Final = re.compile(r"\[(?:" + "|".join(sorted({one.name for one in RECOGNISERS})) + r")_[0-9]{1,9}\]")


def redactor(before: Iterable[str] = ()) -> Callable[[str], str]:
    """Replaces what `personal_data` and `secret` find; numbered in the order in which values are first met.

    A text that was redacted is left as it is. Stand-ins met in a text, or in the texts of `before`, are nobody else's.
    """
    names: dict[tuple[str, str], str] = {}
    counts = Counter[str]()
    taken = {name for text in before for name in _STAND_IN.findall(text)}

    def stand_in(value: Found) -> str:
        key = (value.by.name, value.by.key(value.value))
        while key not in names:
            counts[value.by.name] += 1
            name = f"[{value.by.name}_{counts[value.by.name]}]"
            if name not in taken:
                names[key] = name
        return names[key]

    def redact(text: str) -> str:
        if "[" in text:
            taken.update(_STAND_IN.findall(text))
        values = found(text, RECOGNISERS)
        if not values:
            return text
        pieces, end = [], 0
        for value in values:
            pieces += [text[end : value.start], stand_in(value)]
            end = value.end
        return redact("".join((*pieces, text[end:])))

    return redact


def masked(text: str) -> str:
    """The text for people to read: of each value only what the findings show of it.

    my card 4111 1111 1111 1111   ->   my card [CARD …1111]
    """
    while values := found(text, RECOGNISERS):
        for value in reversed(values):
            text = f"{text[: value.start]}[{value.by.name} {value.masked}]{text[value.end :]}"
    return text
