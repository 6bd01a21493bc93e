"""Personal data and secrets in the rows: a model learns them by heart, and says them to whoever asks well.

Source: Carlini et al. 2021, arXiv:2012.07805. What is looked for stands in `personal`, `phone` and `secrets`; what
replaces it in `redact`. Values are shown in part only.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from luthier.checks.check import Corpus
from luthier.checks.personal import CARD, EMAIL, IBAN, IPV4, IPV6, SSN
from luthier.checks.phone import PHONE, installed
from luthier.checks.recognise import Found, Part, Recogniser, found
from luthier.checks.secrets import SECRETS
from luthier.checks.turns import said
from luthier.types import Example, Issue

RECOGNISERS: Final = (*SECRETS, EMAIL, IBAN, CARD, SSN, PHONE, IPV4, IPV6)
"""Where two overlap the first counts: a password's address is no e-mail address, an account's digits are no phone."""
_REMEDY: Final = "replace it by a stand-in in every row (`luthier check --fix OUT --redact`), or leave the row out"
_REVOKE: Final = f"revoke it, since it has been copied; then {_REMEDY}"


def personal_data(corpus: Corpus) -> Iterator[Issue]:
    """E-mail addresses, bank accounts, cards, phone numbers and IP addresses; one Issue a row and kind.

    Where `phonenumbers` is not installed one Issue that is not flagged says that phone numbers were not looked for.
    """
    if not installed():
        why = "phone numbers were not looked for: phonenumbers is not installed"
        yield Issue("personal_data", (), 0.0, False, why, "pip install 'luthier[audit]'")
    yield from _held(corpus, "personal_data", _REMEDY)


def secret(corpus: Corpus) -> Iterator[Issue]:
    """API keys, tokens, private keys and passwords, in addresses or said in words; one Issue a row and kind."""
    yield from _held(corpus, "secret", _REVOKE)


def kind(issue: Issue) -> str:
    """What a finding of this file is about: `an e-mail address`."""
    return next((one.kind for one in RECOGNISERS if f" holds {one.kind}, " in issue.why), "")


def _held(corpus: Corpus, part: Part, remedy: str) -> Iterator[Issue]:
    wanted = tuple(one for one in RECOGNISERS if one.part == part)
    for row in corpus.each(corpus.rows, "personal data" if part == "personal_data" else "secrets"):
        for values in _by_kind(row, wanted, part).values():
            where, first = values[0]
            more = f", and {len(values) - 1} more" if len(values) > 1 else ""
            yield Issue(
                check=part,
                examples=(row.id,),
                severity=first.by.severity,
                flagged=True,
                why=f"{where} of {row.id} holds {first.by.kind}, {first.masked!r}{more}",
                remedy=remedy,
            )


def _by_kind(row: Example, wanted: tuple[Recogniser, ...], part: Part) -> dict[str, list[tuple[str, Found]]]:
    """Values of a row by kind, each with where it stands."""
    kinds: dict[str, list[tuple[str, Found]]] = {}
    for where, text in said(row):
        if found(text, wanted):
            for value in found(text, RECOGNISERS):
                if value.by.part == part:
                    kinds.setdefault(value.by.kind, []).append((where, value))
    return kinds
