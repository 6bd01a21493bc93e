"""The pull to the base: KL(base || tuned) a token, against plain float64, however it is packed, cut and kept."""

from __future__ import annotations

import math
from dataclasses import replace

import families
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from luthier.batch import cut, pack
from luthier.errors import ModelError, RecipeError
from luthier.methods import Freeze, Full, LoRA, Method, keep_base, switched_off
from luthier.model.accept import accept
from luthier.model.forward import forward
from luthier.model.load import Model
from luthier.objectives import contract
from luthier.objectives.contract import ToyScores
from luthier.objectives.sft import SFT
from luthier.train.step import update
from luthier.types import TokenSequence

METHODS = [LoRA(rank=4), Full(), Freeze(layers=1)]


def opened(method: Method, *, base: bool = True, shared: bool = True) -> Model:
    """A tiny float64 Llama with the method attached, its base kept, and what learns moved off its start."""
    network = families.network("llama", dtype=torch.float64).to(torch.float64)
    model = Model(network, None, "tiny", torch.device("cpu"), torch.float64, frozenset({2}), max_length=128)
    if shared:
        accept(model)
    method.attach(network, dtype=torch.float64, seed=0)
    network.to(torch.float64)
    if base:
        keep_base(model, method)
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter += 0.05 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    return model


def rows() -> list[TokenSequence]:
    draw = np.random.default_rng(3)
    stem = draw.integers(3, 61, 20)
    made = []
    for group, length in enumerate((3, 5, 9, 4, 7)):
        tokens = np.concatenate((stem, draw.integers(3, 61, length))) if group < 4 else draw.integers(3, 61, 9)
        weight = np.zeros(len(tokens), np.float32)
        weight[-length:] = draw.choice([0.5, 1.0, 2.0], length)
        made.append(TokenSequence(tokens, weight, f"row:{group}", group=group))
    return made


def gradient(model: Model, objective: SFT, parts: list[list[TokenSequence]]) -> tuple[dict[str, Tensor], float]:
    """What one step's backward leaves, and its loss; no parameter moves."""
    learned = [p for p in model.network.parameters() if p.requires_grad]
    kept: list[Tensor] = []

    class Keep(torch.optim.SGD):
        def step(self, closure: object = None) -> None:
            kept.extend(p.grad.clone() for p in learned)

    came = update(model, objective, [pack(part) for part in parts], Keep(learned), lr=0.0)
    return {str(i): grad for i, grad in enumerate(kept)}, came.loss


def plain(model: Model, untouched: nn.Module, kl: float) -> tuple[dict[str, Tensor], float]:
    """The oracle: transformers' own forward one sequence at a time, all logits, plain torch."""
    learned = [p for p in model.network.parameters() if p.requires_grad]
    total, summed = torch.zeros((), dtype=torch.float64), 0.0
    for one in rows():
        tokens, weight = torch.from_numpy(one.tokens)[None], torch.from_numpy(one.weight).double()[1:]
        after = model.network(input_ids=tokens, use_cache=False).logits[0, :-1].log_softmax(-1)
        with torch.no_grad():
            before = untouched(input_ids=tokens, use_cache=False).logits[0, :-1].log_softmax(-1)
        nll = -after.gather(1, tokens[0, 1:, None])[:, 0]
        apart = (before.exp() * (before - after)).sum(-1)
        total = total + (weight * (nll + kl * apart)).sum()
        summed += float(weight.sum())
    grads = torch.autograd.grad(total / summed, learned)
    return {str(i): grad for i, grad in enumerate(grads)}, float(total.detach()) / summed


