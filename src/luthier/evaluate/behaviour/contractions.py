"""English contractions written out, and the long forms contracted: `do not` and `don't`.

What could mean two things stays: `it's` may be `it has`, `he'd` may be `he had`. A question keeps its `don't you`.
"""

from __future__ import annotations

import re
from random import Random
from typing import Final

_VERBS: Final = "do does did is are was were have has had would should could"
_NOT: Final = {f"{verb} not": f"{verb}n't" for verb in _VERBS.split()} | {"will not": "won't", "cannot": "can't"}
_BE: Final = {
    "i am": "I'm", "you are": "you're", "we are": "we're", "they are": "they're", "it is": "it's", "that is": "that's",
    "i will": "I'll", "you will": "you'll", "we will": "we'll", "they will": "they'll",
}  # fmt: skip
_HAVE: Final = {"I've": "I have", "you've": "you have", "we've": "we have", "they've": "they have"}
_SHORTER: Final = _NOT | _BE
_LONGER: Final = {short: long for long, short in _NOT.items()} | _HAVE | {
    short: ("I" + long[1:] if long.startswith("i ") else long)
    for long, short in _BE.items()
    if not short.endswith("'s")
}  # fmt: skip
_SUBJECT: Final = r"(?!\s+(?:i|you|he|she|it|we|they|this|that|there|my|your|the)\b)"


def contracted(text: str, rng: Random) -> str | None:
    """`I do not` becomes `I don't`; `I am` only where something follows."""
    return _replaced(text, _LONG, _SHORTER)


def written_out(text: str, rng: Random) -> str | None:
    """`I don't` becomes `I do not`."""
    return _replaced(text, _SHORT, {short.lower(): long for short, long in _LONGER.items()})


def _replaced(text: str, pattern: re.Pattern[str], forms: dict[str, str]) -> str | None:
    changed = pattern.sub(
        lambda found: _as(found[0], forms[" ".join(found[0].lower().replace("’", "'").split())]), text
    )
    return changed if changed != text else None


def _as(found: str, form: str) -> str:
    """The form in capitals where what it replaces was."""
    if found.isupper() and len(found) > 2:
        return form.upper()
    return form[0].upper() + form[1:] if found[0].isupper() else form


def _any(forms: list[str]) -> str:
    return "|".join(re.escape(form).replace(r"\ ", r"\s+").replace("'", "['’]") for form in forms)


_LONG: Final = re.compile(rf"\b(?:(?:{_any([*_NOT])})\b|(?:{_any([*_BE])})\b(?=\s+\w))", re.IGNORECASE)
_SHORT: Final = re.compile(rf"\b(?:{_any([*_LONGER])})\b{_SUBJECT}", re.IGNORECASE)
