"""The forest engine against one sequence at a time, over transformers' decoder families; controls must fail."""

from dataclasses import replace

import families
import numpy as np
import pytest
import torch

from luthier.batch import Batch, pack
from luthier.errors import ModelError
from luthier.model.accept import accept
from luthier.model.attention import NAME
from luthier.model.forward import forward, head, paths, trunk
from luthier.model.load import Model, set_dropout
from luthier.model.plan import Plan, plan
from luthier.types import TokenSequence

EXPERTS = ("gpt_oss", "mixtral", "qwen2_moe", "qwen3_moe", "olmoe", "deepseek_v3")
REFUSED = (
    *("stablelm", "nemotron", "gptj", "gpt_neo", "mpt", "bloom", "falcon"),
    *("mamba", "mamba2", "qwen3_next", "lfm2", "jamba", "recurrent_gemma"),
)
ACCEPTED = [name for name in families.every() if name not in (*REFUSED, "rwkv")]
WINDOWED = ("mistral", "ministral", "gemma2", "gemma3_text", "cohere2", "gpt_oss", "olmo3", "exaone4")


def opened(family: str, dtype: torch.dtype, weights: torch.dtype | None = None) -> Model:
    network = families.network(family, dtype=weights or dtype).to(dtype)
    model = Model(network, None, family, torch.device("cpu"), dtype, frozenset({2}), max_length=128)
    accept(model)
    return model


