"""What of a model's behaviour is probed, and how closely."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.errors import RecipeError


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """How a model is probed."""

    rows: int | None = 60
    """Rows that are perturbed: a fixed sample with the labels in proportion; None takes all."""
    base_rows: int | None = 20
    """Of these rows, those that the base model is asked, too; None asks all. It is not sure of any label, so each of
    its choices costs many times a tuned model's."""
    only: tuple[str, ...] = ()
    """Perturbations or families to ask, or `module:function` of your own; empty asks all of Luthier's."""
    without: tuple[str, ...] = ()
    """Perturbations or families to leave out."""
    slices: tuple[str, ...] = ()
    """Columns whose values are compared, beside length, class and language."""
    drop: float = 0.1
    """By how much the score of a text may fall before it counts as a failure, as a share of the metric's best value."""
    seed: int = 0
    """Of the sample, of every change, and of the resamples."""

    def __post_init__(self) -> None:
        bounds = [
            ("rows", self.rows is None or self.rows >= 1, "at least 1, or none"),
            ("base_rows", self.base_rows is None or self.base_rows >= 1, "at least 1, or none"),
            ("drop", 0 <= self.drop < 1, "a share in [0, 1)"),
            ("seed", self.seed >= 0, "0 or more"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))
