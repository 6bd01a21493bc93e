"""AdamW with float32 moments: what the others are measured by."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from luthier.train.optimizers.family import Family, Group, numbers_of
from luthier.train.options import TrainOptions


def make(groups: Sequence[Group], options: TrainOptions) -> Optimizer:
    """torch's own, fused. Source: Loshchilov and Hutter 2019, arXiv:1711.05101."""
    parts = [group.settings() for group in groups]
    return torch.optim.AdamW(parts, lr=0.0, betas=options.betas, eps=options.eps, fused=True)


def state_bytes(group: Group) -> int:
    """Two float32 moments, and a count a parameter."""
    return 8 * numbers_of(group.parameters) + 4 * len(group.parameters)


ADAMW = Family(make, state_bytes)
