"""The optimizer of a run, and the learning rate: a schedule that is a pure function of the step.

A schedule keeps no state, so that nothing about it can be lost or restored wrongly. What an optimizer keeps is saved
by the parameter's name: tensors, and numbers beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import Parameter

from luthier.errors import ModelError
from luthier.methods.method import Rate
from luthier.train.optimizers import Counting, Laying, groups, optimizers, trainable
from luthier.train.options import TrainOptions

Numbers: TypeAlias = dict[str, dict[str, int | float]]
"""What an optimizer counts, by `parameter` and, for a whole group, by `group of parameter`, its first."""

__all__ = [
    "Numbers",
    "learning_rate",
    "optimizer_numbers",
    "optimizer_of",
    "optimizer_tensors",
    "peak_rate",
    "restore_optimizer",
    "set_rates",
    "trainable",
]


def optimizer_of(
    network: nn.Module, options: TrainOptions, rates: Mapping[str, Rate] = MappingProxyType({})
) -> torch.optim.Optimizer:
    """The optimizer that the options name, over what is trainable; rates: of parameters that learn unlike the rest.

    Raises ModelError where nothing is trainable, or the optimizer cannot run here.
    """
    return optimizers[options.optimizer].make(groups(network, options, rates), options)


def set_rates(optimizer: torch.optim.Optimizer, lr: float, *, done: float) -> None:
    """Gives each group its share of the learning rate; one whose time has not come loses its gradients.

    done: share of the run's steps taken.
    """
    for group in optimizer.param_groups:
        rate: Rate = group.get("rate", Rate())
        group["lr"] = lr * rate.factor
        if done < rate.begins:
            for parameter in group["params"]:
                parameter.grad = None


def peak_rate(options: TrainOptions, usual: float) -> float:
    """The highest learning rate of a run; usual: the method's own with adamw, taken where the options name none."""
    return usual * optimizers[options.optimizer].factor if options.lr is None else options.lr


def learning_rate(step: int, total: int, peak: float, options: TrainOptions) -> float:
    """The learning rate of a step counted from 0, of `total`: rises over the warm-up, then follows the schedule.

    The first step already learns, and the last one still does.
    """
    warmup = math.ceil(options.warmup * total)
    if step < warmup:
        return peak * (step + 1) / warmup
    schedule = options.schedule or optimizers[options.optimizer].schedule
    if schedule == "constant":
        return peak
    done = (step - warmup) / max(1, total - warmup)
    falls = 0.5 * (1 + math.cos(math.pi * done)) if schedule == "cosine" else 1 - done
    return peak * (options.min_lr + (1 - options.min_lr) * falls)


def optimizer_tensors(optimizer: torch.optim.Optimizer, named: Mapping[str, Parameter]) -> dict[str, Tensor]:
    """The optimizer's state as tensors named `parameter/moment`, on the CPU; what never stepped has none."""
    return {
        f"{name}/{key}": value.detach().cpu().contiguous()
        for name, parameter in named.items()
        for key, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    }


def optimizer_numbers(optimizer: torch.optim.Optimizer, named: Mapping[str, Parameter]) -> Numbers:
    """What of the optimizer's state is no tensor; JSON holds it to the bit."""
    own = {
        name: {key: value for key, value in optimizer.state.get(parameter, {}).items() if not isinstance(value, Tensor)}
        for name, parameter in named.items()
    }
    counted = optimizer.counted if isinstance(optimizer, Counting) else ()
    shared = {name: {key: group[key] for key in counted} for name, group in _by_name(optimizer, named).items()}
    return {name: numbers for name, numbers in (*own.items(), *shared.items()) if numbers}


def restore_optimizer(
    optimizer: torch.optim.Optimizer,
    named: Mapping[str, Parameter],
    tensors: Mapping[str, Tensor],
    numbers: Mapping[str, Mapping[str, int | float]] = MappingProxyType({}),
) -> None:
    """Puts back what `optimizer_tensors` and `optimizer_numbers` gave, before the first step.

    Raises ModelError for a name the network does not have, or more than its parameter can have.
    """
    state: dict[str, dict[str, Tensor | int | float]] = {}
    for path, value in tensors.items():
        name, key = path.rsplit("/", 1)
        if name not in named or (value.ndim == named[name].ndim and not _fits(value, named[name])):
            raise ModelError(f"the saved optimizer state of {name} {tuple(value.shape)} fits no trained parameter")
        state.setdefault(name, {})[key] = value
    shared = _by_name(optimizer, named)
    for name, counts in numbers.items():
        if name not in named and name not in shared:
            raise ModelError(f"the saved optimizer counts {sorted(counts)} for {name}, which is not trained now")
        shared[name].update(counts) if name in shared else state.setdefault(name, {}).update(counts)
    for name, kept in state.items():
        _put(optimizer, named[name], kept)


def _put(optimizer: torch.optim.Optimizer, parameter: Parameter, kept: Mapping[str, Tensor | int | float]) -> None:
    """One parameter's state: copied into the optimizer's own layout where it has one."""
    fresh: dict[str, Tensor | int | float] = {}
    if isinstance(optimizer, Laying):
        fresh.update(optimizer.lay_out(parameter))
    for key, value in kept.items():
        place = fresh.get(key)
        if isinstance(place, Tensor) and isinstance(value, Tensor):
            place.copy_(value)
        else:
            fresh[key] = value.to(parameter.device, copy=True) if isinstance(value, Tensor) else value
    optimizer.state[parameter] = fresh


def _fits(value: Tensor, parameter: Parameter) -> bool:
    """Whether each dimension is the parameter's own, or a mean over it."""
    return all(size in (1, own) for size, own in zip(value.shape, parameter.shape, strict=True))


def _by_name(optimizer: torch.optim.Optimizer, named: Mapping[str, Parameter]) -> dict[str, dict[str, int | float]]:
    """Each group by the name of its first parameter."""
    names = {id(parameter): name for name, parameter in named.items()}
    return {f"group of {names[id(group['params'][0])]}": group for group in optimizer.param_groups}
