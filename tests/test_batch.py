"""The forest holds what the sequences held: laws over random sequences, and worked examples."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from luthier.batch import Batch, cut, in_batches, pack, sum_by_sequence
from luthier.errors import ShapeError
from luthier.types import TokenSequence


def sequence(tokens, weight=None, **fields):
    weight = [0.0] + [1.0] * (len(tokens) - 1) if weight is None else weight
    return TokenSequence(np.array(tokens, np.int64), np.array(weight, np.float32), fields.pop("example", "x"), **fields)


lists = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), min_size=1, max_size=9)


def path(batch: Batch, leaf: int) -> list[int]:
    out = []
    while leaf >= 0:
        out.append(leaf)
        leaf = int(batch.parent[leaf])
    return out[::-1]


@settings(max_examples=200)
@given(lists)
def test_every_path_spells_its_sequence_and_each_prefix_is_there_once(rows):
    batch = pack([sequence(r) for r in rows], worthwhile=1)
    for leaf, row in zip(batch.leaf.tolist(), rows, strict=True):
        assert batch.tokens[path(batch, leaf)].tolist() == row
    assert batch.distinct == len({tuple(r[: i + 1]) for r in rows for i in range(len(r))})
    assert batch.logical == sum(map(len, rows))
    assert batch.depth.tolist() == [len(path(batch, i)) - 1 for i in range(batch.distinct)]


@settings(max_examples=200)
@given(lists, st.integers(1, 9))
def test_a_branch_that_saves_too_little_is_not_made_and_no_path_changes(rows, worthwhile):
    batch = pack([sequence(r) for r in rows], worthwhile=worthwhile)
    for leaf, row in zip(batch.leaf.tolist(), rows, strict=True):
        assert batch.tokens[path(batch, leaf)].tolist() == row
    most = pack([sequence(r) for r in rows], worthwhile=1)
    assert most.distinct <= batch.distinct <= batch.logical
    assert batch.distinct - most.distinct < worthwhile * len(rows)


def test_a_long_beginning_is_shared_and_a_chance_word_behind_it_is_not():
    stem = list(range(20))
    batch = pack([sequence([*stem, *tail]) for tail in ([7, 1, 2], [7, 3, 4], [8, 5])])
    assert batch.distinct == 20 + 3 + 3 + 2


@settings(max_examples=200)
@given(lists)
def test_a_query_sees_exactly_itself_and_its_ancestors(rows):
    batch = pack([sequence(r) for r in rows], worthwhile=1)
    index = torch.arange(batch.distinct)
    seen = (index[None, :] <= index[:, None]) & (index[:, None] < batch.end[None, :])
    for query in range(batch.distinct):
        assert seen[query].nonzero().flatten().tolist() == path(batch, query)


@settings(max_examples=200)
@given(lists)
def test_every_learned_token_of_every_sequence_is_listed_in_order(rows):
    batch = pack([sequence(r) for r in rows], worthwhile=1)
    expected = [(k, t) for k, r in enumerate(rows) for t in r[1:]]
    assert list(zip(batch.sequence.tolist(), batch.tokens[batch.target].tolist(), strict=True)) == expected


@settings(max_examples=100)
@given(lists, st.integers(1, 12))
def test_a_cut_keeps_every_sequence_once_and_stays_within_its_budget(rows, budget):
    sequences = [sequence(r, example=str(i), group=i // 2) for i, r in enumerate(rows)]
    batches = cut(sequences, budget=budget)
    assert sorted(s.example for b in batches for s in b) == sorted(s.example for s in sequences)
    for b in batches:
        most = max(budget, max(map(len, b)) + budget // 2)
        assert pack(b, worthwhile=1).distinct <= most or len({s.group for s in b}) == 1
    homes = [{s.group for s in b} for b in batches]
    assert sum(map(len, homes)) == len(set().union(*homes)), "a group stands in two micro-batches"


@pytest.mark.parametrize(
    ("shared", "budget", "batches"), [(300, 200, 1), (120, 200, 1), (90, 150, 2), (40, 100, 2), (0, 60, 2)]
)
def test_a_long_beginning_is_not_computed_again_for_want_of_a_little_room(shared, budget, batches):
    rows = [[*range(shared), *range(1000 + 20 * i, 1000 + 20 * (i + 1))] for i in range(5)]
    assert len(cut([sequence(row, group=i) for i, row in enumerate(rows)], budget=budget)) == batches
    assert len(list(in_batches([np.array(row) for row in rows], extra=0, budget=budget))) == batches


def test_the_drawing_in_the_docstring_is_what_pack_makes():
    batch = pack([sequence(list(b"onea")), sequence(list(b"oneb")), sequence(list(b"twoc"))], worthwhile=1)
    assert bytes(batch.tokens.tolist()) == b"oneabtwoc"
    assert batch.parent.tolist() == [-1, 0, 1, 2, 2, -1, 5, 6, 7]
    assert batch.end.tolist() == [5, 5, 5, 4, 5, 9, 9, 9, 9]


def test_adapters_share_nothing():
    batch = pack([sequence([1, 2]), sequence([1, 2], adapter=1)])
    assert batch.distinct == 4
    assert batch.adapter.tolist() == [0, 0, 1, 1]


def test_counts_are_what_the_data_says_not_what_is_computed():
    twins = [sequence([1, 2, 3], [0, 1, 0.5], group=g, example=str(g)) for g in (0, 0, 1)]
    batch = pack(twins, worthwhile=1)
    assert (batch.distinct, batch.logical) == (3, 9)
    assert (batch.count("token"), batch.count("sequence"), batch.count("group")) == (4.5, 3, 2)
    assert sum_by_sequence(batch.weight, batch).tolist() == [1.5, 1.5, 1.5]


def test_extra_streams_follow_their_tokens():
    one = sequence([1, 2, 3], [0, 0, 1], extra={"advantage": np.array([7, 8, 9], np.float32)})
    assert pack([one, one]).extra["advantage"].tolist() == [9, 9]


@pytest.mark.parametrize(("tokens", "weight"), [([], []), ([1, 2], [0.0]), ([1, 2], [1.0, 1.0])])
def test_what_cannot_be_packed_is_refused_by_name(tokens, weight):
    with pytest.raises(ShapeError, match="row 7"):
        pack([sequence(tokens, weight, example="row 7")])
