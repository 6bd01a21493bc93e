"""How a run of the loop ended."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TrainResult:
    """How a run ended; its weights are behind the links `last` and `best` of the run folder."""

    steps: int
    """Steps done."""
    planned: int
    """Steps the options asked for."""
    best_step: int | None
    best_value: float | None
    """The deciding metric at the best step; None where nothing was evaluated."""
    averaged: tuple[int, ...]
    """Steps of the checkpoints that the best is the mean of; empty where it is one of them."""
    stopped_early: bool
    interrupted: bool
    """Whether someone asked it to stop; resuming goes on as if nobody had."""
    refused: int
    """Steps left out because they were not finite."""
    distinct: int
    logical: int
    seconds: float
    """Time spent in steps, over all resumptions."""
    looks: int
    """Evaluations made while training."""
    passed: int
    """Planned ones that were not, for want of time."""
    looking: float
    """Time spent in them."""
