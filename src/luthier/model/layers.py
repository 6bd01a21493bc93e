"""A network's layers, and running it from one of them on.

The loop over the layers is transformers' own. A network begins at a cut when the layers below it answer with hidden
states that are given, and compute nothing: whatever a family does to its embeddings, positions and masks it still does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn
from transformers import PreTrainedModel

from luthier.errors import ModelError


def layer_list(network: PreTrainedModel) -> nn.ModuleList:
    """The network's layers, input first; raises ModelError where they are not one list."""
    count = network.config.get_text_config().num_hidden_layers
    for module in network.modules():
        if isinstance(module, nn.ModuleList) and len(module) == count:
            return module
    raise ModelError(
        f"{type(network).__name__} does not keep its {count} layers in one list, by which they are counted"
    )


@contextmanager
def begun(below: Sequence[nn.Module], hidden: Tensor) -> Iterator[None]:
    """While open, each layer below the cut answers with `hidden` (1, n, d) and computes nothing.

    They stay the modules they are, so that a family may still ask them what kind of layer they are.
    """

    def given(*_: object, **__: object) -> Tensor:
        return hidden

    try:
        for layer in below:
            layer.forward = given
        yield
    finally:
        for layer in below:
            layer.__dict__.pop("forward", None)


@contextmanager
def changed(layer: nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While open, what a layer gives, (1, n, d), goes through `change` before the next one reads it."""

    def after(_: nn.Module, __: object, out: Tensor) -> Tensor:
        if not isinstance(out, Tensor):
            raise ModelError(f"{type(layer).__name__} gives more than hidden states")
        return change(out)

    hook = layer.register_forward_hook(after)
    try:
        yield
    finally:
        hook.remove()