def worst(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    scale = max(float(grad.abs().max()) for grad in other.values())
    return max(float((one[name] - other[name]).abs().max()) for name in other) / scale


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_the_gradient_is_that_of_the_dense_formula_in_float64(method: Method) -> None:
    untouched = families.network("llama", dtype=torch.float64).to(torch.float64).eval()
    oracle = opened(method, shared=False)
    wanted, loss = plain(oracle, untouched, kl=0.7)
    found, mine = gradient(opened(method), SFT(kl=0.7), [rows()])
    assert worst(found, wanted) < 1e-6
    assert mine == pytest.approx(loss, rel=1e-6)
    without, _ = gradient(opened(method), SFT(), [rows()])
    assert worst(without, wanted) > 1e-2  # control: the pull is there to be seen


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("how", ["a sequence at a time", "cut to 30 tokens", "reversed", "unshared"])
def test_packing_and_cutting_change_nothing(method: Method, how: str) -> None:
    whole, _ = gradient(opened(method), SFT(kl=0.7), [rows()])
    parts = {
        "a sequence at a time": [[row] for row in rows()],
        "cut to 30 tokens": cut(rows(), budget=30),
        "reversed": [rows()[::-1]],
        "unshared": [rows()],
    }[how]
    found, _ = gradient(opened(method, shared=how != "unshared"), SFT(kl=0.7), parts)
    assert worst(found, whole) < 1e-6


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_a_zero_coefficient_is_to_the_bit_as_without_and_asks_for_no_base(method: Method) -> None:
    assert SFT(kl=0.0).needs == frozenset()
    one, loss = gradient(opened(method), SFT(kl=0.0), [rows()])
    other, same = gradient(opened(method, base=False), SFT(), [rows()])
    assert loss == same
    assert all(torch.equal(one[name], other[name]) for name in other)


@pytest.mark.parametrize("method", METHODS, ids=lambda m: type(m).__name__)
def test_before_anything_is_learned_the_divergence_is_nought(method: Method) -> None:
    model = opened(method)
    moved = forward(model, pack(rows()), needs=frozenset({"divergence"})).divergence.detach()
    assert float(moved.min()) > 1e-6  # control
    network = families.network("llama", dtype=torch.float32)
    fresh = Model(network, None, "tiny", torch.device("cpu"), torch.float32, frozenset({2}), max_length=128)
    accept(fresh)
    method.attach(network, dtype=torch.float32, seed=0)
    keep_base(fresh, method)
    apart = forward(fresh, pack(rows()), needs=frozenset({"divergence"})).divergence.detach()
    assert float(apart.max()) < 1e-9


def test_dropout_never_reaches_the_base() -> None:
    model = opened(LoRA(rank=4, dropout=0.5))
    model.network.train()
    with torch.random.fork_rng():
        torch.manual_seed(5)
        wanted = torch.rand(1)
        torch.manual_seed(5)
        before = model.base.divergence(pack(rows()), *still(model))
        assert torch.equal(torch.rand(1), wanted)
        again = model.base.divergence(pack(rows()), *still(model))
    assert torch.equal(before, again)
    assert all(module.training for module in model.network.modules())


def still(model: Model) -> tuple[Tensor, object]:
    """The tuned side without dropout: hidden rows and the head."""
    from luthier.model.forward import evaluating, head, scored_rows

    with evaluating(model):
        return scored_rows(model, pack(rows()))[0], head(model.network)


def test_the_base_stays_what_it_was_while_the_weights_move() -> None:
    model = opened(Full())
    was = forward(replace(model, network=model.base.model.network, base=None), pack(rows())).logprobs
    with torch.no_grad():
        for parameter in model.network.parameters():
            parameter += 1.0
    now = forward(replace(model, network=model.base.model.network, base=None), pack(rows())).logprobs
    assert torch.equal(was, now)


def test_a_copy_of_the_base_holds_only_what_learns_a_second_time() -> None:
    lora, full, freeze = (opened(method).base for method in METHODS)
    model = opened(Freeze(layers=1))
    frozen = {p.data_ptr() for p in model.network.parameters() if not p.requires_grad}
    copied = {p.data_ptr() for p in model.base.model.network.parameters()}
    assert frozen <= copied
    assert not {p.data_ptr() for p in model.network.parameters() if p.requires_grad} & copied
    assert full.bytes > freeze.bytes > lora.bytes == 0


def test_a_stronger_pull_ends_nearer_to_the_base() -> None:
    ends = []
    for kl in (0.0, 1.0, 100.0):
        model = opened(LoRA(rank=4))
        learned = [p for p in model.network.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(learned, weight_decay=0.0)
        for _ in range(12):
            update(model, SFT(kl=kl), [pack(rows())], optimizer, lr=1e-2)
        with torch.no_grad():
            ends.append(float(forward(model, pack(rows()), needs=frozenset({"divergence"})).divergence.mean()))
    assert ends[0] > ends[1] > ends[2]


def test_a_base_that_was_not_kept_is_refused_with_the_remedy() -> None:
    with pytest.raises(ModelError, match="keep_base"):
        forward(opened(LoRA(), base=False), pack(rows()), needs=frozenset({"divergence"}))


def test_the_sum_adds_the_weighted_divergence_and_logs_it() -> None:
    batch = pack([TokenSequence(np.array([4, 5, 6]), np.array([0, 1, 0.5], np.float32), "hand")])
    scores = ToyScores(torch.tensor([0.5, 0.25]).log(), torch.tensor([-3.0, -2.0]), torch.tensor([0.2, 0.6]))
    loss, logged = SFT(kl=0.1)(scores, batch)
    nll = math.log(2) + 0.5 * math.log(4)
    assert float(loss) == pytest.approx(nll + 0.1 * (0.2 + 0.5 * 0.6))
    assert float(logged["nll"]) == pytest.approx(nll)
    assert float(logged["divergence"]) == pytest.approx(0.5)


@pytest.mark.parametrize("objective", [SFT(kl=0.3), SFT(kl=5.0, label_smoothing=0.1)])
def test_the_pull_keeps_the_contract(objective: SFT) -> None:
    contract.check(objective)


@pytest.mark.parametrize("kl", [-0.1, math.nan, math.inf])
def test_a_pull_outside_its_range_is_refused(kl: float) -> None:
    with pytest.raises(RecipeError, match="kl"):
        SFT(kl=kl)


def test_switching_the_adapter_off_for_the_base_leaves_it_on() -> None:
    model = opened(LoRA(rank=4))
    with switched_off(model.network):
        off = forward(model, pack(rows())).logprobs
    forward(model, pack(rows()), needs=frozenset({"divergence"}))
    assert not torch.equal(forward(model, pack(rows())).logprobs, off)
