"""One part of attention by torch's flash kernels, and the merging of parts by their log-sum-exp."""

from __future__ import annotations

import torch
from torch import Tensor

FLOAT32_KEYS = 512
"""Up to this many keys the CPU's flash backward runs in float32: torch's bfloat16 one takes 1.4 to 7 times as long."""


def flash(
    query: Tensor, key: Tensor, value: Tensor, scale: float, *, causal: bool, hidden: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """One part's output and log-sum-exp: (b, heads, q, width), (b, heads, q).

    hidden: added to the scores, (b, 1, 1, k); on the CPU alone.
    """
    if query.is_cuda:
        out, lse, *_ = torch.ops.aten._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, scale=scale)
    else:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        out, lse = kernel(query, key, value, 0.0, causal, attn_mask=hidden, scale=scale)
    return out, lse


def flash_backward(
    grad: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    out: Tensor,
    lse: Tensor,
    scale: float,
    *,
    causal: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """One part's gradients, given the *merged* output and log-sum-exp of its queries."""
    if query.is_cuda:
        seed = torch.zeros(2, dtype=torch.uint64, device=query.device)
        dq, dk, dv = torch.ops.aten._scaled_dot_product_flash_attention_backward(
            *(grad, query, key, value, out, lse.contiguous(), None, None, query.shape[2], key.shape[2]),
            *(0.0, causal, seed, seed[0]),
            scale=scale,
        )
    else:
        kernel = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
        tensors = [grad, query, key, value, out]
        if query.dtype == torch.bfloat16 and key.shape[2] <= FLOAT32_KEYS:
            tensors = [tensor.float() for tensor in tensors]
        dq, dk, dv = kernel(*tensors, lse.contiguous(), 0.0, causal, scale=scale)
    return dq, dk, dv


def merge(out: Tensor, lse: Tensor, more: Tensor, more_lse: Tensor) -> None:
    """Folds another part's output into `out` and `lse`, in place, weighted by each part's share of the softmax."""
    out.lerp_(more.to(out.dtype), torch.sigmoid(more_lse - lse).unsqueeze(-1))
    torch.logaddexp(lse, more_lse, out=lse)


def repeated(tensor: Tensor, heads: int) -> Tensor:
    """Keys or values once per query head: (1, kv heads, n, width) -> (1, heads, n, width)."""
    return tensor if tensor.shape[1] == heads else tensor.repeat_interleave(heads // tensor.shape[1], dim=1)
