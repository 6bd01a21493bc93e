"""What is measured of a model's forgetting, and how much of it a run may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

from luthier.errors import RecipeError


def _several(given: object) -> object:
    """One name is a list of one."""
    return (given,) if isinstance(given, str) else given


@dataclass(frozen=True, slots=True)
class ForgettingOptions:
    """What the model could do before, and can do after."""

    measure: bool = True
    """Whether general questions, prose, code, dialogue and the files named below are measured before and after."""
    files: Annotated[tuple[str, ...], BeforeValidator(_several)] = ()
    """Files of rows that the model should still be good at, or finished run folders, whose test rows are meant: the
    previous task's, for instance. `forgetting: [file]` says the same as `forgetting: {files: [file]}`."""
    input: str | None = None
    """Column that holds the input, in the named files."""
    output: str | None = None
    """Column that holds the wanted answer, in the named files."""
    instruction: str | None = None
    """Text put before the input of the named files; `{labels}` in it becomes their sorted labels, one a line."""
    rows: int | None = 500
    """Rows of a named file that are asked: the same ones before and after; None asks all."""
    max_drop: float | None = None
    """Largest loss allowed, as a share of the scale: 0.05 is five points of the general questions' accuracy, and of the
    deciding metric of each named file (one that has a best value: not loss or perplexity). A run whose loss is larger,
    and is seen (its 95 % interval excludes 0, and the test agrees though several are made), fails: all is written, and
    the exit code is 1. None allows any."""

    def __post_init__(self) -> None:
        bounds = [
            ("rows", self.rows is None or self.rows >= 1, "at least 1, or none"),
            ("max_drop", self.max_drop is None or 0 <= self.max_drop < 1, "a share in [0, 1), or none"),
            ("max_drop", self.max_drop is None or self.measure, "none where nothing is measured"),
        ]
        if broken := [
            f"{name} is {getattr(self, name)!r}; it must be {must}" for name, holds, must in bounds if not holds
        ]:
            raise RecipeError("; ".join(broken))
