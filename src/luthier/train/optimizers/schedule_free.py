"""Schedule-free AdamW: a constant learning rate, and in place of its fall an average, which is judged and saved.

y   the weights that gradients are taken at, and that stand in the network while it trains
z   the weights that are stepped
x   their average, weighted by the squared rate: y = (1 - beta) z + beta x, so it is computed from the two
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from luthier.errors import ModelError
from luthier.train.optimizers.family import Family, Group, numbers_of
from luthier.train.optimizers.packaged import Packaged
from luthier.train.options import TrainOptions


class ScheduleFree(Packaged):
    """The package's optimizer, whose groups stand still while nothing in them learns."""

    counted = ("k", "lr_max", "weight_sum")

    def _stepped(self, part: Optimizer) -> None:
        """Steps the groups that have a gradient: one that begins late counts its own steps, and averages only them."""
        learning = [group for group in self.param_groups if any(p.grad is not None for p in group["params"])]
        if learning:
            part.param_groups = learning
            part.step()

    def averaged(self, parameter: Parameter) -> Tensor:
        """x of one parameter; the parameter itself before its first step."""
        beta = next(g["betas"][0] for g in self.param_groups if any(p is parameter for p in g["params"]))
        stepped = self.state.get(parameter, {}).get("z")
        if stepped is None:
            return parameter.detach().clone()
        return parameter.detach().lerp(stepped, 1 - 1 / beta)


def make(groups: Sequence[Group], options: TrainOptions) -> Optimizer:
    """Meta's package. Source: Defazio et al. 2024, arXiv:2405.15682, algorithm 1.

    Raises ModelError where the package is not there, or beta is 0, which leaves nothing to interpolate.
    """
    if importlib.util.find_spec("schedulefree") is None:
        raise ModelError(
            "train.optimizer: schedule-free needs a package that is not there; pip install 'luthier[schedule-free]'"
        )
    if not options.betas[0]:
        raise ModelError("train.betas: the first is what schedule-free interpolates by; make it above 0, such as 0.9")
    settings: list[dict[str, Any]] = [group.settings() for group in groups]
    kind = importlib.import_module("schedulefree").AdamWScheduleFree
    inner: Optimizer = kind(settings, lr=0.0, betas=options.betas, eps=options.eps)
    inner.train()  # type: ignore[attr-defined]  # the package has no types; each of its groups now steps y
    return ScheduleFree(inner)


def state_bytes(group: Group) -> int:
    """z and the second moment in float32."""
    return 8 * numbers_of(group.parameters)


SCHEDULE_FREE = Family(make, state_bytes, factor=2.0, schedule="constant")
"""The package's authors find 1 to 10 times the rate of a schedule to work; the lower end is the stable one."""
