"""What autograd keeps of a network for its backward, counted."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def kept(network: nn.Module, rows: Tensor) -> tuple[Tensor, list[Tensor], int]:
    """The output, the gradients, and how many bytes autograd kept beside the weights."""
    weights = {each.untyped_storage().data_ptr() for each in network.parameters()}
    held: dict[int, int] = {}

    def pack(one: Tensor) -> Tensor:
        if (place := one.untyped_storage().data_ptr()) not in weights:
            held[place] = one.untyped_storage().nbytes()
        return one

    rows = rows.clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one):
        out = network(rows)
    out.square().sum().backward()
    return out, [rows.grad, *(each.grad for each in network.parameters())], sum(held.values())  # type: ignore[list-item]
