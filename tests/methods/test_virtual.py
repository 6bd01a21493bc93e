"""Virtual tokens as the root of the forest: packed, decoding, beside transformers' own forward; what refuses them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import families
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import DynamicCache, PreTrainedTokenizerFast

from luthier.batch import Batch, pack
from luthier.errors import ModelError, RecipeError
from luthier.methods import Method, PrefixTuning, PromptTuning, switched_off
from luthier.methods.several import as_opened
from luthier.methods.virtual import Virtual, carried
from luthier.model.accept import accept
from luthier.model.attention import NAME
from luthier.model.choose import choose, choose_by_all
from luthier.model.cut import find_cut
from luthier.model.decoder import Decoder
from luthier.model.forward import forward, head, paths, trunk
from luthier.model.generate import generate
from luthier.model.load import Model
from luthier.model.plan import Plan, plan
from luthier.types import TokenSequence

METHODS: tuple[Method, ...] = (PrefixTuning(tokens=5), PromptTuning(tokens=5))
SHARING = ("llama", "gpt2", "opt", "mistral", "gemma2")
"""Of the last two, layers see 7 tokens back; of OPT, the trunk is not what its own forward calls."""

both = pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)


def base(family: str, dtype: torch.dtype = torch.float64) -> Model:
    """A small network of a family; its windows hold 7 tokens."""
    network = families.network(family, dtype=torch.float32).to(dtype)
    model = Model(network, None, family, torch.device("cpu"), dtype, frozenset({2, 17}), max_length=128)
    accept(model)
    return model


def opened(family: str, method: Method, dtype: torch.dtype = torch.float64) -> Model:
    """The same with virtual tokens that learning has moved off their start."""
    model = base(family, dtype)
    method.attach(model.network, dtype=dtype, seed=3)
    root = virtual(model).to(torch.promote_types(dtype, torch.float32))
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        root.weight += 0.3 * root.weight.std() * torch.randn(root.weight.shape, generator=draw).to(root.weight)
    return model


def virtual(model: Model) -> Virtual:
    found = carried(model.network, Virtual)
    assert found is not None
    return found


def rows(seed: int = 0) -> list[list[int]]:
    """Rows with beginnings in common, some longer than a window."""
    draw = np.random.default_rng(seed)
    stem = draw.integers(3, 61, 20).tolist()
    lengths = ((1, 2), (6, 5), (6, 1), (20, 3), (20, 9), (12, 2))
    return [stem[:k] + draw.integers(3, 61, j).tolist() for k, j in lengths]


def packed(made: list[list[int]], *, worthwhile: int = 1) -> Batch:
    """All but the first token of each row is scored."""
    weights = [np.concatenate(([0.0], np.ones(len(row) - 1))).astype(np.float32) for row in made]
    return pack(
        [TokenSequence(np.array(r), w, "row") for r, w in zip(made, weights, strict=True)], worthwhile=worthwhile
    )


def one_at_a_time(model: Model, batch: Batch) -> Tensor:
    """Transformers' own forward and attention, whose cache or input the virtual tokens are in."""
    before, found = model.network.config._attn_implementation, []
    model.network.set_attn_implementation("eager")
    for path in paths(batch):
        tokens = batch.tokens[path]
        logits = model.network(input_ids=tokens[None], use_cache=False).logits[0, :-1]
        found.append(torch.log_softmax(logits, -1).gather(1, tokens[1:, None])[:, 0])
    model.network.set_attn_implementation(before)
    return torch.cat(found)


def learned(model: Model, logprobs: Tensor) -> Tensor:
    """The gradient that reaches the virtual tokens."""
    weight = virtual(model).weight
    weight.grad = None
    logprobs.square().sum().backward()
    assert weight.grad is not None
    return weight.grad.clone()


def agree(one: Tensor, other: Tensor, limit: float = 1e-6) -> None:
    """Transformers computes norms and rotary tables in float32 inside, so float64 agrees to about 1e-7."""
    assert float((one - other).detach().norm() / other.detach().norm()) < limit


