"""Several adapters over one base: put on in turn, or all in one batch, where each row of a layer goes through its own.

    rows of x     0 0 0 0 1 1 1 2 2       a batch is depth first by adapter, so an adapter's rows are one slice
    y             arm 0 | arm 1 | arm 2   of that slice, one after the other

An arm is the module that stands for the layer when its adapter is alone, so whatever a method puts in place of a
linear layer or a norm works here, with ranks and targets of its own. Deliberately not here: what the adapters learn,
which batch they share, and generation, which wears one adapter at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from luthier.errors import ModelError
from luthier.methods.method import Adapted, Method, replace

Adapter: TypeAlias = dict[str, nn.Module]
"""What a method put into a network: the dotted path of a layer -> the module that stands in for it."""


@contextmanager
def as_opened(network: nn.Module) -> Iterator[None]:
    """Takes off at its end what was attached within: each module is in its place again, open to gradients as it was.

    Weights that were changed stay changed, so this is for methods that leave the base's alone.
    """
    modules = [(module, dict(module._modules), module.training) for module in network.modules()]
    learning = [(parameter, parameter.requires_grad) for parameter in network.parameters()]
    try:
        yield
    finally:
        for module, children, training in modules:
            module._modules = children
            module.training = training
        for parameter, learns in learning:
            parameter.requires_grad_(learns)
            parameter.grad = None


def worn(network: nn.Module) -> Adapter:
    """The adapter a network carries, by the path of each layer that it stands in for."""
    found: Adapter = {}
    for path, module in network.named_modules():
        if isinstance(module, Adapted) and not any(path.startswith(f"{above}.") for above in found):
            found[path] = network.get_submodule(path)
    return found


def made(network: PreTrainedModel, method: Method, *, dtype: torch.dtype, seed: int = 0) -> Adapter:
    """An adapter as the method attaches it, taken off again; raises ModelError for a method that does not come off."""
    with as_opened(network):
        method.attach(network, dtype=dtype, seed=seed)
        adapter = worn(network)
        within = {id(parameter) for module in adapter.values() for parameter in module.parameters()}
        outside = [name for name, value in method.trainable(network).items() if id(value) not in within]
    if outside or not method.removable:
        first = outside[0] if outside else type(method).__name__
        raise ModelError(f"{first} does not come off the base, so that others could stand on it; use lora")
    return adapter


@contextmanager
def wearing(network: nn.Module, adapter: Adapter) -> Iterator[None]:
    """The network with one adapter alone, to ask it or to save it, whatever it carries otherwise."""
    with as_opened(network):
        for path, module in list(network.named_modules()):
            if isinstance(module, Several):
                replace(network, path, module.base)
        for path, module in adapter.items():
            module.train(network.get_submodule(path).training)
            replace(network, path, module)
        yield


class Routes:
    """Which rows of a layer's input each adapter computes, while a forward goes on; shared by all layers."""

    __slots__ = ("count", "sizes")

    def __init__(self, count: int) -> None:
        """count: how many adapters there are."""
        self.count = count
        self.sizes: tuple[int, ...] | None = None

    @contextmanager
    def over(self, adapter: Tensor) -> Iterator[None]:
        """While it is open, row i of every layer's input goes through adapter[i]: (rows,), never decreasing.

        Raises ModelError for an adapter that is not there, or for rows that are not in order.
        """
        before = self.sizes
        self.sizes = self._sizes(adapter)
        try:
            yield
        finally:
            self.sizes = before

    def _sizes(self, adapter: Tensor) -> tuple[int, ...]:
        names, sizes = (found.tolist() for found in adapter.unique_consecutive(return_counts=True))
        if names != sorted(set(names)):
            raise ModelError(f"rows of one adapter must stand together and in order; these come as {names[:8]}")
        if names and not 0 <= names[0] <= names[-1] < self.count:
            raise ModelError(f"the batch names adapter {names[-1] if names[0] >= 0 else names[0]} of {self.count}")
        rows = dict(zip(names, sizes, strict=True))
        return tuple(rows.get(i, 0) for i in range(self.count))


class Several(nn.Module):
    """Stands in for a layer and gives each row to the arm of its adapter."""

    def __init__(self, base: nn.Module, arms: Sequence[nn.Module | None], routes: Routes) -> None:
        """arms: one an adapter; None for an adapter that leaves this layer alone."""
        super().__init__()
        self.base = base
        self.arms = nn.ModuleList(arm if arm is not None else base for arm in arms)
        self.routes = routes
        self.on = True
        self.train(base.training)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., in), its leading sizes flattened in the order of the routes -> (..., out)."""
        if not self.on:
            return self._by(self.base, x)
        sizes = self._routed(x)
        taking = [arm for arm, size in zip(self.arms, sizes, strict=True) if size]
        if len(taking) == 1:
            return self._by(taking[0], x)
        parts = x.reshape(-1, x.shape[-1]).split([size for size in sizes if size])
        y = torch.cat([self._by(arm, part) for arm, part in zip(taking, parts, strict=True)])
        return y.view(*x.shape[:-1], y.shape[-1])

    def _routed(self, x: Tensor) -> tuple[int, ...]:
        sizes = self.routes.sizes
        if sizes is None:
            raise ModelError(f"{len(self.arms)} adapters, and nobody said which rows are whose; `wearing` asks one")
        rows = x.numel() // x.shape[-1]
        if sum(sizes) != rows:
            raise ModelError(f"a layer got {rows} rows where the batch has {sum(sizes)}, so whose they are is unknown")
        return sizes

    @staticmethod
    def _by(module: nn.Module, x: Tensor) -> Tensor:
        y: Tensor = module(x)
        return y


def several(network: PreTrainedModel, adapters: Sequence[Adapter]) -> Routes:
    """Puts adapters over one network, side by side; the base is frozen. Give what it returns to `Model.routing`.

    Raises ModelError, and leaves the network alone, if it carries an adapter, or where one of these stands for what
    is neither a linear layer nor a norm, where each row keeps to itself.
    """
    if worn(network):
        raise ModelError("the network carries an adapter already; take it off first (`as_opened`)")
    paths = dict.fromkeys(path for adapter in adapters for path in adapter)
    layers = dict(network.named_modules())
    for path in paths:
        if path not in layers:
            raise ModelError(f"{path} stands for no layer of the base, so that its rows are not one adapter's")
        layer = layers[path]
        if not isinstance(layer, nn.Linear | Conv1D | nn.LayerNorm):
            raise ModelError(f"{path} is a {type(layer).__name__}, whose rows cannot be divided among adapters")
    if not paths:
        raise ModelError("there is no adapter to put on")
    network.requires_grad_(False)
    routes = Routes(len(adapters))
    for path in paths:
        arms = [adapter.get(path) for adapter in adapters]
        replace(network, path, Several(network.get_submodule(path), arms, routes))
    return routes
