"""How a search is carried out; what it tries is the space (`space.py`). Both stand in a recipe's `search:` section."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from luthier.errors import RecipeError

USUAL_TRIALS = 20
"""Where no budget is named."""
FEWEST_SEEDS = 3
"""Of a confirmation: two runs of one setting differ by chance, and one pair cannot tell by how much."""


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a search is carried out. Every other key of the section is a setting to try."""

    trials: int | None = None
    """Trials at most, over all processes; 20 where neither trials, minutes nor tokens are named."""
    minutes: float | None = None
    """No trial begins after so many minutes were spent in steps and evaluations, all processes together."""
    tokens: float | None = None
    """No trial begins after so many tokens were computed in steps, all processes together."""
    objectives: tuple[Literal["quality", "time", "size"], ...] = ("quality",)
    """What a trial is judged by: `quality` is the task's own metric on the validation rows, `time` the seconds of its
    steps, `size` the parameters that learn. With several there is no single winner but a list that nothing beats in
    all, and no trial is stopped early."""
    pruner: Literal["asha", "hyperband", "none"] = "asha"
    """How trials that do badly are stopped: at their 1st, 3rd, 9th evaluation unless they are among the best third
    (asha), the same beginning later for some (hyperband), or never."""
    looks: int = 6
    """Evaluations of a trial of the recipe's own length, evenly spread; more epochs have more."""
    seeds: int = FEWEST_SEEDS
    """Seeds with which the winner and the recipe as it stands are trained anew and judged on the test rows: 3 or more,
    or 0, which leaves the confirmation out."""
    seed: int = 0
    """What the settings to try are drawn from."""
    storage: str | None = None
    """URL of a database (sqlite:///..., postgresql://...) that several machines share; None keeps a journal in the
    search's folder, which the processes of one machine share. It is written down with the recipe: give PostgreSQL's
    password by PGPASSWORD or ~/.pgpass."""

    def __post_init__(self) -> None:
        bounds = [
            ("trials", self.trials is None or self.trials >= 1, "at least 1, or none"),
            ("minutes", self.minutes is None or self.minutes > 0, "above 0, or none"),
            ("tokens", self.tokens is None or self.tokens > 0, "above 0, or none"),
            ("objectives", "quality" in self.objectives, "quality, or quality with time or size"),
            ("objectives", len(set(self.objectives)) == len(self.objectives), "each named once"),
            ("looks", self.looks >= 1, "at least 1"),
            ("seeds", self.seeds == 0 or self.seeds >= FEWEST_SEEDS, f"at least {FEWEST_SEEDS}, or 0"),
            ("seed", self.seed >= 0, "0 or more"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))

    @property
    def most_trials(self) -> int | None:
        """Trials at most; None where another budget ends the search."""
        unbounded = self.minutes is None and self.tokens is None
        return USUAL_TRIALS if self.trials is None and unbounded else self.trials
