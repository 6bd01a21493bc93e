"""How far two passes of one model, with their own dropout, are apart: KL(p || q) + KL(q || p) a row, in nats.

Gradients reach both sides. No more than one chunk of logits of each side is held: a chunk is computed anew for its
backward. Not here: what a loss weighs it by.
"""

from __future__ import annotations

from torch import Tensor, cat, nn
from torch.utils.checkpoint import checkpoint

from luthier.model.head import CHUNK_BYTES, Head


def disagreement(one: Tensor, other: Tensor, output: Head) -> Tensor:
    """Row by row: hidden states (u, d) of both passes -> (u,) nats in float32 or better."""
    size = max(1, CHUNK_BYTES // (4 * len(output.linear.weight) * max(4, one.element_size())))
    parts: list[Tensor] = [
        checkpoint(
            _apart, one[a : a + size], other[a : a + size], output, use_reentrant=False, preserve_rng_state=False
        )
        for a in range(0, len(one), size)
    ]
    return cat(parts)


def draws(network: nn.Module) -> bool:
    """Whether two passes in training mode differ: something in the network drops a share of its inputs out."""
    names = ("p", "dropout", "attention_dropout")
    shares = [getattr(module, name, None) for module in network.modules() for name in names if _may(module, name)]
    return any(isinstance(share, float) and share > 0 for share in shares)


def _may(module: nn.Module, name: str) -> bool:
    """`p` is a share of a dropout layer's alone."""
    return name != "p" or isinstance(module, nn.Dropout)


def _apart(one: Tensor, other: Tensor, output: Head) -> Tensor:
    p, q = output.logits(one).log_softmax(dim=-1), output.logits(other).log_softmax(dim=-1)
    return ((p.exp() - q.exp()) * (p - q)).sum(dim=-1)
