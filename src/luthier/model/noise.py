"""Noise on the input embeddings while a model learns (NEFTune); none where it is asked or judged.

Each entry of an embedding is moved by a uniform draw in +-strength / sqrt(L d), L the length of its sequence and d the
width. On the forest a token that several sequences share is one token and gets one draw, of the longest of them: the
smallest noise that one of them would have drawn. Source: Jain et al. 2023, arXiv:2310.05914, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from luthier.batch import Batch
from luthier.errors import ModelError
from luthier.model.load import Model


@contextmanager
def noised(model: Model, batch: Batch, strength: float) -> Iterator[None]:
    """The model's embeddings of this batch are noised, in training mode, while the context is open.

    Drawn from torch's global generator, as dropout is. strength 0: nothing is drawn.
    Raises ModelError where a kept trunk would pass the noise by.
    """
    if not strength:
        yield
        return
    if model.trunk is not None:
        raise ModelError(
            "train.neftune: the lowest layers' states are kept, and noise would not reach them; trunk=false"
        )
    lengths = longest(batch)[None] if model.shared else (batch.depth[batch.leaf] + 1)[:, None]  # (1, n) or (s, 1)

    def add(module: nn.Module, given: tuple[Tensor, ...], states: Tensor) -> Tensor | None:
        if not module.training:
            return None
        size = strength / (lengths * states.shape[-1]).to(states.dtype).sqrt()
        return states + torch.empty_like(states).uniform_(-1, 1) * size[..., None]

    hook = model.network.get_input_embeddings().register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()


def longest(batch: Batch) -> Tensor:
    """Length of the longest sequence through each token: (n,)."""
    index = torch.arange(batch.distinct, device=batch.tokens.device)[:, None]
    through = (index <= batch.leaf) & (batch.leaf < batch.end[:, None])  # (n, s)
    return torch.where(through, batch.depth[batch.leaf] + 1, 0).amax(dim=1)
