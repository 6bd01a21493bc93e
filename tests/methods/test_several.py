"""Several adapters over one base: in a packed batch each is what it is alone; taken off, it leaves no trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from luthier.batch import Batch, pack
from luthier.errors import ModelError
from luthier.methods import Full, LoRA, Method, merge, restore, save, switched_off
from luthier.methods.contract import logits
from luthier.methods.several import Adapter, Several, as_opened, made, several, wearing, worn
from luthier.model.accept import accept
from luthier.model.forward import forward
from luthier.model.load import Model
from luthier.types import TokenSequence

Build = Callable[[], PreTrainedModel]

METHODS = (LoRA(rank=3, alpha=6), LoRA(rank=5, alpha=2, rslora=True, targets=("q_proj", "down_proj")), LoRA(rank=1))
"""Of ranks, scales and targets of their own."""


def opened(llamas: Build, *, shared: bool = True) -> Model:
    model = Model(llamas(), None, "tiny", torch.device("cpu"), torch.float32, frozenset({1}), max_length=64)
    if shared:
        accept(model)
    assert model.shared is shared
    return model


def learned(model: Model, method: Method, seed: int) -> Adapter:
    """An adapter away from its start."""
    adapter = made(model.network, method, dtype=torch.float32, seed=seed)
    draw = torch.Generator().manual_seed(seed)
    for module in adapter.values():
        module.lora_b.data.normal_(std=0.1, generator=draw)
    return adapter


def sequences() -> list[TokenSequence]:
    """Two rows an adapter of one beginning, which all adapters share as text; the adapters come in no order."""
    draw = np.random.default_rng(0)
    stem = draw.integers(2, 61, 20)
    made = []
    for group, adapter in enumerate((2, 0, 1, 0, 2, 1)):
        tokens = np.concatenate((stem, draw.integers(2, 61, 4 + group)))
        weight = np.r_[np.zeros(12), np.ones(len(tokens) - 12)].astype(np.float32)
        made.append(TokenSequence(tokens, weight, f"row {group}", group=group, adapter=adapter))
    return made


def gradients(adapter: Adapter) -> list[torch.Tensor]:
    return [p.grad.clone() for m in adapter.values() for p in (m.lora_a, m.lora_b)]


def felt(model: Model, batch: Batch, adapters: Sequence[Adapter]) -> torch.Tensor:
    """The batch's log-probabilities, with the gradient of their sum left in the adapters."""
    for adapter in adapters:
        for module in adapter.values():
            module.zero_grad()
    found = forward(model, batch).logprobs
    found.sum().backward()
    return found.detach()


@pytest.mark.parametrize("shared", [True, False])
def test_each_adapter_in_one_batch_equals_itself_alone_forward_and_backward(shared, llamas: Build):
    model, rows = opened(llamas, shared=shared), sequences()
    adapters = [learned(model, method, seed) for seed, method in enumerate(METHODS)]
    alone = []
    for at, adapter in enumerate(adapters):
        own = pack([replace(row, adapter=0) for row in rows if row.adapter == at])
        with wearing(model.network, adapter):
            alone.append((felt(model, own, [adapter]), gradients(adapter)))
    model.routing = several(model.network, adapters)
    batch = pack(rows)
    together = felt(model, batch, adapters)
    assert batch.distinct < sum(len(row) for row in rows)  # beginnings are shared within each adapter
    for at, (logprobs, gradient) in enumerate(alone):
        mine = torch.tensor([rows[s].adapter == at for s in batch.sequence.tolist()])
        torch.testing.assert_close(together[mine], logprobs, rtol=1e-5, atol=1e-5)
        for one, other in zip(gradient, gradients(adapters[at]), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_control_rows_given_to_the_wrong_adapter_are_seen(llamas: Build):
    model, rows = opened(llamas), sequences()
    adapters = [learned(model, METHODS[0], seed) for seed in range(3)]
    model.routing = several(model.network, adapters)
    right = felt(model, pack(rows), adapters)
    wrong = felt(model, pack([replace(row, adapter=(row.adapter + 1) % 3) for row in rows]), adapters)
    assert (right - wrong).abs().max() > 0.05


def test_an_adapter_gets_no_gradient_from_a_batch_without_it(llamas: Build):
    model, rows = opened(llamas), [row for row in sequences() if row.adapter != 1]
    adapters = [learned(model, METHODS[0], seed) for seed in range(3)]
    model.routing = several(model.network, adapters)
    felt(model, pack(rows), adapters)
    assert all(parameter.grad is None for module in adapters[1].values() for parameter in module.parameters())
    assert all(gradient.any() for gradient in gradients(adapters[0]) + gradients(adapters[2]))


def test_what_is_attached_within_leaves_the_network_as_it_was_opened(llamas):
    network, fresh = llamas(), llamas()
    with as_opened(network):
        LoRA(rank=2).attach(network, dtype=torch.float32)
        assert worn(network)
    assert [(name, type(module)) for name, module in network.named_modules()] == [
        (name, type(module)) for name, module in fresh.named_modules()
    ]
    assert all(parameter.requires_grad for parameter in network.parameters())
    assert torch.equal(logits(network), logits(fresh))


def test_each_of_several_is_saved_as_if_it_were_alone(tmp_path: Path, llamas: Build):
    model = opened(llamas, shared=False)
    adapters = [learned(model, method, seed) for seed, method in enumerate(METHODS)]
    several(model.network, adapters)
    for at, adapter in enumerate(adapters):
        with wearing(model.network, adapter):
            said = logits(model.network)
            save(model.network, METHODS[at], tmp_path / str(at))
        fresh = llamas()
        restore(fresh, tmp_path / str(at))
        torch.testing.assert_close(logits(fresh), said)
        with pytest.raises(AssertionError):
            torch.testing.assert_close(logits(llamas()), said)


def test_switched_off_several_are_the_base_to_the_bit(llamas: Build):
    model = opened(llamas, shared=False)
    base = logits(model.network)
    several(model.network, [learned(model, METHODS[0], seed) for seed in range(2)])
    with switched_off(model.network):
        assert torch.equal(logits(model.network), base)


def test_what_cannot_be_is_refused(llamas: Build):
    model = opened(llamas)
    adapters = [learned(model, METHODS[0], seed) for seed in range(2)]
    routes = several(model.network, adapters)
    with pytest.raises(ModelError, match="nobody said which rows are whose"):
        logits(model.network)
    with pytest.raises(ModelError, match="24 rows where the batch has 5"), routes.over(torch.zeros(5).long()):
        logits(model.network)
    with pytest.raises(ModelError, match="adapter 2 of 2"), routes.over(torch.tensor([0, 2])):
        pass
    with pytest.raises(ModelError, match="stand together"), routes.over(torch.tensor([0, 1, 0])):
        pass
    with pytest.raises(ModelError, match="carries an adapter already"):
        several(model.network, adapters)
    with pytest.raises(ModelError, match="Several computes what no weight"):
        merge(model.network)
    with pytest.raises(ModelError, match="does not come off"):
        made(llamas(), Full(), dtype=torch.float32)
    assert sum(isinstance(module, Several) for module in model.network.modules()) == 14