@both
@pytest.mark.parametrize("family", SHARING)
def test_packed_rows_agree_with_transformers_own_forward_one_at_a_time(family: str, method: Method) -> None:
    model, batch = opened(family, method), packed(rows())
    assert model.shared
    assert batch.distinct < batch.logical
    shared, alone = forward(model, batch).logprobs, one_at_a_time(model, batch)
    agree(shared, alone)
    agree(learned(model, shared), learned(model, alone))


@both
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_control_without_the_root_packed_rows_are_far_off(family: str, method: Method) -> None:
    model, batch = opened(family, method), packed(rows())
    with switched_off(model.network):
        off = forward(model, batch).logprobs
    with pytest.raises(AssertionError):
        agree(off, one_at_a_time(model, batch), 1e-2)


def test_control_a_prefix_that_does_not_move_the_rows_on_is_another_model() -> None:
    model, batch = opened("llama", PrefixTuning(tokens=5)), packed(rows()[-1:])
    right = one_at_a_time(model, batch)
    cache = DynamicCache()
    for at, pair in enumerate(virtual(model).read(torch.float64)):
        cache.update(*pair, at)
    with switched_off(model.network):
        model.network.set_attn_implementation("eager")
        positions = torch.arange(batch.distinct)[None]
        logits = model.network(input_ids=batch.tokens[None], past_key_values=cache, position_ids=positions).logits[0]
    unmoved = torch.log_softmax(logits[:-1], -1).gather(1, batch.tokens[1:, None])[:, 0]
    with pytest.raises(AssertionError):
        agree(unmoved, right, 1e-3)


@both
@pytest.mark.parametrize("family", SHARING)
def test_untrained_it_reads_a_row_as_the_base_reads_it_behind_the_words_it_starts_from(
    family: str, method: Method
) -> None:
    """No learned number is in it, so the base itself is the oracle: of windows, positions and what is seen."""
    model = base(family)
    words = method.start(model.network, torch.Generator().manual_seed(3)).tolist()
    longer = packed([[*words, *row] for row in rows()])
    scored = longer.depth[longer.target] > len(words)
    expected = forward(model, longer).logprobs[scored]
    method.attach(model.network, dtype=torch.float64, seed=3)
    agree(forward(model, packed(rows())).logprobs, expected)


@both
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_the_cascade_agrees_with_the_dense_mask_forward_and_backward(family: str, method: Method) -> None:
    model = opened(family, method)
    long = np.random.default_rng(5).integers(3, 61, (2, 70)).tolist()
    batch = packed([*rows(), long[0], long[0][:40] + long[1]])
    cascade = scored(model, batch, plan(batch))
    dense = scored(model, batch, plan(batch, dense=True))
    agree(cascade, dense, 1e-12)
    agree(learned(model, cascade), learned(model, dense), 1e-11)


def scored(model: Model, batch: Batch, forest: Plan) -> Tensor:
    at, row = batch.parent[batch.target].unique(return_inverse=True)
    hidden = trunk(model, batch, forest)[at]
    return head(model.network).logprobs(hidden, row, batch.tokens[batch.target], uniform=False)[0]


@both
def test_a_model_that_cannot_share_computes_the_same_side_by_side(method: Method) -> None:
    model, batch = opened("stablelm", method), packed(rows())
    assert not model.shared
    side, alone = forward(model, batch).logprobs, one_at_a_time(model, batch)
    agree(side, alone)
    agree(learned(model, side), learned(model, alone))


@both
@pytest.mark.parametrize("family", ["llama", "gemma2", "stablelm"])
def test_generation_is_the_full_recomputation_in_any_company(family: str, method: Method) -> None:
    model = opened(family, method, torch.float32)
    asked = rows(2)
    together = generate(model, asked, max_new_tokens=6)
    assert [one.tokens for one in together] == [recomputed(model, prompt, 6) for prompt in asked]
    assert [generate(model, [prompt], max_new_tokens=6)[0] for prompt in asked[-2:]] == together[-2:]
    with switched_off(model.network):
        assert generate(model, asked, max_new_tokens=6) != together


