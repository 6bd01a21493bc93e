"""TRL at its best here: one option at a time on top of the best so far, kept where it is faster and as right."""

from __future__ import annotations

import math
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
"""How far, as a share, the first loss on the same rows may lie from the right one; bfloat16 rounds by less."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One set of options, tried for a few steps."""

    name: str
    settings: Settings
    seconds: float | None
    """Of its last step; None where it gave none."""
    loss: float | None
    """Its first."""
    remark: str
    """Why it was not taken, or that it was."""


def search(
    run: Callable[[Settings], Measured], *, rows_per_step: int, loss: float, free_bytes: int
) -> tuple[Settings, list[Trial]]:
    """The fastest correct settings and all that were tried. `loss` is the right first loss: ours in float32.

    A larger batch is left out where the memory it would need, in proportion, is not there.
    """
    first = run(PLAIN)
    best, fastest = PLAIN, first.timed[-1] if right(first, loss) else math.inf
    trials = [trial("no checkpointing, batch of 8", PLAIN, first, verdict(first, loss) or "the start")]
    for name, change in OPTIONS.items():
        batch = int(change.get("batch") or 0)
        if batch > rows_per_step:
            continue
        if (needed := batch * first.peak_bytes / 8) > free_bytes:
            trials.append(Trial(name, change, None, None, f"left out: needs about {needed / 1e9:.0f} GB"))
            continue
        tried = run({**best, **change})
        taken = right(tried, loss) and tried.timed[-1] < fastest
        if taken:
            best, fastest = {**best, **change}, tried.timed[-1]
        trials.append(trial(name, change, tried, verdict(tried, loss) or ("taken" if taken else "no faster")))
    return best, trials


def trial(name: str, settings: Settings, found: Measured, remark: str) -> Trial:
    """What an arm gave, as a trial."""
    if found.failed:
        return Trial(name, settings, None, None, remark)
    return Trial(name, settings, found.timed[-1], found.losses[0], remark)


def right(found: Measured, loss: float) -> bool:
    """Whether an arm finished, and began with the right loss."""
    return not found.failed and abs(found.losses[0] - loss) <= TOLERANCE * loss


def verdict(found: Measured, loss: float) -> str:
    """Why an arm cannot be taken; empty where it can."""
    if found.failed:
        return f"failed: {found.failed}"
    return "" if right(found, loss) else f"wrong: its first loss is {found.losses[0]:.4f}, not {loss:.4f}"
