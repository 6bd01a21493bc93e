"""Generation and choice: neither depends on what stands beside a prompt, nor on the cache."""

import families
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.errors import ShapeError
from luthier.model.accept import accept
from luthier.model.choose import choose, choose_by_all
from luthier.model.decoder import Decoder
from luthier.model.generate import generate
from luthier.model.load import Model


def opened(family: str, stop: frozenset[int] = frozenset({2})) -> Model:
    network = families.network(family)
    model = Model(network, None, family, torch.device("cpu"), torch.float32, stop, max_length=128)
    accept(model)
    return model


def prompts(seed: int, n: int = 6) -> list[list[int]]:
    draw = np.random.default_rng(seed)
    stem = draw.integers(3, 61, 11).tolist()
    return [stem[: draw.integers(1, 12)] + draw.integers(3, 61, draw.integers(1, 9)).tolist() for _ in range(n)]


def by_hand(model: Model, prompt: list[int], limit: int) -> list[int]:
    """Greedy without a cache, through transformers' own forward."""
    model.network.set_attn_implementation("eager")
    tokens = list(prompt)
    for _ in range(limit):
        with torch.no_grad():
            token = int(model.network(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax())
        if token in model.stop:
            break
        tokens.append(token)
    model.network.set_attn_implementation("luthier_forest")
    return tokens[len(prompt) :]


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral", "gemma2", "gemma3_text", "gpt_oss", "cohere2"])
def test_greedy_tokens_are_those_of_the_plain_forward_in_any_company(family):
    model = opened(family, frozenset({2, 17}))
    asked = prompts(0)
    together = generate(model, asked, max_new_tokens=12)
    assert [g.tokens for g in together] == [by_hand(model, p, 12) for p in asked]
    assert [generate(model, [p], max_new_tokens=12)[0] for p in asked] == together
    assert generate(model, asked[::-1], max_new_tokens=12) == together[::-1]


def test_a_refused_model_generates_the_same_way():
    model = opened("mamba")
    assert not model.shared
    told: list[int] = []
    said = generate(model, prompts(1, 2), max_new_tokens=5, progress=told.append)
    assert told == [1, 2]
    assert all(len(g.tokens) == 5 or g.stopped for g in said)


def test_sampling_is_the_seeds_and_near_zero_temperature_is_greedy():
    model = opened("llama")
    asked = prompts(2)
    hot = [generate(model, asked, max_new_tokens=8, temperature=1.0, seed=s) for s in (0, 0, 1)]
    assert hot[0] == hot[1] != hot[2]
    cold = generate(model, asked, max_new_tokens=8, temperature=1e-4)
    assert cold == generate(model, asked, max_new_tokens=8)


def test_the_limit_is_kept_and_stopping_is_told_from_it():
    model = opened("llama", frozenset(range(30)))
    said = generate(model, prompts(3), max_new_tokens=4)
    assert all(len(g.tokens) <= 4 and not model.stop & set(g.tokens) for g in said)
    assert {g.stopped for g in said} == {True, False} or all(g.stopped for g in said)


trees = st.lists(st.lists(st.integers(3, 8), min_size=1, max_size=5).map(lambda c: [*c, 2]), min_size=1, max_size=12)


@settings(max_examples=40)
@given(trees, st.integers(0, 99))
def test_the_searched_choice_is_the_maximum_over_all_candidates(candidates, seed):
    model = MODEL
    asked = prompts(seed, 4)
    fast, slow = choose(model, asked, candidates), choose_by_all(model, asked, candidates, budget=50)
    for one, other in zip(fast, slow, strict=True):
        best = max(other.logprobs)
        assert one.logprobs[one.best] == pytest.approx(best, abs=1e-4)
        assert other.logprobs[one.best] == pytest.approx(best, abs=1e-4)
        assert all(bound >= exact - 1e-4 for bound, exact in zip(one.logprobs, other.logprobs, strict=True))


@settings(max_examples=40)
@given(trees, st.integers(0, 99), st.floats(0, 8))
def test_a_margin_brings_exactly_the_candidates_within_it(candidates, seed, margin):
    asked = prompts(seed, 4)
    fast = choose(MODEL, asked, candidates, margin=margin)
    for one, other in zip(fast, choose_by_all(MODEL, asked, candidates, margin=margin), strict=True):
        edge = other.logprobs[other.best] - margin
        near = {at for at, value in enumerate(other.logprobs) if value > edge + 1e-3}
        assert near <= {*one.near, one.best}
        assert all(other.logprobs[at] > edge - 1e-3 for at in one.near)
        assert [one.logprobs[at] for at in one.near] == pytest.approx([other.logprobs[at] for at in one.near], abs=1e-4)
        missed = sum(np.exp(value) for at, value in enumerate(other.logprobs) if at not in one.near)
        assert missed <= one.left_out + 1e-4


def test_without_a_margin_only_the_best_is_near():
    assert all(found.near == [found.best] for found in choose(MODEL, prompts(0), [[5, 2], [6, 7, 2], [8, 2]]))


MODEL = opened("llama")


def test_branches_that_cannot_win_are_left_out(monkeypatch):
    steps: list[int] = []
    step = Decoder.step
    monkeypatch.setattr(
        Decoder, "step", lambda self, rows, tokens: (steps.append(len(tokens)), step(self, rows, tokens))[1]
    )
    sharp = opened("llama")
    sharp.network.lm_head.weight.data *= 30
    candidates = [[token, *range(3, 9), 2] for token in range(3, 60)]
    (found,) = choose(sharp, prompts(0, 1), candidates)
    assert found.best == choose_by_all(sharp, prompts(0, 1), candidates)[0].best
    assert sum(steps) < 57 * 7


def test_a_refused_model_chooses_by_all():
    model = opened("mamba")
    assert choose(model, prompts(0, 2), [[5, 2], [6, 7, 2]]) == choose_by_all(model, prompts(0, 2), [[5, 2], [6, 7, 2]])


def test_empty_prompts_and_candidates_are_refused():
    with pytest.raises(ShapeError):
        choose(MODEL, prompts(0), [[]])
    with pytest.raises(ShapeError):
        generate(MODEL, [[]], max_new_tokens=1)


def test_how_many_rows_go_on_together_changes_nothing(monkeypatch):
    asked = prompts(4, 5)
    candidates = [[token, 4, 2] for token in range(5, 20)]
    whole = generate(MODEL, asked, max_new_tokens=6), [c.best for c in choose(MODEL, asked, candidates)]
    monkeypatch.setattr("luthier.model.generate.AT_ONCE", 2)
    assert (generate(MODEL, asked, max_new_tokens=6), [c.best for c in choose(MODEL, asked, candidates)]) == whole
