"""One optimizer step over any number of micro-batches, the same however they are cut."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from luthier.batch import Batch
from luthier.errors import RecipeError
from luthier.model.disagreement import draws
from luthier.model.forward import forward
from luthier.model.load import Model
from luthier.model.noise import noised
from luthier.objectives.objective import Objective
from luthier.train.optim import set_rates
from luthier.train.pull import Pull


@dataclass(frozen=True, slots=True)
class Update:
    """What came of one step."""

    loss: float
    """Mean per unit."""
    grad_norm: float
    """Global norm before clipping."""
    refused: bool
    """Whether loss or gradient was not finite, so that nothing was changed."""
    logged: dict[str, float]
    """What the objective logged, as means per unit."""


def update(
    model: Model,
    objective: Objective,
    batches: Sequence[Batch],
    optimizer: torch.optim.Optimizer,
    *,
    lr: float,
    clip: float = math.inf,
    done: float = 0.0,
    noise: float = 0.0,
    pull: Pull | None = None,
) -> Update:
    """Takes one step on the mean over all micro-batches together, or refuses it whole.

    done: share of the run's steps taken, by which parameters begin to learn. noise: on the embeddings, NEFTune's
    strength. pull: of the weights to their start; logged, and no part of the loss that is returned.
    A step whose loss or gradient is not finite changes neither a parameter nor the optimizer's state.
    """
    total = sum(batch.count(objective.unit) for batch in batches) or 1.0
    sums: dict[str, Tensor] = {}
    for batch in (batch.to(model.device) for batch in batches if len(batch.target)):
        with noised(model, batch, noise):
            scores = forward(model, batch, needs=objective.needs)
        loss, logged = objective(scores, batch)
        (loss / total).backward()
        _add(sums, {"loss": loss.detach(), **{f"logged {name}": value for name, value in logged.items()}})
    means = {name: float(value) / total for name, value in sums.items()}
    set_rates(optimizer, lr, done=done)
    pulled = {} if pull is None else {"l2_to_start": pull.add()}
    norm = _step(optimizer, clip, finite=math.isfinite(means.get("loss", 0.0)))
    optimizer.zero_grad()
    own = {name.removeprefix("logged "): value for name, value in means.items() if name != "loss"}
    return Update(means.get("loss", 0.0), norm, not math.isfinite(means.get("loss", 0.0) + norm), own | pulled)


def needs_dropout(model: Model, objective: Objective) -> None:
    """Raises RecipeError where the objective compares two passes of a model in which nothing is dropped out."""
    if "twin" in objective.needs and not draws(model.network):
        raise RecipeError(
            "objective.r_drop compares two passes with their own dropout, and nothing drops out here; set "
            "method.dropout=0.1 with lora, or model.dropout=0.1 where the model has places for it, or leave r_drop out"
        )


def _step(optimizer: torch.optim.Optimizer, clip: float, *, finite: bool) -> float:
    """Clips and steps, unless the loss or the norm is not finite; returns the norm before clipping."""
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = get_total_norm([p.grad for p in parameters])
    if finite and bool(norm.isfinite()):
        if float(norm) > clip:
            clip_grads_with_norm_(parameters, clip, norm)
        optimizer.step()
    return float(norm)


def _add(sums: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        sums[name] = sums[name] + value if name in sums else value.double()
