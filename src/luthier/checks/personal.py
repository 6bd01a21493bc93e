"""Recognisers of e-mail addresses, bank accounts, payment cards and internet addresses, by their checksums and ranges.

Not here: phone numbers (`phone`) and secrets (`secrets`). Addresses that are nobody's are passed over: private,
loopback and documentation ranges, and the public resolvers everyone names. Names of people are not looked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final

from luthier.checks.recognise import Recogniser, matches

_EMAIL: Final = re.compile(
    r"(?<![\w.%+-])(?<!\w')(?!git@)[\w.%+-][\w.%+'-]{0,63}@(?:[^\W_][\w-]{0,62}\.){1,6}[^\W\d_]{2,24}(?![\w@-])"
)
_FILES: Final = ("png", "jpg", "jpeg", "gif", "svg", "webp", "js", "css", "html", "json", "py", "md")

_LENGTHS: Final = {
    country: length
    for length, countries in {
        15: "NO",
        16: "BE",
        18: "DK FO FI GL NL SD",
        19: "MK SI",
        20: "AT BA EE KZ LT LU MN XK",
        21: "CH HR LI LV",
        22: "BG BH CR DE GB GE IE ME RS VA",
        23: "AE GI IL IQ OM SO TL",
        24: "AD CZ ES MD PK RO SA SE SK TN VG",
        25: "LY PT ST",
        26: "IS TR",
        27: "BI DJ FR GR IT MC MR SM",
        28: "AL AZ BY CY DO GT HN HU LB NI PL SV",
        29: "BR EG PS QA UA",
        30: "JO KW MU YE",
        31: "MT SC",
        32: "LC",
        33: "RU",
    }.items()
    for country in countries.split()
}
"""Characters of an IBAN by country. Source: SWIFT, IBAN Registry."""
_ACCOUNT: Final = re.compile(r"[0-9](?<=[A-Za-z]{2}[0-9])(?<![0-9A-Za-z][A-Za-z]{2}[0-9])[0-9]")

_CARD: Final = re.compile(
    r"[0-9](?<![\w.][0-9])(?<![0-9],[0-9])"
    r"(?:[0-9]{11,18}|[0-9]{3}(?P<by>[ -])(?:[0-9]{4}(?P=by)[0-9]{4}(?P=by)[0-9]{4}(?:(?P=by)[0-9]{3})?|"
    r"[0-9]{6}(?P=by)[0-9]{4,5}))(?![\w]|[.,-][0-9])"
)
_TWELVE: Final = re.compile(r"[0-9](?:[ -]?[0-9]){11}")
_SHAPES: Final = re.compile(
    "|".join(
        (
            r"4(?:[0-9]{12}|[0-9]{15}|[0-9]{18})",  # Visa
            r"(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}",  # Mastercard
            r"3[47][0-9]{13}",  # American Express
            r"3(?:0[0-5]|[689][0-9])[0-9]{11}",  # Diners
            r"(?:6011|64[4-9][0-9]|65[0-9]{2})[0-9]{12,15}",  # Discover
            r"35(?:2[89]|[3-8][0-9])[0-9]{12,15}",  # JCB
            r"62[0-9]{14,17}",  # UnionPay
            r"(?:50[0-9]{2}|5[6-8][0-9]{2}|6[0-9]{3})[0-9]{12}",  # Maestro, as 16 digits only
        )
    )
)

_IPV4: Final = re.compile(r"[0-9](?<![\w.][0-9])[0-9]{0,2}(?:\.[0-9]{1,3}){3}(?![\w]|\.[0-9])")
_VERSION: Final = re.compile(r"(?:\bv|version|release|build|firmware|ver\.?|[\w)]/)[ :]{0,2}\Z", re.IGNORECASE)
_RESOLVERS: Final = frozenset({"8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"})
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")


def is_iban(text: str) -> bool:
    """Whether letters and digits, without spaces, are an account number. Source: ISO 13616, ISO 7064 mod 97-10."""
    compact = text.upper()
    if len(compact) != _LENGTHS.get(compact[:2]) or sum(char.isdigit() for char in compact) < 8:
        return False
    return int("".join(str(int(char, 36)) for char in compact[4:] + compact[:4])) % 97 == 1


def is_card(text: str) -> bool:
    """Whether digits are a payment card's: a known issuer's prefix and length, and Luhn's sum. Source: ISO 7812."""
    digits = _compact(text)
    return _SHAPES.fullmatch(digits) is not None and len(set(digits)) > 1 and _luhn(digits)


