"""AdamW with moments of eight bits, or with moments that move to the CPU's memory where the GPU's is short.

Both are bitsandbytes' own. Eight bits run on a CPU, too; paging needs an NVIDIA GPU's managed memory.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from luthier.errors import ModelError
from luthier.model.few_bits import require
from luthier.train.optimizers import adamw
from luthier.train.optimizers.family import Family, Group
from luthier.train.optimizers.packaged import Packaged
from luthier.train.options import TrainOptions

BLOCK = 256
"""Entries that share a scale."""
SMALLEST = 4096
"""Parameters of fewer entries keep float32 moments."""


class LowMemory(Packaged):
    """bitsandbytes' optimizer, able to lay out the state of a parameter before its first step."""

    def lay_out(self, parameter: Parameter) -> dict[str, Tensor | int]:
        """Its own empty state, in managed memory where that is paged."""
        for i, group in enumerate(self.param_groups):
            for j, one in enumerate(group["params"]):
                if one is parameter:
                    self._parts[0].init_state(group, one, i, j)  # type: ignore[attr-defined]  # the package has no types
        state: dict[str, Tensor | int] = self.state[parameter]
        return state


def make_8bit(groups: Sequence[Group], options: TrainOptions) -> Optimizer:
    """Moments quantised in blocks. Source: Dettmers et al. 2022, arXiv:2110.02861.

    Raises ModelError where bitsandbytes is not there.
    """
    return _made("adamw-8bit", groups, options, optim_bits=8)


def make_paged(groups: Sequence[Group], options: TrainOptions) -> Optimizer:
    """Float32 moments in managed memory. Source: Dettmers et al. 2023, arXiv:2305.14314, section 3.

    Raises ModelError where bitsandbytes is not there, or the parameters are on no NVIDIA GPU.
    """
    device = groups[0].parameters[0].device
    if device.type != "cuda" or torch.version.hip is not None:
        raise ModelError(
            f"train.optimizer: adamw-paged moves moments between an NVIDIA GPU and the CPU, and the model is on "
            f"{device.type}; use adamw, or adamw-8bit or adafactor where memory is short"
        )
    return _made("adamw-paged", groups, options, is_paged=True)


def _made(name: str, groups: Sequence[Group], options: TrainOptions, **kind: int) -> Optimizer:
    require(f"train.optimizer: {name}", "adafactor where memory is short")
    settings: list[dict[str, Any]] = [group.settings() for group in groups]
    optimizer = importlib.import_module("bitsandbytes").optim.AdamW
    return LowMemory(optimizer(settings, lr=0.0, betas=options.betas, eps=options.eps, **kind))


def state_bytes_8bit(group: Group) -> int:
    """Two bytes an entry and two scales a block; float32 moments of what is small."""
    sizes = [parameter.numel() for parameter in group.parameters]
    return sum(8 * size if size < SMALLEST else 2 * size + 8 * -(-size // BLOCK) for size in sizes)


ADAMW_8BIT = Family(make_8bit, state_bytes_8bit)
ADAMW_PAGED = Family(make_paged, adamw.state_bytes)
"""Where the moments lie does not change how many there are."""
