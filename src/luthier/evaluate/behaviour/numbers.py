"""Another number of the same size: as many digits, the first of several the same, never 0 or 1 alone."""

from __future__ import annotations

import re
from random import Random
from typing import Final

_NUMBER: Final = re.compile(r"(?<![\w./:,'’-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w/:%'’-]|[.,]\d)")


def other_number(text: str, rng: Random) -> str | None:
    """Every number that stands alone, or behind a currency sign, becomes another, the same wherever it stands."""
    found = list(dict.fromkeys(_NUMBER.findall(text)))
    others: dict[str, str] = {}
    for number in found:
        others[number] = _other(number, rng, taken={*found, *others.values()})
    changed = _NUMBER.sub(lambda match: others[match[0]], text)
    return changed if changed != text else None


def _other(number: str, rng: Random, *, taken: set[str]) -> str:
    """Differs in its last digit from the number and from all that are taken; itself where no digit is free."""
    if number in ("0", "1"):
        return number
    last = max(at for at, sign in enumerate(number) if sign.isdecimal())
    digits = "23456789" if len(number) == 1 else "123456789"
    free = [one for digit in digits if (one := number[:last] + digit + number[last + 1 :]) not in taken]
    return rng.choice(free) if free else number
