"""Muon for the matrices inside the network, AdamW beside it for embeddings, head, norms and biases.

A matrix moves along its momentum with all singular values made about equal. LoRA's A and B are such matrices too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.optim import Optimizer

from luthier.errors import ModelError
from luthier.train.optimizers import adamw
from luthier.train.optimizers.family import Family, Group, numbers_of
from luthier.train.optimizers.packaged import Packaged
from luthier.train.options import TrainOptions


def make(groups: Sequence[Group], options: TrainOptions) -> Optimizer:
    """torch's own two; Muon's momentum is its own 0.95, betas and eps are AdamW's.

    Source: Jordan et al. 2024, kellerjordan.github.io/posts/muon; the size of its step: Liu et al. 2025,
    arXiv:2502.16982, section 2.2, which lets it take AdamW's rate and decay.
    Raises ModelError where no matrix learns that is its to step.
    """
    inner, rest = [one for one in groups if one.inner], [one for one in groups if not one.inner]
    if not inner:
        raise ModelError("train.optimizer: muon steps matrices inside the network, and none learns here; use adamw")
    settings: list[dict[str, Any]] = [group.settings() for group in inner]
    muon = torch.optim.Muon(settings, lr=0.0, adjust_lr_fn="match_rms_adamw")
    return Packaged(muon, adamw.make(rest, options)) if rest else muon


def state_bytes(group: Group) -> int:
    """One float32 moment of what Muon steps; AdamW's of the rest."""
    return 4 * numbers_of(group.parameters) if group.inner else adamw.state_bytes(group)


MUON = Family(make, state_bytes)
"""The factor is 1: a step's root mean square is that of AdamW's (Liu et al. 2025)."""
