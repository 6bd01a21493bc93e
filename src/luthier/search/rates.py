"""`luthier search --lr-only`: some steps at each of a few learning rates, told as a table with a recommendation.

A short run says which rates learn at all and which break; a long one with a falling schedule is best at the same rate
or a little below. So of all rates that the validation rows cannot tell from the best, the lowest is recommended.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luthier.errors import DivergedError, RecipeError
from luthier.recipe import Recipe
from luthier.run.prepare import Prepared, prepare
from luthier.run.show import Show
from luthier.run.steps import fitted, hooks
from luthier.search.shared import Shared
from luthier.stats import paired
from luthier.train.loader import plan
from luthier.train.log import EvaluationRecord
from luthier.train.look import Losses
from luthier.train.optim import peak_rate
from luthier.train.options import Hooks
from luthier.types import Json
from luthier.words import counted

FACTORS: Final = tuple(10 ** (half / 2) for half in range(-3, 4))
"""Of the recipe's own rate: half orders of magnitude, from a thirtieth to thirty times."""
WARMUP: Final = 0.1
RESAMPLES: Final = 500
BAR: Final = 24
"""Characters of the longest bar; the whole table fits into 80."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One rate."""

    rate: float
    loss: float | None
    """Nats a token on validation rows after the steps; None where it diverged."""
    behind: float | None
    """Its loss minus that of the best rate."""
    spread: float | None
    """Standard error of that difference, over rows."""


@dataclass(frozen=True, slots=True)
class Rates:
    """What a look at some rates found."""

    steps: int
    rows: int
    """Validation rows."""
    before: float
    """The loss without any step."""
    own: float
    """The recipe's own rate."""
    tried: tuple[Tried, ...]
    """The lowest rate first."""
    recommended: float | None
    """None where no rate learned."""
    sentence: str


def rates(recipe: Recipe, *, steps: int, show: Show) -> Rates:
    """Takes so many steps at each rate, from one beginning. Raises RecipeError where there is nothing to judge by."""
    if steps < 2:
        raise RecipeError(f"--steps {steps}: a rate shows after some steps; give 2 or more, 50 as a rule")
    prepared = prepare(recipe, show)
    if not prepared.watched:
        raise RecipeError("data.validation: rates are judged on validation rows, and there are none")
    own = recipe.train.lr or peak_rate(recipe.train, recipe.method.usual_lr(prepared.model.network))
    shared = Shared(prepared)
    before, found = math.nan, dict[float, Losses | None]()
    for rate in (float(f"{own * factor:.3g}") for factor in FACTORS):
        first, last = _stepped(shared, rate, steps, show)
        before, found[rate] = first.mean, last
        said = "diverged" if last is None else f"loss {last.mean:.4f}"
        show.say(f"rate {rate:.3g}: {said} after {steps} steps, {first.mean:.4f} before them")
    return judged(found, before=before, own=own, steps=steps)


def judged(found: dict[float, Losses | None], *, before: float, own: float, steps: int) -> Rates:
    """The recommendation from each rate's losses, row by row; None stands for a rate that diverged."""
    kept = {rate: one for rate, one in found.items() if one is not None and math.isfinite(one.mean)}
    best = min(kept, key=lambda rate: kept[rate].mean, default=None)
    tried: list[Tried] = []
    for rate in sorted(found):
        one = kept.get(rate)
        if one is None or best is None:
            tried.append(Tried(rate, None, None, None))
            continue
        apart = paired(kept[best].sample, one.sample, resamples=RESAMPLES, rng=np.random.default_rng(0))
        tried.append(Tried(rate, one.mean, apart.value, apart.spread))
    near = [one for one in tried if one.behind is not None and one.behind <= (one.spread or 0.0)]
    learned = best is not None and kept[best].mean < before
    recommended = near[0].rate if learned else None
    rows = max((one.rows for one in kept.values()), default=0)
    sentence = _sentence(recommended, best, tried, steps=steps, rows=rows, own=own)
    return Rates(steps, rows, before, own, tuple(tried), recommended, sentence)