def is_public_ipv4(text: str) -> bool:
    """Whether an address may be somebody's; one digit a part is a version or a section, not an address."""
    try:
        address = IPv4Address(text)
    except AddressValueError:
        return False
    parts = text.split(".")
    somebody = address.is_global and not address.is_multicast and text not in _RESOLVERS
    return somebody and any(len(part) > 1 for part in parts) and parts[-1] != "0"


def is_public_ipv6(text: str) -> bool:
    """Whether an address may be somebody's: of 2000::/3, which is all that is given out."""
    try:
        address = IPv6Address(text)
    except AddressValueError:
        return False
    return address.is_global and int(address) >> 125 == 1


def _luhn(digits: str) -> bool:
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(map(int, digits[-1::-2]))) % 10 == 0


def _compact(text: str) -> str:
    return text.replace(" ", "").replace("-", "").upper()


def _is_email(text: str) -> bool:
    return not text.lower().endswith(tuple("." + ending for ending in _FILES)) and ".." not in text


@cache
def _account(length: int) -> re.Pattern[str]:
    return re.compile(rf"[0-9A-Za-z](?:[ -]?[0-9A-Za-z]){{{length - 1}}}(?![0-9A-Za-z])")


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for begun in _ACCOUNT.finditer(text):
        start = begun.start() - 2
        length = _LENGTHS.get(text[start : start + 2].upper())
        found = _account(length).match(text, start) if length else None
        if found and is_iban(_compact(found[0])):
            yield found.span()


def _ipv4s(text: str) -> Iterator[tuple[int, int]]:
    for found in _IPV4.finditer(text):
        before = text[max(0, found.start() - 12) : found.start()]
        if is_public_ipv4(found[0]) and (before.endswith("//") or not _VERSION.search(before)):
            yield found.span()


_SSN: Final = re.compile(r"(?<![\w.-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![\w-]|\.[0-9])")
"""Source: the Social Security Administration gives out no area 000, 666 or 9xx, no group 00 and no serial 0000."""

EMAIL: Final = Recogniser(
    "an e-mail address", "EMAIL", "personal_data", 0.5, lambda text: "@" in text, matches(_EMAIL, _is_email)
)
IBAN: Final = Recogniser(
    "a bank account (IBAN)",
    "IBAN",
    "personal_data",
    0.7,
    lambda text: _ACCOUNT.search(text) is not None,
    _ibans,
    key=_compact,
    tail=True,
)
CARD: Final = Recogniser(
    "a payment card",
    "CARD",
    "personal_data",
    0.8,
    lambda text: _TWELVE.search(text) is not None,
    matches(_CARD, is_card),
    key=_compact,
    tail=True,
)
IPV4: Final = Recogniser("an IP address", "IP", "personal_data", 0.3, lambda text: text.count(".") > 2, _ipv4s)
IPV6: Final = Recogniser(
    "an IP address",
    "IP",
    "personal_data",
    0.3,
    lambda text: "::" in text or text.count(":") > 6,
    matches(_IPV6, is_public_ipv6),
    key=lambda text: IPv6Address(text).compressed,
)
SSN: Final = Recogniser(
    "a US social security number",
    "SSN",
    "personal_data",
    0.8,
    lambda text: text.count("-") > 1,
    matches(_SSN),
    tail=True,
)
