"""The mean of a run's last checkpoints, in equal parts, kept as its best where the validation rows find it better.

Of an adapter its matrices are averaged, not their product. Source: Vaswani et al. 2017, arXiv:1706.03762, section 6.1;
Izmailov et al. 2018, arXiv:1803.05407, of why it helps.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.nn import Parameter

from luthier.manifest import unproven
from luthier.train.checkpoint import Checkpoints
from luthier.train.options import Hooks
from luthier.train.state import TrainState

RECORD = "mean.json"
"""What was averaged, in the mean's checkpoint."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean that was judged."""

    steps: tuple[int, ...]
    """Of the checkpoints that it is of."""
    value: float
    """The deciding metric."""
    better: bool
    """Than the best checkpoint; it is then what `best` names."""


def newest(step: int, count: int, evaluated: Callable[[int], bool]) -> tuple[int, ...]:
    """The last planned evaluations up to a step, oldest first; what was saved on someone's wish is none of them."""
    planned = (one for one in range(step, 0, -1) if evaluated(one))
    return tuple(sorted(one for one, _ in zip(planned, range(count), strict=False)))


def judge_mean(
    checkpoints: Checkpoints,
    steps: Sequence[int],
    named: Mapping[str, Parameter],
    hooks: Hooks,
    *,
    rows: int,
    state: TrainState,
    min_gain: float,
) -> Mean | None:
    """Puts the mean into the network, judges it on the run's validation rows, and keeps it where it is better.

    None, and said why, where there is nothing to judge by or fewer than two checkpoints that their manifests prove.
    """
    proven = [step for step in steps if checkpoints.at(step).is_dir() and unproven(checkpoints.at(step)) is None]
    if hooks.evaluate is None or len(proven) < 2:
        why = "no validation rows to judge it by" if hooks.evaluate is None else f"only {len(proven)} to average"
        hooks.say(f"checkpoints are not averaged: {why}")
        return None
    fill([checkpoints.at(step) for step in proven], named, hooks.restore_weights)
    value = hooks.evaluate(rows).metrics[hooks.metric]
    after = state.judged(value, higher_is_better=hooks.higher_is_better, min_gain=min_gain, patience=None)
    mean = Mean(tuple(proven), value, after.stale == 0)
    if mean.better:
        checkpoints.save_mean(proven[-1], lambda folder: _write(folder, mean, hooks))
    hooks.say(_told(mean, hooks.metric, state))
    return mean


@torch.no_grad()
def fill(checkpoints: Sequence[Path], named: Mapping[str, Parameter], restore: Callable[[Path], None]) -> None:
    """Leaves the mean of the checkpoints in the network; takes as much memory again as the weights that learn."""
    mean = {name: torch.zeros_like(parameter) for name, parameter in named.items()}
    for count, checkpoint in enumerate(checkpoints, start=1):
        restore(checkpoint)
        for name, parameter in named.items():
            mean[name].lerp_(parameter, 1 / count)
    for name, parameter in named.items():
        parameter.copy_(mean[name])


def _write(folder: Path, mean: Mean, hooks: Hooks) -> None:
    hooks.save_weights(folder)
    record = {"steps": list(mean.steps), "metric": hooks.metric, "value": mean.value}
    (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")


def _told(mean: Mean, metric: str, state: TrainState) -> str:
    of = f"the mean of the checkpoints of steps {', '.join(f'{step:,}' for step in mean.steps)}"
    figures = f"{metric} {mean.value:.4g} on the validation rows"
    beside = "" if state.best_value is None else f", {state.best_value:.4g} at step {state.best_step:,}"
    return f"{of}: {figures}{beside}; " + ("it is the best" if mean.better else "it is no better, and left out")
