"""The parts of a plan through a flash kernel, merged by log-sum-exp.

The backward of each part is the kernel's own, called with the merged output and log-sum-exp, and is exact (the argument
of ring attention: Liu et al. 2023, arXiv:2310.01889). Keys and values that stand before every path are one rectangle
more, which all queries see. Kernels: torch's for the CPU, and for CUDA in half precision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from luthier.model.flash import flash, flash_backward, merge, repeated
from luthier.model.plan import Plan


class _Saved(Protocol):
    """What the cascade's forward leaves for its backward."""

    saved_tensors: tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor, Tensor]
    forest: Plan
    scale: float

    def save_for_backward(self, *tensors: Tensor | None) -> None: ...


class _Cascade(torch.autograd.Function):
    """The parts of a plan through a flash kernel, merged: query (1, heads, n, width), key and value a head a group.

    root_key, root_value (1, groups, p, width): what stands before every path, if anything does.
    """

    @staticmethod
    def forward(
        ctx: _Saved,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        root_key: Tensor | None,
        root_value: Tensor | None,
        forest: Plan,
        scale: float,
    ) -> Tensor:
        heads, saved = query.shape[1], (key, value, root_key, root_value)
        key, value = repeated(key, heads), repeated(value, heads)
        out, lse = _inside(query, key, value, forest, scale)
        if root_key is not None and root_value is not None:
            merge(out, lse, *flash(query, repeated(root_key, heads), repeated(root_value, heads), scale, causal=False))
        for part in forest.rectangles:
            mine, keys = slice(part.stop, part.end), slice(part.start, part.stop)
            more, more_lse = flash(query[:, :, mine], key[:, :, keys], value[:, :, keys], scale, causal=False)
            merge(out[:, :, mine], lse[:, :, mine], more, more_lse)
        out = out.to(query.dtype)
        ctx.save_for_backward(query, *saved, out, lse)
        ctx.forest, ctx.scale = forest, scale
        return out

    @staticmethod
    def backward(ctx: _Saved, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, root_key, root_value, out, lse = ctx.saved_tensors
        forest, scale, groups = ctx.forest, ctx.scale, key.shape[1]
        key, value = repeated(key, query.shape[1]), repeated(value, query.shape[1])
        dq, dk, dv = _inside_backward(grad, query, key, value, out, lse, forest, scale)
        root: tuple[Tensor | None, Tensor | None] = None, None
        if root_key is not None and root_value is not None:
            a, *root_grads = _root_backward(grad, query, root_key, root_value, out, lse, scale)
            dq += a
            root = root_grads[0].to(query.dtype), root_grads[1].to(query.dtype)
        for part in forest.rectangles:
            mine, keys = slice(part.stop, part.end), slice(part.start, part.stop)
            a, b, c = flash_backward(
                grad[:, :, mine],
                query[:, :, mine],
                key[:, :, keys],
                value[:, :, keys],
                out[:, :, mine],
                lse[:, :, mine],
                scale,
                causal=False,
            )
            dq[:, :, mine] += a
            dk[:, :, keys] += b
            dv[:, :, keys] += c
        dk, dv = _summed(dk, groups), _summed(dv, groups)
        return dq.to(query.dtype), dk.to(query.dtype), dv.to(query.dtype), *root, None, None


def _root_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of all queries, and of the keys and values before every path, a head a group."""
    heads, groups = query.shape[1], key.shape[1]
    a, b, c = flash_backward(grad, query, repeated(key, heads), repeated(value, heads), out, lse, scale, causal=False)
    return a, _summed(b, groups), _summed(c, groups)


def _inside(query: Tensor, key: Tensor, value: Tensor, forest: Plan, scale: float) -> tuple[Tensor, Tensor]:
    """Causal attention inside every node: the output and its log-sum-exp (1, heads, n).

    The output lies token by token, as the layer after it reads it.
    """
    exact = torch.promote_types(query.dtype, torch.float32)
    out = torch.empty_like(query.transpose(1, 2), dtype=exact, memory_format=torch.contiguous_format).transpose(1, 2)
    lse = torch.empty(query.shape[:-1], dtype=exact, device=query.device)
    for a, b in forest.single:
        node = slice(a, b)
        out[:, :, node], lse[:, :, node] = flash(
            query[:, :, node], key[:, :, node], value[:, :, node], scale, causal=True
        )
    for block in forest.buckets:
        one, one_lse = flash(block.rows(query), block.rows(key), block.rows(value), scale, causal=True)
        block.write(out, one)
        block.write(lse.unsqueeze(-1), one_lse.unsqueeze(-1))
    return out, lse


def _inside_backward(
    grad: Tensor, query: Tensor, key: Tensor, value: Tensor, out: Tensor, lse: Tensor, forest: Plan, scale: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The nodes' own share of the gradients; every token is inside exactly one node, so nothing stays unwritten."""
    exact = torch.promote_types(query.dtype, torch.float32)
    dq, dk, dv = (torch.empty_like(tensor, dtype=exact) for tensor in (query, key, value))
    for a, b in forest.single:
        at = (slice(None), slice(None), slice(a, b))
        dq[at], dk[at], dv[at] = flash_backward(
            grad[at], query[at], key[at], value[at], out[at], lse[at], scale, causal=True
        )
    for block in forest.buckets:
        grads = flash_backward(
            block.rows(grad).masked_fill(~block.real[:, None, :, None], 0),
            block.rows(query),
            block.rows(key),
            block.rows(value),
            block.rows(out),
            block.rows(lse.unsqueeze(-1)).squeeze(-1),
            scale,
            causal=True,
        )
        for whole, part in zip((dq, dk, dv), grads, strict=True):
            block.write(whole, part)
    return dq, dk, dv


def _summed(grad: Tensor, groups: int) -> Tensor:
    """What the query heads of a key head ask of it, added up: (1, heads, n, width) -> (1, groups, n, width)."""
    return grad if grad.shape[1] == groups else grad.unflatten(1, (groups, -1)).sum(dim=2)


def flash_can(network_dtype: torch.dtype, device: torch.device) -> bool:
    """Whether the cascade has a kernel: always on the CPU; on CUDA in half precision."""
    return device.type == "cpu" or network_dtype in (torch.bfloat16, torch.float16)


if TYPE_CHECKING:

    def cascade(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        root_key: Tensor | None,
        root_value: Tensor | None,
        forest: Plan,
        scale: float,
    ) -> Tensor:
        """Attention over a forest: query (1, heads, n, width), key and value a head a group -> (1, heads, n, width).

        root_key, root_value (1, groups, p, width): what stands before every path, if anything does.
        """
else:
    cascade = _Cascade.apply
