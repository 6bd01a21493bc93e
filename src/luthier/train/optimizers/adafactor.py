"""Adafactor: of a matrix's second moments only the means of rows and columns are kept, and no first moment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.optim import Optimizer

from luthier.train.optimizers.family import Family, Group
from luthier.train.options import TrainOptions

FLOOR = 1.0
"""Least size that a parameter's step is a share of: at 1 the step is absolute, as AdamW's is. The paper's 1e-3 makes
it relative, and a LoRA B, which starts at zero, would hardly move."""


def make(groups: Sequence[Group], options: TrainOptions) -> Optimizer:
    """torch's own. Source: Shazeer and Stern 2018, arXiv:1804.04235; without its momentum."""
    return torch.optim.Adafactor([group.settings() for group in groups], lr=0.0, eps=(None, FLOOR))


def state_bytes(group: Group) -> int:
    """A float32 number a row and a column of each matrix, one an entry of all else, and a count a parameter."""
    return sum(4 + 4 * _kept(parameter.shape) for parameter in group.parameters)


def _kept(shape: torch.Size) -> int:
    if len(shape) < 2:
        return shape.numel()
    return shape.numel() // shape[-1] + shape.numel() // shape[-2]


ADAFACTOR = Family(make, state_bytes)
"""The factor is 1: a step's root mean square is at most the learning rate (section 5), as AdamW's about is."""
