"""TRL at its best here: one option at a time on top of the best so far, kept where it is faster and as right."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from work import Measured, Setting

Settings: TypeAlias = dict[str, Setting]

PLAIN: Settings = {"gradient_checkpointing": False}
"""Where the search starts."""
OPTIONS: Mapping[str, Settings] = {
    "batch of 4": {"batch": 4},
    "batch of 16": {"batch": 16},
    "batch of 32": {"batch": 32},
    "no padding": {"padding_free": True, "max_length": None},
    "no autocast (bfloat16 weights)": {"bf16": False, "weights": "bfloat16"},
    "float32 weights under bfloat16 autocast": {"weights": "float32"},
    "float32": {"bf16": False, "weights": "float32"},
    "torch.compile": {"torch_compile": True},
}
TOLERANCE = 0.01
"""How far, as a share, the first loss on the same rows may lie from ours; bfloat16's rounding stays below it."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of options, tried for a few steps."""

    name: str
    settings: Settings
    seconds: float | None
    """Of its last step; None where it gave none."""
    remark: str
    """Why it was not taken, or that it was."""


def search(
    run: Callable[[Settings], Measured], *, rows_per_step: int, loss: float, free_bytes: int
) -> tuple[Settings, list[Trial]]:
    """The fastest correct settings and all that were tried. `loss` is the right first loss.

    A larger batch is left out where the memory it would need, in proportion, is not there.
    """
    first = run(PLAIN)
    best, fastest = PLAIN, first.timed[-1] if right(first, loss) else float("inf")
    trials = [Trial("no checkpointing, batch of 8", PLAIN, fastest, verdict(first, loss))]
    per_row = first.peak_bytes / 8
    for name, change in OPTIONS.items():
        batch = int(change.get("batch") or 0)
        if batch > rows_per_step:
            continue
        if batch * per_row > free_bytes:
            trials.append(Trial(name, change, None, f"left out: needs about {batch * per_row / 1e9:.0f} GB"))
            continue
        tried = run({**best, **change})
        seconds = None if tried.failed else tried.timed[-1]
        remark = verdict(tried, loss)
        if right(tried, loss) and seconds is not None and seconds < fastest:
            best, fastest, remark = {**best, **change}, seconds, "taken"
        trials.append(Trial(name, change, seconds, remark))
    return best, trials


def right(found: Measured, loss: float) -> bool:
    """Whether an arm finished, and began with the right loss."""
    return not found.failed and abs(found.losses[0] - loss) <= TOLERANCE * loss


def verdict(found: Measured, loss: float) -> str:
    """The same in words."""
    if found.failed:
        return f"failed: {found.failed}"
    return "no faster" if right(found, loss) else f"wrong: its first loss is {found.losses[0]:.4f}, not {loss:.4f}"