def recomputed(model: Model, prompt: list[int], limit: int) -> list[int]:
    """Greedy without a cache, through transformers' own forward."""
    before, tokens = model.network.config._attn_implementation, list(prompt)
    model.network.set_attn_implementation("eager")
    for _ in range(limit):
        with torch.no_grad():
            token = int(model.network(input_ids=torch.tensor([tokens]), use_cache=False).logits[0, -1].argmax())
        if token in model.stop:
            break
        tokens.append(token)
    model.network.set_attn_implementation(before)
    return tokens[len(prompt) :]


@both
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_the_searched_choice_is_the_maximum_over_all_candidates(family: str, method: Method) -> None:
    model = opened(family, method, torch.float32)
    candidates = [[5, 2], [5, 6, 2], [5, 6, 7, 2], [8, 9, 2], [8, 2]]
    fast, slow = choose(model, rows(4), candidates), choose_by_all(model, rows(4), candidates)
    for one, other in zip(fast, slow, strict=True):
        assert one.logprobs[one.best] == pytest.approx(max(other.logprobs), abs=1e-4)


@both
def test_switched_off_the_forest_too_is_the_base_to_the_bit(method: Method) -> None:
    batch, asked = packed(rows()), rows(2)
    plain, model = base("llama"), opened("llama", method)
    with switched_off(model.network):
        assert torch.equal(forward(model, batch).logprobs, forward(plain, batch).logprobs)
        assert generate(model, asked, max_new_tokens=4) == generate(plain, asked, max_new_tokens=4)


@pytest.mark.parametrize(("method", "computed"), [(METHODS[0], 0), (METHODS[1], 5)], ids=("prefix", "prompt"))
def test_the_root_is_computed_once_a_batch_and_held_once_while_decoding(method: Method, computed: int) -> None:
    model, batch, lengths = opened("llama", method), packed(rows()), []
    model.network.model.layers[0].register_forward_hook(lambda layer, given, out: lengths.append(given[0].shape[1]))
    forward(model, batch)
    assert lengths == [batch.distinct + computed]
    lengths.clear()
    with torch.no_grad():
        decoder = Decoder(model, rows(), room=len(rows()))
        batch = packed(rows(), worthwhile=16)
        decoder.step(decoder.start, [5] * len(rows()))
    assert lengths == [batch.distinct + computed, len(rows())]
    assert decoder.cache.length == batch.distinct + len(rows())
    assert all(pair[0].shape[2] == 5 for pair in decoder.cache.root.values())
    assert len(decoder.cache.root) == (3 if computed else 0)


@both
def test_in_bfloat16_it_errs_no_more_packed_than_side_by_side(method: Method) -> None:
    exact, half = opened("llama", method, torch.float32), opened("llama", method, torch.bfloat16)
    with torch.no_grad():
        virtual(half).weight.copy_(virtual(exact).weight)
    batch = packed(rows())
    truth, shared = forward(exact, batch).logprobs, forward(half, batch).logprobs
    half.network.set_attn_implementation("sdpa")
    half.shared = False
    error, yardstick = ((found - truth).norm() for found in (shared, forward(half, batch).logprobs))
    assert 0 < error < 1.5 * yardstick


@both
def test_it_starts_from_the_words_of_a_text_cut_or_repeated(method: Method, tmp_path: Path) -> None:
    model = base("llama")
    reader = Tokenizer(models.WordLevel({"answer": 7, "briefly": 9, "now": 11, "?": 0}, unk_token="?"))
    reader.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=reader, unk_token="?").save_pretrained(str(tmp_path))
    model.network.name_or_path = str(tmp_path)
    kind, draw = type(method), torch.Generator()
    assert kind(tokens=5, text="answer briefly").start(model.network, draw).tolist() == [7, 9, 7, 9, 7]
    assert kind(tokens=2, text="answer briefly now").start(model.network, draw).tolist() == [7, 9]
    with pytest.raises(ModelError, match="holds no token"):
        kind(text=" ").start(model.network, draw)


