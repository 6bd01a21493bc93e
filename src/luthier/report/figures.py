"""Numbers as people read them: units attached, digits that mean something, a dash where there is nothing."""

from __future__ import annotations

import math
import unicodedata
from datetime import datetime

NOTHING = "–"
MINUS = "−"


def places(*values: float | None) -> int:
    """Decimals that suit a row of numbers: three for fractions, one for percentages, none for thousands."""
    largest = max((abs(value) for value in values if value is not None and math.isfinite(value)), default=0.0)
    return 3 if largest < 10 else 1 if largest < 1000 else 0


def finite(value: float | None) -> bool:
    """Whether there is a number to show."""
    return value is not None and math.isfinite(value)


def number(value: float | None, decimals: int = 3, *, signed: bool = False) -> str:
    """`0.913`, `1,204.5`; `+0.020` and `−0.020` when signed."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:{'+' if signed else ''},.{decimals}f}"
    return text.replace("-", MINUS)


def span(low: float | None, high: float | None, decimals: int = 3, *, signed: bool = False) -> str:
    """`[0.871, 0.902]`, or nothing when either end is unknown."""
    if not (finite(low) and finite(high)):
        return ""
    return f"[{number(low, decimals, signed=signed)}, {number(high, decimals, signed=signed)}]"


def percent(share: float | None, decimals: int = 0) -> str:
    """A share as `8 %` or `8.3 %`; `< 1 %` and `> 99 %` where rounding would say none or all."""
    if share is None or not math.isfinite(share):
        return NOTHING
    shown, unit = round(100 * share, decimals), 10.0**-decimals
    if shown == 0 and share > 0:
        return f"< {unit:g} %"
    if shown == 100 and share < 1:
        return f"> {100 - unit:g} %"
    return f"{number(shown, decimals)} %"


def probability(logprob: float) -> float:
    """Of a log-probability in nats; rounding above it counts as 1."""
    return math.exp(min(0.0, logprob))


def count(value: float | None) -> str:
    """`1,204`; from a million on `134.5 M`."""
    if value is None or not math.isfinite(value):
        return NOTHING
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if abs(value) >= size:
            return f"{value / size:.1f} {unit}"
    return f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """`820 ms`, `4.2 s`, `4 min 12 s`, `1 h 03 min`; a dash where there is none.

    The same words as `luthier.train.log.spoken`, twice since a page opens without what trains; a test holds them equal.
    """
    if seconds is None or not math.isfinite(seconds):
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def memory(size: float | None) -> str:
    """Bytes as `412 KiB`, `18.3 MiB`, `2.41 GiB` (powers of 1024)."""
    if size is None or not math.isfinite(size):
        return NOTHING
    for unit, scale, decimals in (("GiB", 2**30, 2), ("MiB", 2**20, 1), ("KiB", 2**10, 0)):
        if size >= scale:
            return f"{size / scale:.{decimals}f} {unit}"
    return f"{size:.0f} B"


def energy(watt_hours: float | None) -> str:
    """`12.4 Wh`, `1.20 kWh`."""
    if watt_hours is None or not math.isfinite(watt_hours):
        return NOTHING
    if watt_hours >= 1000:
        return f"{watt_hours / 1000:.2f} kWh"
    return f"{watt_hours:.1f} Wh" if watt_hours >= 1 else f"{watt_hours:.2f} Wh"


def p_value(p: float | None) -> str:
    """`p = 0.031`, `p < 0.001`; empty when unknown."""
    if p is None or not math.isfinite(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def when(created: str) -> str:
    """An ISO 8601 time as `2025-11-03 14:02 UTC`; anything else as it stands."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        return visible(created)
    return f"{moment:%Y-%m-%d %H:%M} {moment.tzname() or ''}".strip()


def visible(text: str) -> str:
    """Text with control characters made visible, so that it can neither vanish nor steer a terminal.

    Line feeds and tabs stay; carriage returns before a line feed go.
    """
    text = text.replace("\r\n", "\n")
    return "".join(_picture(char) for char in text)


def _picture(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cs"):
        return char
    code = ord(char)
    return chr(0x2400 + code) if code < 0x20 else "\ufffd"
