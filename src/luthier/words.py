"""Words for people that more than one room uses."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """`1 row`, `2,000 rows`, `0 rows`; the noun's plural ends in s."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