def forest(seed: int, *, depth: int = 5, vocabulary: int = 61) -> list[TokenSequence]:
    """Random sequences that branch up to `depth` times, some by one token, with a duplicate and a prefix of another."""
    draw = np.random.default_rng(seed)
    rows = [draw.integers(0, vocabulary, 6)]
    for _ in range(depth):
        stem = rows[draw.integers(len(rows))]
        for _ in range(2):
            cut = int(draw.integers(1, len(stem) + 1))
            rows.append(np.concatenate((stem[:cut], draw.integers(0, vocabulary, draw.choice([1, 2, 9])))))
    rows += [rows[3], rows[-1][: len(rows[-1]) // 2 + 1], draw.integers(0, vocabulary, 4)]
    weight = [np.where(draw.random(len(r)) < 0.7, draw.random(len(r)), 0).astype(np.float32) for r in rows]
    for w in weight:
        w[0] = 0
    return [TokenSequence(r.astype(np.int64), w, str(i)) for i, (r, w) in enumerate(zip(rows, weight, strict=True))]


def single(model: Model, batch: Batch) -> torch.Tensor:
    """The oracle: transformers' own forward and attention, one sequence at a time; the logprobs of the scored pairs."""
    before = model.network.config._attn_implementation
    model.network.set_attn_implementation("eager")
    found = []
    for s, path in enumerate(paths(batch)):
        logits = model.network(input_ids=batch.tokens[path][None], use_cache=False).logits[0]
        logprobs = torch.log_softmax(logits.to(torch.promote_types(logits.dtype, torch.float32)), -1)
        mine = batch.target[batch.sequence == s]
        found.append(logprobs[batch.depth[mine] - 1, batch.tokens[mine]])
    model.network.set_attn_implementation(before)
    return torch.cat(found)


def result(model: Model, batch: Batch, logprobs: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logprobs, and the gradient of their weighted sum for every parameter."""
    model.network.zero_grad()
    (logprobs * batch.weight).sum().backward()
    grads = {n: p.grad.clone() for n, p in model.network.named_parameters() if p.grad is not None}
    return logprobs.detach(), grads


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    """Relative difference in the Euclidean norm."""
    return float((a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-30))


def gaps(one: tuple, other: tuple) -> float:
    """The larger relative difference of the logprobs and of the gradient as a whole."""
    whole = [torch.cat([g.double().flatten() for g in grads.values()]) for _, grads in (one, other)]
    return max(gap(one[0], other[0]), gap(*whole))


def worst_parameter(one: tuple, other: tuple) -> float:
    """The largest relative difference of one parameter's gradient.

    A key's bias, to which softmax is blind, has none but rounding, and is measured against 1 % of the whole gradient.
    """
    assert one[1].keys() == other[1].keys()
    floor = 0.01 * float(torch.stack([g.double().norm() for g in other[1].values()]).norm())
    return max(float((one[1][n] - g).norm()) / max(float(g.norm()), floor) for n, g in other[1].items())


@pytest.mark.parametrize("family", ACCEPTED)
def test_logprobs_and_gradients_agree_with_one_sequence_at_a_time(family):
    dtype = torch.float32 if family in EXPERTS else torch.float64
    limit = 1e-5 if family in EXPERTS else 1e-10 if family == "gpt2" else 1e-6
    model = opened(family, dtype, torch.float32)
    assert model.shared, model.reason
    for seed in (0, 1):
        batch = pack(forest(seed), worthwhile=1)
        assert batch.distinct < batch.logical
        shared = result(model, batch, forward(model, batch).logprobs)
        alone = result(model, batch, single(model, batch))
        assert gaps(shared, alone) < limit
        assert worst_parameter(shared, alone) < 10 * limit


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gemma2", "gpt_neox", "cohere2"])
def test_float32_agrees_to_its_own_rounding(family):
    exact, model = opened(family, torch.float64, torch.float32), opened(family, torch.float32)
    batch = pack(forest(2), worthwhile=1)
    assert gap(forward(model, batch).logprobs, single(exact, batch)) < 1e-5


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen3", "gemma"])
def test_bfloat16_errs_no_more_than_the_unshared_path(family):
    exact, model = opened(family, torch.float32), opened(family, torch.bfloat16, torch.float32)
    exact.network.load_state_dict(model.network.state_dict())
    mine, theirs = [], []
    for seed in range(12):
        batch = pack(forest(seed), worthwhile=1)
        truth = result(exact, batch, single(exact, batch))
        for errors, shared in ((mine, True), (theirs, False)):
            found = result(model, batch, forward(unshared(model, shared), batch).logprobs)
            errors.append([float((found[0] - truth[0]).norm() / truth[0].norm())])
            errors[-1] += [float((found[1][n].float() - g).norm() / (g.norm() + 1e-9)) for n, g in truth[1].items()]
    assert np.mean(mine) <= 1.1 * np.mean(theirs)


def unshared(model: Model, shared: bool) -> Model:
    model.network.set_attn_implementation(NAME if shared else "sdpa")
    return replace(model, shared=shared)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_control_a_plain_causal_mask_fails(family):
    model = opened(family, torch.float64, torch.float32)
    batch = pack(forest(0), worthwhile=1)
    wrong = plan(batch, dense=True)
    wrong.end = torch.full_like(batch.end, batch.distinct)
    assert gap(scored(model, batch, wrong), single(model, batch)) > 1e-2


@pytest.mark.parametrize("family", ["mistral", "gemma3_text"])
def test_control_a_window_over_packed_indexes_fails(family):
    model = opened(family, torch.float64, torch.float32)
    batch = pack(forest(0), worthwhile=1)
    wrong = plan(batch, dense=True)
    wrong.query_depth = wrong.key_depth = wrong.index
    assert gap(scored(model, batch, plan(batch)), single(model, batch)) < 1e-6
    assert gap(scored(model, batch, wrong), single(model, batch)) > 1e-3


def scored(model: Model, batch: Batch, forest: Plan) -> torch.Tensor:
    rows, row = batch.parent[batch.target].unique(return_inverse=True)
    hidden = trunk(model, batch, forest)[rows]
    return head(model.network).logprobs(hidden, row, batch.tokens[batch.target], uniform=False)[0]


def test_the_cascade_equals_the_dense_mask_over_long_nodes_too():
    model = opened("llama", torch.float64, torch.float32)
    draw = np.random.default_rng(0)
    stem = draw.integers(0, 61, 40)
    rows = [np.concatenate((stem, draw.integers(0, 61, k))) for k in (70, 3, 3, 17, 1)]
    rows.append(np.concatenate((rows[0][:60], draw.integers(0, 61, 50))))
    made = [TokenSequence(r, (np.arange(len(r)) > 0).astype(np.float32), "r") for r in rows]
    batch = pack(made, worthwhile=1)
    cascade = result(model, batch, scored(model, batch, plan(batch)))
    dense = result(model, batch, scored(model, batch, plan(batch, dense=True)))
    assert gaps(cascade, dense) < 1e-9


@pytest.mark.parametrize("family", REFUSED)
def test_what_mixes_along_the_sequence_otherwise_is_refused_and_trains_unshared(family):
    model = opened(family, torch.float32)
    assert not model.shared
    assert model.reason
    batch = pack(forest(0), worthwhile=1)
    assert gap(forward(model, batch).logprobs, single(model, batch)) < 1e-4


def test_the_mean_over_the_vocabulary_comes_when_needed():
    model = opened("llama", torch.float64, torch.float32)
    batch = pack(forest(0), worthwhile=1)
    got = forward(model, batch, needs=frozenset({"uniform"}))
    hidden = trunk(model, batch)[batch.parent[batch.target]]
    expected = torch.log_softmax(model.network.lm_head(hidden), -1)
    torch.testing.assert_close(got.uniform, expected.mean(-1))
    got.uniform.sum().backward()
    mine = model.network.lm_head.weight.grad.clone()
    model.network.zero_grad()
    expected.mean(-1).sum().backward()
    torch.testing.assert_close(mine, model.network.lm_head.weight.grad)


def test_chunks_of_the_head_change_nothing(monkeypatch):
    model = opened("gemma2", torch.float64, torch.float32)
    batch = pack(forest(0), worthwhile=1)
    whole = result(model, batch, forward(model, batch).logprobs)
    monkeypatch.setattr("luthier.model.head.CHUNK_BYTES", 61 * 8 * 2)
    assert gaps(result(model, batch, forward(model, batch).logprobs), whole) < 1e-12


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_keeping_the_probabilities_changes_nothing_but_rounding(monkeypatch, dtype):
    model = opened("llama", dtype, torch.float32)
    batch = pack([*forest(0), *forest(0)], worthwhile=1)
    kept = result(model, batch, forward(model, batch).logprobs)
    monkeypatch.setattr("luthier.model.head.KEPT_BYTES", 0)
    assert gaps(result(model, batch, forward(model, batch).logprobs), kept) < (
        1e-12 if dtype == torch.float64 else 0.01
    )


def test_switching_the_window_on_needs_paths_longer_than_it():
    assert all(family in ACCEPTED for family in WINDOWED)
    assert pack(forest(0), worthwhile=1).longest > 7


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
def test_float32_masters_compute_in_bfloat16_under_autocast(family):
    model = opened(family, torch.float32)
    batch = pack(forest(0), worthwhile=1)
    exact = result(model, batch, forward(model, batch).logprobs)
    half = result(
        replace(model, dtype=torch.bfloat16), batch, forward(replace(model, dtype=torch.bfloat16), batch).logprobs
    )
    assert all(grad.dtype == torch.float32 for grad in half[1].values())
    assert 1e-6 < gaps(half, exact) < 0.05


def test_attention_that_drops_out_in_training_is_refused_until_it_does_not():
    network = families.network("gpt2")
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.1
    model = Model(network, None, "gpt2", torch.device("cpu"), torch.float32, frozenset({2}), max_length=128)
    accept(model)
    assert not model.shared
    assert "model.dropout=0" in model.reason
    set_dropout(network, 0.2)
    accept(model)
    assert model.shared, model.reason
    assert network.transformer.drop.p == 0.2
    with pytest.raises(ModelError, match=r"method\.dropout"):
        set_dropout(families.network("llama"), 0.1)