def told(found: Rates) -> RenderableType:
    """For a terminal: a table with a bar for how far each rate came."""
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0), header_style="dim")
    for name in ("rate", "loss", "behind the best", ""):
        table.add_column(name, justify="left" if not name else "right", no_wrap=True)
    gains = [found.before - one.loss for one in found.tried if one.loss is not None]
    most = max([*gains, 1e-9])
    for one in found.tried:
        mark = " recommended" if one.rate == found.recommended else ""
        style = "bold" if mark else ""
        if one.loss is None or one.behind is None:
            table.add_row(f"{one.rate:.3g}", "diverged", "", "", style="dim")
            continue
        bar = "█" * max(0, round(BAR * (found.before - one.loss) / most))
        behind = f"{one.behind:.3f} ± {one.spread:.3f}" if one.behind else "best"
        table.add_row(f"{one.rate:.3g}", f"{one.loss:.4f}", behind, bar + mark, style=style)
    note = (
        f"loss after {counted(found.steps, 'step')}, {found.before:.4f} before them, on "
        f"{counted(found.rows, 'validation row')}; ± is one standard error"
    )
    return Group(Text(found.sentence, style="bold"), Text(), table, Text(note, style="dim"))


def as_json(found: Rates) -> dict[str, Json]:
    """For machines."""
    return {
        "recommended": found.recommended,
        "sentence": found.sentence,
        "own": found.own,
        "steps": found.steps,
        "rows": found.rows,
        "before": found.before,
        "tried": [
            {"rate": one.rate, "loss": one.loss, "behind": one.behind, "spread": one.spread} for one in found.tried
        ],
    }


def _sentence(
    recommended: float | None, best: float | None, tried: list[Tried], *, steps: int, rows: int, own: float
) -> str:
    if recommended is None or best is None:
        return f"No rate learned anything in {steps} steps; give more with --steps, or look at the rows."
    why = (
        f"it is the best after {counted(steps, 'step')}"
        if recommended == best
        else f"{best:.3g} did best after {counted(steps, 'step')}, and {counted(rows, 'row')} cannot tell the two apart"
    )
    edge = ""
    if best in (tried[0].rate, tried[-1].rate):
        edge = f" The best is at the end of what was tried; look further with train.lr={best:.3g}."
    beside = "the recipe's own" if math.isclose(recommended, own, rel_tol=0.02) else f"the recipe has {own:.3g}"
    return f"Take train.lr={recommended:.3g} ({beside}): {why}.{edge}"


def _stepped(shared: Shared, rate: float, steps: int, show: Show) -> tuple[Losses, Losses | None]:
    """The losses before the first step and after the last; None where the rate broke the model."""
    recipe = shared.whole.recipe
    each = plan(shared.whole.sequences, recipe.train, mixture=shared.whole.mixture).steps_per_epoch
    train = replace(
        recipe.train,
        lr=rate,
        epochs=steps / each,
        schedule="constant",
        warmup=WARMUP,
        evaluations_per_epoch=1,
        evaluation_share=1.0,
        patience=None,
        save_every=None,
        keep_checkpoints=1,
    )
    seen: list[Losses] = []
    with shared.trial(replace(recipe, train=train)) as mine, tempfile.TemporaryDirectory() as folder, show.stages():
        try:
            fitted(mine, Path(folder), _hooks(mine, rate, seen, show), resumed=False)
        except DivergedError:
            return seen[0], None
    return seen[0], seen[-1]


def _hooks(mine: Prepared, rate: float, seen: list[Losses], show: Show) -> Hooks:
    """Losses alone are looked at, which takes a fraction of asking."""

    def evaluated(record: EvaluationRecord) -> None:
        if record.validation is not None:
            seen.append(record.validation)

    made = hooks(
        mine,
        stepped=lambda record: show.stage(f"rate {rate:.3g}", record.step, record.steps, unit="step"),
        evaluated=evaluated,
        say=lambda sentence: None,
    )
    return replace(made, evaluate=made.measure, metric="loss", higher_is_better=False)
