"""Weights laid out once as oneDNN multiplies them, for as long as rows go on token by token.

A product of some tens of rows spends a fifth to a third of its time on bringing its weight into order. That order is
made once here and held beside the weights; an adapter's part is in it, as one product with its layer. Bfloat16 on the
CPU alone; what cannot be laid out multiplies as before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

WORTH = 8
"""Prompts from which it is worth the time and the memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """What a layer multiplies by while nothing learns: y = [x, x down^T] weight^T + bias."""

    weight: Tensor
    """(out, in), or (out, in + rank) behind an adapter."""
    bias: Tensor | None
    down: Tensor | None = None
    """(rank, in) of the adapter, scaled."""


@runtime_checkable
class OneProduct(Protocol):
    """A layer that is more than its weight, and can still be one product."""

    def product(self) -> Product | None:
        """Itself as it is now; None where it cannot be."""
        ...


class _Laid:
    """A layer's forward by a weight that is laid out."""

    def __init__(self, product: Product) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(product.weight.detach().contiguous())
        self._bias, self._down = product.bias, product.down

    def __call__(self, x: Tensor) -> Tensor:
        rows = x.to(torch.bfloat16)
        if self._down is not None:
            rows = torch.cat((rows, rows @ self._down.T), dim=-1)
        found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._weight, self._bias, "none", [], "")
        return found


@contextmanager
def laid_out(network: PreTrainedModel, prompts: int) -> Iterator[None]:
    """While open, layers multiply by laid-out copies of their weights, which must not change meanwhile.

    prompts: how many go on; few are not worth it.
    """
    products = dict(_products(network)) if prompts >= WORTH and _able() else {}
    try:
        for module, product in products.items():
            module.forward = _Laid(product)
        yield
    finally:
        for module in products:
            if "forward" in module.__dict__:
                del module.forward


def _able() -> bool:
    return (
        not torch.is_grad_enabled()
        and torch.backends.mkldnn.is_available()
        and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    )


def _products(network: PreTrainedModel) -> Iterator[tuple[nn.Module, Product]]:
    """The layers that can be laid out; what stands inside of one that is more than its weight is left to that one."""
    inside: set[nn.Module] = {network.get_output_embeddings()}  # multiplied by its weight alone (`head.py`)
    for module in network.modules():
        if module in inside or "forward" in module.__dict__:
            continue
        if isinstance(module, OneProduct):
            inside.update(module.children())
            product = module.product()
        else:
            product = Product(module.weight, module.bias) if type(module) is nn.Linear else None
        if product is not None and _fits(product.weight) and (product.bias is None or _fits(product.bias)):
            yield module, product


def _fits(part: Tensor) -> bool:
    return part.dtype == torch.bfloat16 and part.device.type == "cpu"
