"""Phone numbers, by Google's numbering plans (`phonenumbers`, of the `audit` extra).

Written with a country's code they are known wherever they stand. Without it they are known by shape (as in North
America, or with a leading 0 and gaps), or by a word before them that says it is a phone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from typing import Final

from luthier.checks.recognise import Recogniser

_DIGITS: Final = re.compile(r"[0-9](?:[ ().\-/]{0,3}[0-9]){6}")
_ABROAD: Final = re.compile(
    r"(?:\+(?<![\w+]\+)|00(?<![\w.,+/-]00)(?=[1-9]))\(?[0-9](?:[ ().\-/]{0,3}[0-9]){6,15}(?![0-9])"
)
_AMERICAN: Final = re.compile(
    r"(?<![\w.,+/-])(?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}(?P<by>[.-]))[2-9][0-9]{2}"
    r"(?(by)(?P=by)|[.-])[0-9]{4}(?!\w|[.,/-][0-9])"
)
_HOME: Final = re.compile(r"(?<![\w.,+/-])(?<![0-9] )\(?0[1-9](?:[ ()./-]{0,2}[0-9]){7,10}(?!\w|[.,/-][0-9])")
_SAID: Final = re.compile(
    r"(?i:\b(?:phone|tel|telephone|mobile|cell|fax|whatsapp|sms|text me|call me|reach me|telefon\w*|handy\w*|mobil\w*|"
    r"rufnummer|téléphone|portable|teléfono|móvil|celular|telefone|telefono|cellulare|telefoon)\b|电话|手机|電話|携帯)"
    r"[^0-9+\n]{0,24}(?P<value>\(?[0-9](?:[ ()./-]{0,2}[0-9]){6,14})(?!\w|[.,/-][0-9])"
)
_DATE: Final = re.compile(
    r"\(?[0-3]?[0-9]([./-])[0-3]?[0-9]\1(?:19|20)?[0-9]{2}|(?:19|20)[0-9]{2}([./-])[01]?[0-9]\2[0-3]?[0-9]"
)
_GROUP: Final = re.compile(r"[0-9]+")
_GAP: Final = re.compile(r"[0-9)][ ()./-]+[0-9]")
_REGIONS: Final = (
    "US",
    "GB",
    "DE",
    "FR",
    "IT",
    "ES",
    "NL",
    "BE",
    "CH",
    "AT",
    "PT",
    "PL",
    "SE",
    "AU",
    "IN",
    "BR",
    "MX",
    "JP",
    "CN",
)
"""Countries in which a number without a country's code is tried, the first that has it being taken."""


@cache
def installed() -> bool:
    """Whether the numbering plans are there."""
    return find_spec("phonenumbers") is not None


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for found in _ABROAD.finditer(text):
        ends = [group.end() for group in _GROUP.finditer(found[0])]
        end = next((end for end in reversed(ends) if end > 7 and _e164(found[0][:end])), None)
        if end is not None:
            yield found.start(), found.start() + end
    for found in _AMERICAN.finditer(text):
        if _e164(found[0], ("US",)):
            yield found.span()
    for found in _HOME.finditer(text):
        if _GAP.search(found[0]) and not _DATE.match(found[0]) and _e164(found[0], _REGIONS[1:]):
            yield found.span()
    for found in _SAID.finditer(text):
        if not _DATE.match(found["value"]) and _e164(found["value"], _REGIONS):
            yield found.span("value")


def _e164(text: str, regions: tuple[str, ...] = ()) -> str | None:
    """The number with its country's code, or None where no plan has it."""
    import phonenumbers

    written = "+" + text[2:] if text.startswith("00") else text
    for region in (None, *regions) if written.startswith("+") else regions:
        try:
            number = phonenumbers.parse(written, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_valid_number(number):
            return str(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))
    return None


def _key(text: str) -> str:
    return _e164(text, _REGIONS) or text


def _may_hold(text: str) -> bool:
    return _DIGITS.search(text) is not None and installed()


PHONE: Final = Recogniser("a phone number", "PHONE", "personal_data", 0.5, _may_hold, _phones, key=_key, tail=True)