@both
def test_noise_starts_at_the_size_of_words(method: Method) -> None:
    sizes = []
    for init in ("words", "random"):
        model = base("llama", torch.float32)
        type(method)(tokens=32, init=init).attach(model.network, dtype=torch.float32)
        sizes.append(float(virtual(model).weight.detach().std()))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.1)


@both
@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"text": "answer", "init": "random"}])
def test_options_that_make_no_sense_are_refused(method: Method, wrong: dict[str, object]) -> None:
    with pytest.raises(RecipeError):
        type(method)(**wrong)  # type: ignore[arg-type]


def no_tokenizer(model: Model) -> None:
    model.network.name_or_path = "nowhere"
    PromptTuning(text="answer").attach(model.network, dtype=torch.float64)


def twice(model: Model) -> None:
    PromptTuning().attach(model.network, dtype=torch.float64)
    PrefixTuning().attach(model.network, dtype=torch.float64)


def no_room(model: Model) -> None:
    PrefixTuning(tokens=128).attach(model.network, dtype=torch.float64)
    forward(model, packed(rows()))


def by_embeddings(model: Model) -> None:
    PromptTuning().attach(model.network, dtype=torch.float64)
    model.network(inputs_embeds=torch.zeros(1, 3, 32, dtype=torch.float64))


@pytest.mark.parametrize(
    ("family", "wrong", "says"),
    [
        ("llama", no_tokenizer, "no tokenizer opens at 'nowhere'"),
        ("llama", twice, "virtual tokens already"),
        ("llama", no_room, "set model.max_length=0"),
        ("llama", by_embeddings, "input_ids"),
        ("mamba", lambda model: METHODS[0].attach(model.network, dtype=torch.float32), "use method prompt or lora"),
    ],
    ids=("no tokenizer", "twice", "no room", "by embeddings", "no keys"),
)
def test_what_cannot_be_done_is_refused_with_the_reason(family: str, wrong: Callable[[Model], None], says: str) -> None:
    model = base(family, torch.float32 if family == "mamba" else torch.float64)
    with pytest.raises(ModelError, match=says):
        wrong(model)


@both
def test_taken_off_it_leaves_the_base_to_the_bit_and_another_can_be_put_on(method: Method) -> None:
    model, batch = base("llama"), packed(rows())
    before, with_each = forward(model, batch).logprobs, []
    for seed in (0, 1):
        with as_opened(model.network):
            method.attach(model.network, dtype=torch.float64, seed=seed)
            with_each.append(forward(model, batch).logprobs)
        assert torch.equal(forward(model, batch).logprobs, before)
    fresh = base("llama")
    method.attach(fresh.network, dtype=torch.float64, seed=1)
    assert torch.equal(forward(fresh, batch).logprobs, with_each[1])
    assert not torch.equal(*with_each)


@both
def test_no_layer_is_frozen_below_virtual_tokens_that_learn(method: Method) -> None:
    cut = find_cut(opened("llama", method, torch.float32))
    assert (cut.layer, bool(cut.reason)) == (0, True)


def test_attaching_leaves_the_attention_as_it_was() -> None:
    assert opened("llama", METHODS[0]).network.config._attn_implementation == NAME


def test_keys_kept_in_another_shape_than_they_are_attended_to_stay_out_of_the_forest() -> None:
    model = opened("deepseek_v3", METHODS[0], torch.float32)
    with pytest.raises(ModelError, match=r"model\.shared=false"):
        forward(model, packed(rows()))
    model.network.set_attn_implementation("eager")
    model.shared = False
    agree(forward(model, packed(rows())).logprobs, one_at_a_time(model, packed(rows())), 1e-4)
