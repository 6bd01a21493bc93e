"""Recognisers of secrets by the shapes their issuers give them, and of named values that look drawn at random.

A password of plain words is not known by its shape and passes, unless it stands in an address (`://name:password@`), or
in quotes after what names it (`my password is "sunshine"`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from math import log2
from typing import Final

from luthier.checks.recognise import Recogniser, holds, matches

RANDOM: Final = 3.0
"""Bits a character from which a value looks drawn at random; 32 random hexadecimal digits have 3.6 on average."""

_NAMED: Final = re.compile(
    r"(?:key|token|secret|passwd|password|pwd|bearer)(?:[\"']?\s{0,3}(?::|=>?|\bis\b)\s{0,3}|\s{1,3})[\"'`]?"
    r"(?P<value>[A-Za-z0-9+/_\-]{16,200}={0,2})(?![A-Za-z0-9+/_\-(.])",
    re.IGNORECASE,
)
_STAND_INS: Final = re.compile(
    r"your|example|xxx|placeholder|insert|changeme|sample|dummy|1234567890abc", re.IGNORECASE
)
_ADDRESS: Final = re.compile(r"(?<=://)[^\s/:@\[\]<>{}$]{1,64}:(?P<value>[^\s/@\[\]<>{}$]{1,128})@(?=[\w\[])")

_SAID: Final = re.compile(
    r"[pkcmg](?<=\b[pkcmg])(?P<what>ass(?:word|code|phrase|wort)|wd?|in(?:[ -]?(?:code|number))?|ennwort|ontraseña|"
    r"ot de passe|eheimzahl)\b"
    r"(?:\s(?:for|to|of|on|für)(?:\s[\w'.@-]{1,30}){1,4}?)?"
    r"\s{0,3}(?::|=>?|\b(?:is|was|ist|war|lautet|es|est|to)\b(?:\s(?:now|still|just|set to))?:?)\s{0,3}"
    r"(?P<value>\"[^\"\s\[\]]{4,64}\"|'[^'\s\[\]]{4,64}'|“[^”\s\[\]]{4,64}”|[\w!@#$%^&*+=~?-]{4,64})"
    r"(?=[.,;!?)\"']{0,3}(?:\s|\Z))",
    re.IGNORECASE,
)
"""A password or PIN in words; one of letters alone only in quotes, since `my password is wrong` names none."""
_NO_PASSWORD: Final = re.compile(
    r"\d+(?:st|nd|rd|th|am|pm|x|h|hrs?|min|days?|times|[- ]?digits?|[- ]?char\w*)|"
    r"(?:sha|md|aes|base|utf|argon|oauth)-?\d\w*|[^\W\d]+-[^\W\d]+",
    re.IGNORECASE,
)
_SIGNS: Final = frozenset("!@#$%^&*+=~")

_API_KEYS: Final = (
    ("AWS", ("AKIA", "ASIA"), r"(?<!\w)(?:AKIA|ASIA)[A-Z2-7]{16}(?!\w)"),
    ("GitHub", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_"), r"(?<!\w)gh[opusr]_[A-Za-z0-9]{36,255}(?!\w)"),
    ("GitHub", ("github_pat_",), r"(?<!\w)github_pat_[A-Za-z0-9_]{40,255}"),
    ("GitLab", ("glpat-",), r"(?<!\w)glpat-[\w-]{20,64}"),
    ("OpenAI, Anthropic or alike", ("sk-",), r"(?<![\w-])sk-(?=[\w-]{0,200}[0-9])(?=[\w-]{0,200}[A-Z])[\w-]{20,200}"),
    ("Stripe", ("k_live_", "k_test_"), r"(?<!\w)[sr]k_(?:live|test)_[A-Za-z0-9]{16,128}"),
    ("Slack", ("xox",), r"(?<!\w)xox[abeoprs]-[A-Za-z0-9-]{10,200}"),
    ("Slack", ("hooks.slack.com",), r"hooks\.slack\.com/services/T\w{6,12}/B\w{6,14}/\w{16,32}"),
    ("Google", ("AIza",), r"(?<!\w)AIza[\w-]{35}(?![\w-])"),
    ("Hugging Face", ("hf_",), r"(?<!\w)hf_[A-Za-z0-9]{30,64}(?!\w)"),
    ("npm", ("npm_",), r"(?<!\w)npm_[A-Za-z0-9]{36}(?!\w)"),
    ("PyPI", ("pypi-",), r"(?<!\w)pypi-AgE[\w-]{40,300}"),
    ("SendGrid", ("SG.",), r"(?<!\w)SG\.[\w-]{16,32}\.[\w-]{32,64}"),
    ("Telegram", (":AA",), r"(?<!\w)[0-9]{8,10}:AA[\w-]{32,34}(?![\w-])"),
)


def entropy(text: str) -> float:
    """Bits a character, from how often each stands in the text. Source: Shannon 1948."""
    counts = Counter(text)
    return sum(count * log2(len(text) / count) for count in counts.values()) / len(text) if text else 0.0


def looks_random(text: str) -> bool:
    """Whether a value looks drawn rather than written: letters and digits mixed, no stand-in, enough entropy."""
    mixed = any(char.isdigit() for char in text) and any(char.isalpha() for char in text)
    return mixed and entropy(text) >= RANDOM and not _STAND_INS.search(text)


_names_any = holds("key", "token", "secret", "passw", "pwd", "bearer")


def _names_one(text: str) -> bool:
    return _names_any(text.lower())


def _says_password(text: str) -> Iterator[tuple[int, int]]:
    for found in _SAID.finditer(text):
        start, end = found.span("value")
        quoted = text[start] in "\"'“"
        value = text[start + 1 : end - 1] if quoted else text[start:end].rstrip("?!")
        pin = found["what"].lower().startswith(("in", "asscode", "eheim"))
        if _is_pin(value) if pin else _is_password(value, quoted):
            yield start + quoted, start + quoted + len(value)


def _is_pin(value: str) -> bool:
    return value.isdigit() and 4 <= len(value) <= 8


def _is_password(value: str, quoted: bool) -> bool:
    if len(value) < 4 or _STAND_INS.search(value) or _NO_PASSWORD.fullmatch(value):
        return False
    odd = any(char.isdigit() or char in _SIGNS for char in value.strip("!@#$%^&*+=~_-"))
    return quoted or value.isdigit() or (odd and any(char.isalpha() for char in value))


_names_password = holds("pass", "pwd", "pw ", "pw:", "pin", "kennw", "contrase", "mot de", "geheimz")


def _may_say_password(text: str) -> bool:
    return _names_password(text.lower())


_PEM: Final = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:[^-]{0,16384}-----END (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----)?"
)

SECRETS: Final = (
    Recogniser("a private key", "PRIVATE_KEY", "secret", 0.9, holds("PRIVATE KEY"), matches(_PEM), key=str),
    *(
        Recogniser(f"an API key ({issuer})", "KEY", "secret", 0.9, holds(*signs), matches(re.compile(shape)), key=str)
        for issuer, signs, shape in _API_KEYS
    ),
    Recogniser(
        "a signed token (JWT)",
        "TOKEN",
        "secret",
        0.7,
        holds("eyJ"),
        matches(re.compile(r"(?<![\w-])eyJ[\w-]{8,4096}\.eyJ[\w-]{8,8192}\.[\w-]{8,4096}")),
        key=str,
    ),
    Recogniser("a password in an address", "PASSWORD", "secret", 0.8, holds("://"), matches(_ADDRESS), key=str),
    Recogniser("a key or password", "KEY", "secret", 0.7, _names_one, matches(_NAMED, looks_random), key=str),
    Recogniser("a password", "PASSWORD", "secret", 0.8, _may_say_password, _says_password, key=str),
)
"""Those known by an issuer's shape first."""
