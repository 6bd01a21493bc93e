"""`luthier search --memory`: real micro-batches of growing token budgets, measured forward and backward.

`train.token_budget` decides memory and speed and nothing else. What is not tried because it would not fit is judged by
how memory grew so far, since a CPU's process that asks for too much is killed without a word.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import torch
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luthier.recipe import Recipe
from luthier.report import figures
from luthier.run.prepare import prepare
from luthier.run.show import Show
from luthier.search.shared import Shared
from luthier.train.forecast import forecast, kept_bytes, probe, taste
from luthier.train.meter import peak_bytes
from luthier.types import Json

BUDGETS: Final = tuple(512 * 2**power for power in range(9))
"""512 to 131,072 distinct tokens."""
ROOM: Final = 0.85
"""Share of the memory that may be taken."""
AS_FAST: Final = 0.95
"""Of the fastest, from which on a smaller budget is preferred."""


@dataclass(frozen=True, slots=True)
class Budget:
    """One token budget."""

    tokens: int
    filled: int
    """Distinct tokens of the fullest micro-batch under it."""
    bytes: int
    """Peak memory, the optimizer's moments included; foreseen where it was not tried."""
    per_second: float | None
    """Distinct tokens; None where it was not tried."""
    fits: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """Which budgets fit."""

    available: int | None
    """Bytes; None where the system does not tell."""
    budgets: tuple[Budget, ...]
    own: int
    """The recipe's."""
    recommended: int | None
    """None where not even the smallest fits, and where one holds a whole step, so that there was nothing to compare."""
    sentence: str


def memory(recipe: Recipe, *, show: Show) -> Memory:
    """Measures until a budget would not fit, or holds a whole step."""
    prepared = prepare(recipe, show)
    shared, measured = Shared(prepared), list[Budget]()
    with shared.trial(recipe) as mine:
        device = mine.model.device
        available = _available(device)
        moments = kept_bytes(mine.model, recipe.train)
        for tokens in BUDGETS:
            batch = forecast(mine.sequences, replace(recipe.train, token_budget=tokens), mixture=mine.mixture).fullest
            if measured and batch.distinct == measured[-1].filled:
                break
            if available is not None and (needed := foreseen(measured, batch.distinct)) > ROOM * available:
                measured.append(Budget(tokens, batch.distinct, needed, None, fits=False))
                break
            try:
                took = taste(probe(mine.model, recipe.objective, batch), device)
            except torch.OutOfMemoryError:
                measured.append(Budget(tokens, batch.distinct, foreseen(measured, batch.distinct), None, fits=False))
                break
            measured.append(_measured(tokens, batch.distinct, took.peak_bytes + moments, took.seconds, available))
            show.say(
                f"token budget {tokens:,}: {figures.memory(measured[-1].bytes)}, {took.seconds:.2f} s a micro-batch"
            )
    return judged(measured, available=available, own=recipe.train.token_budget)


def foreseen(measured: list[Budget], filled: int) -> int:
    """Memory of a fuller micro-batch, along the line through the last two; 0 where fewer were measured."""
    if len(measured) < 2:
        return 0
    before, last = measured[-2:]
    slope = max(0.0, (last.bytes - before.bytes) / max(1, last.filled - before.filled))
    return round(last.bytes + slope * (filled - last.filled))


def judged(measured: list[Budget], *, available: int | None, own: int) -> Memory:
    """The recommendation: the smallest budget that is nearly as fast as the fastest that fits."""
    fitting = [one for one in measured if one.fits and one.per_second is not None]
    fastest = max((one.per_second or 0.0 for one in fitting), default=0.0)
    chosen = next((one for one in fitting if (one.per_second or 0.0) >= AS_FAST * fastest), None)
    if chosen is None:
        sentence = "Not even the smallest micro-batch fits; take a smaller model, or shorter rows (model.max_length)."
        return Memory(available, tuple(measured), own, None, sentence)
    if len(measured) == 1:
        sentence = (
            f"The rows are too few to tell: a whole step has {chosen.filled:,} tokens, which fit into the smallest "
            f"budget tried ({figures.memory(chosen.bytes)}). Leave train.token_budget as the recipe has it ({own:,})."
        )
        return Memory(available, tuple(measured), own, None, sentence)
    beside = "the recipe's own" if chosen.tokens == own else f"the recipe has {own:,}"
    sentence = (
        f"Take train.token_budget={chosen.tokens} ({beside}): {figures.memory(chosen.bytes)}, "
        f"{chosen.per_second:,.0f} tokens a second. It decides memory and speed, and no result."
    )
    return Memory(available, tuple(measured), own, chosen.tokens, sentence)


def told(found: Memory) -> RenderableType:
    """For a terminal."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in ("token budget", "fullest micro-batch", "memory", "tokens a second", ""):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for one in found.budgets:
        speed = figures.NOTHING if one.per_second is None else f"{one.per_second:,.0f}"
        note = "recommended" if one.tokens == found.recommended else "" if one.fits else "does not fit"
        style = "bold" if one.tokens == found.recommended else "" if one.fits else "dim"
        table.add_row(f"{one.tokens:,}", f"{one.filled:,}", figures.memory(one.bytes), speed, note, style=style)
    room = "" if found.available is None else f"{figures.memory(found.available)} are free; {ROOM:.0%} may be taken"
    return Group(Text(found.sentence, style="bold"), Text(), table, Text(room, style="dim"))


def as_json(found: Memory) -> dict[str, Json]:
    """For machines."""
    return {
        "recommended": found.recommended,
        "sentence": found.sentence,
        "own": found.own,
        "available_bytes": found.available,
        "budgets": [
            {
                "tokens": one.tokens,
                "filled": one.filled,
                "bytes": one.bytes,
                "tokens_per_second": one.per_second,
                "fits": one.fits,
            }
            for one in found.budgets
        ],
    }


def _measured(tokens: int, filled: int, bytes: int, seconds: float, available: int | None) -> Budget:
    fits = available is None or bytes <= ROOM * available
    return Budget(tokens, filled, bytes, filled / max(seconds, 1e-9), fits)


def _available(device: torch.device) -> int | None:
    """What this process may hold: the GPU's memory, or what the system has free with what it holds already."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    listed = Path("/proc/meminfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)
    return None if free is None else free + peak_bytes(device)
