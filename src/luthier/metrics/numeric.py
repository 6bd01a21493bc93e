"""The number an answer ends in, as grade-school maths writes it: `#### 18`.

Where a text has no `####`, its last number counts. That is generous to a model that was never taught the format, so
that a difference between two models is one of arithmetic, not of formatting. A number in English words counts where
there are no digits: "forty-two".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from luthier.metrics.spelled import spelled

MARK = "####"
_NUMBER = re.compile(r"(?:(?<![\w).])-)?(?:(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)")


def numeric(prediction: str, references: Sequence[str]) -> float:
    """1 if the answer's number equals that of a reference as a number (18 = 18.00 = $18), else 0."""
    given = answer_number(prediction)
    return float(given is not None and any(given == answer_number(text) for text in references))


def answer_number(text: str) -> Decimal | None:
    """The first number after the last `####`, or the last number of a text without one; None where there is none.

    Commas between groups of three digits are thousands; a point is the decimal point. Words are read where there are no
    digits.
    """
    _, mark, tail = text.rpartition(MARK)
    found = _NUMBER.findall(tail.replace("\N{MINUS SIGN}", "-").replace("$", ""))
    if not found:
        written = spelled(tail)
        return None if not written else written[0] if mark else written[-1]
    return Decimal((found[0] if mark else found[-1]).replace(",", ""))
