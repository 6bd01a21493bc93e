"""A linear head reads the state that an answer would begin at, in the forest as in transformers' own classifier."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import families
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import LlamaForSequenceClassification

from luthier.batch import pack
from luthier.errors import ModelError
from luthier.methods import Full, LoRA, Method, restore, save, switched_off
from luthier.model.accept import accept
from luthier.model.forward import evaluating, forward
from luthier.model.leaf import NAME, WEIGHTS, LeafHead, attach_head, leaf_head, read_head, save_head, without_head
from luthier.model.load import Model
from luthier.objectives import Classify, Objective, Regress, contract
from luthier.train.step import update
from luthier.types import TokenSequence

LABELS = ("bad", "fair", "good")
HEAD = frozenset({"head"})


def opened(method: Method | None = None, *, head: LeafHead | None = None, shared: bool = True) -> Model:
    network = families.network("llama", dtype=torch.float32)
    model = Model(network, None, "tiny", torch.device("cpu"), torch.float32, frozenset({2}), max_length=128)
    if shared:
        accept(model)
    if method is not None:
        method.attach(network, dtype=torch.float32, seed=0)
    width = network.config.hidden_size
    attach_head(network, head or LeafHead(width, LABELS)).start(3)
    return model


def rows() -> list[TokenSequence]:
    """Prompts with a long beginning in common, and a token behind each that the head's state would predict."""
    draw = np.random.default_rng(3)
    stem = draw.integers(3, 61, 20)
    made = []
    for group, length in enumerate((3, 5, 9, 4, 7)):
        tokens = np.concatenate((stem, draw.integers(3, 61, length))) if group < 4 else draw.integers(3, 61, 9)
        weight = np.zeros(len(tokens), np.float32)
        weight[-1] = 1 + group % 2
        made.append(TokenSequence(tokens, weight, f"row:{group}", group=group, score=float(group % 3)))
    return made


@pytest.mark.parametrize("objective", [Classify(), Classify(label_smoothing=0.2), Regress(), Regress(delta=0.5)])
def test_the_objectives_keep_the_contract(objective: Objective) -> None:
    contract.check(objective)


def test_classification_by_hand() -> None:
    batch = pack(rows()[:2])
    said = torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]]).log()
    loss, logged = Classify()(contract.ToyScores(torch.zeros(2), None, None, said), batch)
    assert float(loss) == pytest.approx(-(np.log(0.7) + 2 * np.log(0.5)))
    assert float(logged["right"]) == 3.0


def test_regression_by_hand() -> None:
    batch = pack([replace(row, score=score) for row, score in zip(rows()[:2], (1.0, -1.0), strict=True)])
    scores = contract.ToyScores(torch.zeros(2), None, None, torch.tensor([[3.0], [-1.5]]))
    assert float(Regress()(scores, batch)[0]) == pytest.approx(0.5 * 4 + 2 * 0.5 * 0.25)
    assert float(Regress(delta=1.0)(scores, batch)[0]) == pytest.approx((2 - 0.5) + 2 * 0.5 * 0.25)


def test_the_forest_says_what_the_rows_say_side_by_side() -> None:
    shared, apart = opened(), opened(shared=False)
    assert shared.shared
    assert not apart.shared
    batch = pack(rows())
    assert batch.distinct < batch.logical
    found = [forward(model, batch, needs=HEAD).head for model in (shared, apart)]
    torch.testing.assert_close(*found, atol=1e-5, rtol=0)


def test_it_is_transformers_own_classifier_with_the_same_weights() -> None:
    model = opened()
    head = leaf_head(model.network)
    assert head is not None
    config = deepcopy(model.network.config)
    config._attn_implementation = "sdpa"
    config.num_labels, config.pad_token_id = len(LABELS), 0
    peer = LlamaForSequenceClassification(config).eval()
    peer.model.load_state_dict(model.network.model.state_dict())
    with torch.no_grad():
        head.linear.bias.zero_()
        peer.score.weight.copy_(head.linear.weight)
        for row in rows():
            theirs = peer(input_ids=torch.from_numpy(row.tokens[None, :-1])).logits.log_softmax(-1)
            ours = forward(model, pack([row]), needs=HEAD).head
            torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


@pytest.mark.parametrize("method", [LoRA(rank=4), Full()], ids=lambda one: type(one).__name__)
def test_saved_beside_what_the_method_learned_and_restored_to_the_bit(tmp_path: Path, method: Method) -> None:
    model = opened(method)
    for _ in range(2):
        learned = [p for p in model.network.parameters() if p.requires_grad]
        update(model, Classify(), [pack(rows())], torch.optim.SGD(learned, lr=0.1), lr=0.1)
    save(model.network, method, tmp_path)
    with evaluating(model):
        before = forward(model, pack(rows()), needs=HEAD).head
    fresh = opened(method)
    restore(fresh.network, tmp_path)
    with evaluating(fresh):
        assert torch.equal(before, forward(fresh, pack(rows()), needs=HEAD).head)
    held = [file for file in tmp_path.glob("*.safetensors") if file.name != "head.safetensors"]
    assert not any(NAME in file.read_bytes()[:100_000].decode("latin-1") for file in held)
    assert not any(name.startswith(NAME) for name in without_head(model.network))


def test_switched_off_it_is_not_there_and_an_objective_that_needs_it_is_told() -> None:
    model = opened(LoRA(rank=4))
    assert leaf_head(model.network) is not None
    with switched_off(model.network):
        assert leaf_head(model.network) is None
        with pytest.raises(ModelError, match="carries no head"):
            forward(model, pack(rows()), needs=HEAD)


def test_a_head_of_other_labels_is_refused(tmp_path: Path) -> None:
    save(opened(LoRA(rank=4)).network, LoRA(rank=4), tmp_path)
    width = families.network("llama", dtype=torch.float32).config.hidden_size
    with pytest.raises(ModelError, match="other labels"):
        restore(opened(LoRA(rank=4), head=LeafHead(width, ("no", "yes"))).network, tmp_path)


def test_it_reads_what_tells_states_apart_and_other_tools_read_the_same(tmp_path: Path) -> None:
    draw = torch.Generator().manual_seed(0)
    states = 50 + torch.randn(9, 6, generator=draw) / 3
    head = LeafHead(6, ["a", "b", "c"])
    head.start(0)
    plain = head.linear(states)
    head.read_by(states)
    read = (states - head.center) / head.unit
    torch.testing.assert_close(read.mean(dim=0), torch.zeros(6), rtol=0, atol=1e-4)
    assert abs(float(read.square().mean().sqrt()) - 1) < 1e-4
    assert plain.std(dim=0).max() < head.linear(read).std(dim=0).max() / 2, "without it, rows look nearly alike"
    network = nn.Module()
    network.leaf_head = head
    save_head(network, tmp_path)
    stored, again = load_file(tmp_path / WEIGHTS), read_head(tmp_path)
    torch.testing.assert_close(
        (states @ stored["weight"].T + stored["bias"]).log_softmax(-1), head(states), rtol=0, atol=1e-4
    )
    assert again is not None
    assert torch.equal(again(states), head(states)), "what goes on has the bits of what was saved"


def test_states_that_are_all_alike_leave_the_unit() -> None:
    head = LeafHead(4)
    head.read_by(torch.ones(3, 4))
    assert float(head.unit) == 1
    assert torch.isfinite(head(torch.ones(2, 4))).all()
