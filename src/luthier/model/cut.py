"""Below which layer a network computes the same for ever: found by experiment on the network as it will train.

Autograd says from where on something learns; two runs in training mode say whether anything random stands below, be it
a dropout, noise on the embeddings or dropped layers; and a run begun at the cut says whether the family lets it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from luthier.batch import Batch
from luthier.errors import ModelError
from luthier.model.accept import trial
from luthier.model.forward import above, evaluating, trunk
from luthier.model.layers import changed, layer_list
from luthier.model.load import Model
from luthier.model.plan import plan
from luthier.types import Json

STRETCHED = frozenset({"dynamic", "longrope"})
"""Kinds of rotary positions that depend on the longest row of a batch."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Where a network may begin, when what is below is known."""

    layer: int
    """How many layers are below; 0 where there is no cut."""
    reason: str = ""
    """Why there is none although the lowest layers learn nothing; empty otherwise."""
    dtype: torch.dtype = torch.float32
    """Of the hidden states there."""
    width: int = 0
    """d: of one hidden state."""


def find_cut(model: Model) -> Cut:
    """The highest layer below which nothing learns and nothing is random; the method is attached already."""
    try:
        layers = list(layer_list(model.network))
    except ModelError as error:
        return Cut(0, str(error))
    idle = idle_layers(layers)
    if idle == 0:
        return Cut(0)
    if not model.shared:
        return Cut(0, f"the model runs unshared, because {model.reason}")
    if _stretched(model.network.config.get_text_config().to_dict()):
        return Cut(0, "its rotary positions depend on the longest row of a batch")
    try:
        return _examined(model, layers[:idle])
    except (ModelError, TypeError, ValueError, RuntimeError, AttributeError, LookupError, NotImplementedError) as met:
        return Cut(0, f"it does not run from there: {str(met).splitlines()[0]}")


def _examined(model: Model, layers: Sequence[nn.Module]) -> Cut:
    batch = trial(model)
    with _training(model):
        (first, _), (second, _) = (_after_each(model, batch, layers, seed) for seed in (0, 1))
    with evaluating(model):
        judged, whole = _after_each(model, batch, layers, 0)
        still = 0
        for one, other, calm in zip(first, second, judged, strict=True):
            if one.requires_grad or not (torch.equal(one, other) and torch.equal(one, calm)):
                break
            still += 1
        if still == 0:
            learns = "it changes with every step, because what goes into them learns (embeddings, or virtual tokens)"
            return Cut(0, learns if first[0].requires_grad else "they are random while training (a dropout, or noise)")
        hidden = first[still - 1]
        if not torch.equal(above(model, batch, plan(batch), layers[:still], hidden[0]), whole):
            return Cut(0, "begun there, the network does not compute what it computes whole")
    return Cut(still, dtype=hidden.dtype, width=hidden.shape[-1])


def idle_layers(layers: Sequence[nn.Module]) -> int:
    """How many of the lowest layers hold no parameter that learns."""
    for at, layer in enumerate(layers):
        if any(parameter.requires_grad for parameter in layer.parameters()):
            return at
    return len(layers)


def _after_each(model: Model, batch: Batch, layers: Sequence[nn.Module], seed: int) -> tuple[list[Tensor], Tensor]:
    """What each of the layers gives, (1, n, d), and what comes out of the last of all, (n, d)."""
    seen: list[Tensor] = []

    def note(hidden: Tensor) -> Tensor:
        seen.append(hidden)
        return hidden

    with ExitStack() as stack:
        for layer in layers:
            stack.enter_context(changed(layer, note))
        stack.enter_context(torch.random.fork_rng())
        torch.manual_seed(seed)
        return seen, trunk(model, batch)


@contextmanager
def _training(model: Model) -> Iterator[None]:
    """Training mode with gradients; each module's own mode comes back afterwards."""
    modes = {module: module.training for module in model.network.modules()}
    model.network.train()
    try:
        with torch.enable_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def _stretched(config: Json) -> bool:
    """Whether a configuration names, at any depth, rotary positions that a batch's longest row decides."""
    if not isinstance(config, dict):
        return False
    return any(
        (key in ("rope_type", "type") and value in STRETCHED) or _stretched(value) for key, value in config.items()
    )
