"""A linear head beside a stand-in is saved and filled on its own, and merging leaves it where it is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from luthier.methods import IA3, BitFit, Bottleneck, Full, Method, merge, restore, save
from luthier.methods.contract import logits
from luthier.model.leaf import LeafHead, attach_head

Build = Callable[[], PreTrainedModel]
METHODS: list[Method] = [Bottleneck(width=3), IA3(), BitFit(), Full(decay=0.5)]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_a_head_beside_the_method_comes_back_with_it(make: Build, tmp_path: Path, method: Method) -> None:
    network, fresh = make(), make()
    method.attach(network, dtype=torch.float32)
    attach_head(network, LeafHead(16, ("yes", "no"))).start(1)
    with torch.no_grad():
        for parameter in method.trainable(network).values():
            parameter.add_(0.05)
    method.rates(network)
    save(network, method, tmp_path)
    restore(fresh, tmp_path)
    assert torch.equal(logits(fresh), logits(network))
    assert torch.equal(fresh.leaf_head.linear.weight, network.leaf_head.linear.weight)
    if method.mergeable:
        before = logits(network)
        merge(network)
        assert float((logits(network) - before).abs().max()) < 1e-4
        assert isinstance(network.leaf_head, LeafHead)
