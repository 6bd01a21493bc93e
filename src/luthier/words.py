"""Words for people that more than one room uses."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def counted(number: int, noun: str) -> str:
    """`1 row`, `2,000 rows`, `0 rows`; the noun's plural ends in s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def closest(word: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?` where something known is close to the word, else nothing.

    cutoff: difflib's, from 0 to 1; the higher, the closer it has to be.
    """
    near = get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""


def spelled(name: str) -> str:
    """A metric's or a field's name for people: `macro_f1` as `macro F1`, `rougeL` as `ROUGE-L`."""
    return " ".join(_SPELLED.get(part, part) for part in name.split("_"))


_SPELLED = {
    "f1": "F1",
    "mcc": "MCC",
    "exact": "exact match",
    "numeric": "numeric accuracy",
    "mae": "mean absolute error",
    "rmse": "root mean squared error",
    "r2": "R²",
    "rouge": "ROUGE",
    "l": "L",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
    "bleu": "BLEU",
    "chrf": "chrF",
    "ter": "TER",
    "json": "JSON",
    "distinct1": "distinct-1",
    "distinct2": "distinct-2",
}
