"""KL(base || tuned) against plain torch in float64, its gradients too; chunks, packing and switched-off adapters."""

import families
import numpy as np
import pytest
import torch
from torch import nn

from luthier.batch import Batch, pack
from luthier.errors import ShapeError
from luthier.methods import LoRA, switched_off
from luthier.model import divergence as module
from luthier.model.accept import accept
from luthier.model.divergence import Reference, apart, divergence, held, reference
from luthier.model.forward import paths
from luthier.model.head import Head
from luthier.model.load import Model
from luthier.types import TokenSequence

WIDTH, VOCABULARY = 7, 23


def opened(family: str, *, shared: bool = True) -> Model:
    network = families.network(family, dtype=torch.float64).to(torch.float64)
    model = Model(network, None, family, torch.device("cpu"), torch.float64, frozenset({2}), max_length=128)
    if shared:
        accept(model)
    return model


def forest() -> Batch:
    draw = np.random.default_rng(3)
    stem = draw.integers(0, 61, 24)
    rows = [np.concatenate((stem, draw.integers(0, 61, length))) for length in (3, 5, 9)] + [draw.integers(0, 61, 6)]
    weight = [np.where(draw.random(len(row)) < 0.6, 1, 0).astype(np.float32) for row in rows]
    for one in weight:
        one[0] = 0
    return pack([TokenSequence(r, w, str(i)) for i, (r, w) in enumerate(zip(rows, weight, strict=True))])


def logprobs(model: Model, batch: Batch) -> torch.Tensor:
    """The oracle's side: transformers' own forward, one sequence at a time: (m, v)."""
    before = model.network.config._attn_implementation
    model.network.set_attn_implementation("eager")
    found = []
    for at, path in enumerate(paths(batch)):
        logits = model.network(input_ids=batch.tokens[path][None], use_cache=False).logits[0]
        found.append(torch.log_softmax(logits, -1)[batch.depth[batch.target[batch.sequence == at]] - 1])
    model.network.set_attn_implementation(before)
    return torch.cat(found)


def plain(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    return nn.functional.kl_div(after, before, log_target=True, reduction="none").sum(-1)


def moved(model: Model, family: str) -> Model:
    """The same family with its weights moved: a tuned model."""
    other = opened(family, shared=model.shared)
    other.network.load_state_dict(model.network.state_dict())
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(1)
        for parameter in other.network.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
    return other


@pytest.mark.parametrize(
    ("family", "shared"), [("llama", True), ("gemma2", True), ("cohere", True), ("gpt2", True), ("gpt2", False)]
)
def test_a_forests_divergence_and_its_gradients_are_those_of_single_sequences(family: str, shared: bool) -> None:
    base, batch = opened(family, shared=shared), forest()
    tuned = moved(base, family)
    found = divergence(tuned, batch, reference(base, batch))
    wanted = plain(logprobs(base, batch).detach(), logprobs(tuned, batch))
    assert found.detach().min() > 1e-4
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-9)
    for value, parameters in ((found, tuned.network), (wanted, None)):
        tuned.network.zero_grad()
        (value * torch.linspace(0.5, 2, len(value))).sum().backward()
        grads = torch.cat([p.grad.flatten() for p in tuned.network.parameters() if p.grad is not None])
        if parameters is not None:
            mine = grads.clone()
    assert float((mine - grads).norm() / grads.norm()) < 1e-5


@pytest.mark.parametrize("learns", [True, False])
@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.3, None), (1.0, 2.0), (2.0, 3.0)])
def test_rows_and_gradients_are_those_of_plain_torch_however_they_are_cut(
    scale: float, softcap: float | None, learns: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        before, after = (Head(nn.Linear(WIDTH, VOCABULARY, dtype=torch.float64), scale, softcap) for _ in range(2))
        theirs, mine = torch.randn(2, 11, WIDTH, dtype=torch.float64) * 3
    after.linear.requires_grad_(learns)
    mine = mine.requires_grad_()
    with torch.no_grad():
        base = torch.log_softmax(before.logits(theirs), -1)
    wanted = plain(base, torch.log_softmax(after.logits(mine), -1))
    leaves = [mine, *(after.linear.parameters() if learns else ())]
    factor = torch.linspace(-1, 2, 11, dtype=torch.float64)
    for rows in (1, 4, 100):
        monkeypatch.setattr(module, "CHUNK_BYTES", 4 * VOCABULARY * 8 * rows)
        found = apart(mine, after, Reference(theirs, before))
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-13)
        grads = torch.autograd.grad((found * factor).sum(), leaves)
        truth = torch.autograd.grad((wanted * factor).sum(), leaves, retain_graph=True)
        for one, other in zip(grads, truth, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


def test_no_table_of_all_rows_is_ever_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_BYTES", 4 * VOCABULARY * 4 * 5)
    seen: list[int] = []
    whole = module.logits_of
    monkeypatch.setattr(module, "logits_of", lambda hidden, *rest: seen.append(len(hidden)) or whole(hidden, *rest))
    output = Head(nn.Linear(WIDTH, VOCABULARY))
    hidden = torch.randn(33, WIDTH, requires_grad=True)
    apart(hidden, output, Reference(torch.randn(33, WIDTH), output)).sum().backward()
    assert max(seen) == 5
    assert sum(seen) == 4 * 33


def test_an_adapters_base_is_itself_switched_off_and_a_copied_head_outlives_the_training() -> None:
    model, batch = opened("llama"), forest()
    LoRA(rank=2).attach(model.network, dtype=torch.float64)
    with switched_off(model.network):
        base = reference(model, batch)
    assert float(divergence(model, batch, base).detach().max()) == 0
    with torch.no_grad():
        for parameter in model.network.parameters():
            if parameter.requires_grad:
                parameter += 0.1
    divergence(model, batch, base).sum().backward()
    assert float(divergence(model, batch, base).detach().min()) > 0
    learned = [p for p in model.network.parameters() if p.requires_grad]
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in learned)
    kept = Reference(base.hidden, held(base.head))
    with torch.no_grad():
        base.head.linear.weight *= 3
    assert float(divergence(model, batch, kept).detach().mean()) != float(
        divergence(model, batch, base).detach().mean()
    )
    assert not kept.head.linear.weight.requires_grad


def test_half_precision_is_summed_in_float32() -> None:
    output = Head(nn.Linear(WIDTH, 5000).to(torch.bfloat16))
    theirs = torch.randn(3, WIDTH, dtype=torch.bfloat16)
    mine = (theirs + 0.05).requires_grad_()
    found = apart(mine, output, Reference(theirs, output))
    before, after = (torch.log_softmax(output.logits(one).double(), -1) for one in (theirs, mine))
    assert found.dtype is torch.float32
    torch.testing.assert_close(found.double(), plain(before, after), rtol=1e-3, atol=1e-6)


def test_a_reference_of_another_batch_is_refused() -> None:
    output = Head(nn.Linear(WIDTH, VOCABULARY))
    with pytest.raises(ShapeError, match="the base has 4 rows"):
        apart(torch.randn(5, WIDTH), output, Reference(torch.randn(4, WIDTH), output))
