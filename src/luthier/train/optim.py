"""The optimizer and the learning rate: AdamW, and a schedule that is a pure function of the step.

A schedule keeps no state, so that nothing about it can be lost or restored wrongly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from luthier.errors import ModelError
from luthier.methods.method import Rate
from luthier.train.options import TrainOptions

if TYPE_CHECKING:
    from torch.nn import Parameter


def trainable(network: nn.Module) -> dict[str, Parameter]:
    """The parameters that learn, by name, in the network's own order.

    Raises ModelError when there is none, or when one is not in float32 (or wider): moments in half precision lose
    small updates.
    """
    named = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not named:
        raise ModelError("no parameter of the network is trainable; attach a method first")
    for name, parameter in named.items():
        if parameter.dtype not in (torch.float32, torch.float64):
            raise ModelError(f"{name} is trained in {parameter.dtype}; keep trained weights in float32")
    return named


def adamw(
    network: nn.Module, options: TrainOptions, rates: Mapping[str, Rate] = MappingProxyType({})
) -> torch.optim.AdamW:
    """AdamW over what is trainable; decays matrices (two dimensions or more) that are not an embedding's.

    A head tied to the embedding is the embedding, and is not decayed. rates: of parameters that do not learn as the
    rest do. Source: Loshchilov and Hutter 2019, arXiv:1711.05101.
    """
    embeddings = {id(m.weight) for m in network.modules() if isinstance(m, nn.Embedding)}
    groups: dict[tuple[bool, Rate], list[Parameter]] = {}
    for name, parameter in trainable(network).items():
        decayed = parameter.ndim >= 2 and id(parameter) not in embeddings
        groups.setdefault((decayed, rates.get(name, Rate())), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": params, "weight_decay": options.weight_decay if decayed else 0.0, "rate": rate}
            for (decayed, rate), params in groups.items()
        ],
        lr=0.0,
        betas=options.betas,
        eps=options.eps,
        fused=True,
    )


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


def learning_rate(step: int, total: int, peak: float, options: TrainOptions) -> float:
    """The learning rate of a step counted from 0, of `total`: rises over the warm-up, then follows the schedule.

    The first step already learns, and the last one still does.
    """
    warmup = math.ceil(options.warmup * total)
    if step < warmup:
        return peak * (step + 1) / warmup
    if options.schedule == "constant":
        return peak
    done = (step - warmup) / max(1, total - warmup)
    falls = 0.5 * (1 + math.cos(math.pi * done)) if options.schedule == "cosine" else 1 - done
    return peak * (options.min_lr + (1 - options.min_lr) * falls)


def optimizer_tensors(optimizer: torch.optim.Optimizer, named: dict[str, Parameter]) -> dict[str, Tensor]:
    """The optimizer's state as tensors named `parameter/moment`, on the CPU; what never stepped has none."""
    return {
        f"{name}/{key}": value.detach().cpu().contiguous()
        for name, parameter in named.items()
        for key, value in optimizer.state.get(parameter, {}).items()
    }


def restore_optimizer(
    optimizer: torch.optim.Optimizer, named: dict[str, Parameter], tensors: dict[str, Tensor]
) -> None:
    """Puts back what `optimizer_tensors` gave. Raises ModelError for a name or shape the network does not have."""
    state: dict[str, dict[str, Tensor]] = {}
    for path, value in tensors.items():
        name, key = path.rsplit("/", 1)
        if name not in named or (value.ndim and value.shape != named[name].shape):
            raise ModelError(f"the saved optimizer state of {name} {tuple(value.shape)} fits no trained parameter")
        state.setdefault(name, {})[key] = value.to(named[name].device, copy=True)
    for name, moments in state.items():
        optimizer.state[named[name]] = moments
