"""Trials of one process share the opened base, and each is what it would be alone, to the bit."""

from dataclasses import replace

import pytest
import torch

import luthier
from luthier.evaluate.forgetting import ForgettingOptions
from luthier.run.prepare import attach, prepare
from luthier.run.show import Show
from luthier.run.steps import fitted, hooks
from luthier.run.train import train
from luthier.search import work
from luthier.search.shared import Shared

METHODS = (
    {"name": "lora", "rank": 4},
    {"name": "full"},
    {"name": "freeze", "layers": 1},
    {"name": "bitfit"},
    {"name": "ia3"},
    {"name": "bottleneck"},
)


def recipe(base, rows, method):
    return luthier.recipe(
        data={"train": str(rows)},
        model={"name": str(base), "dtype": "float32", "max_length": 128},
        method=method,
        train={"epochs": 0.2, "lr": 0.01, "examples_per_step": 8, "evaluations_per_epoch": 1, "trunk": False},
        forgetting={"measure": False},
    )


def weights(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def learned(prepared, folder):
    calls = hooks(prepared, stepped=lambda _: None, evaluated=lambda _: None, say=lambda _: None)
    fitted(prepared, folder, calls, resumed=False)
    return weights(prepared.model.network)


@pytest.mark.parametrize("method", METHODS, ids=lambda one: one["name"])
def test_a_trial_after_another_learns_what_it_learns_alone(base, rows, tmp_path, method):
    asked = recipe(base, rows, method)
    alone = prepare(asked, Show(silent=True))
    attach(alone, Show(silent=True))
    expected = learned(alone, tmp_path / "alone")
    shared = Shared(prepare(asked, Show(silent=True)))
    before = weights(shared.whole.model.network)
    other = replace(asked, train=replace(asked.train, lr=0.1, seed=3))
    with shared.trial(other) as first:
        spoiled = learned(first, tmp_path / "first")
    assert same(weights(shared.whole.model.network), before)
    with shared.trial(asked) as second:
        found = learned(second, tmp_path / "second")
    assert same(found, expected)
    assert not same(found, spoiled), "control: the other trial had learned something else"


def test_an_adapter_that_goes_on_begins_every_trial_as_its_parent_left_it(base, rows, tmp_path):
    asked = recipe(base, rows, METHODS[0])
    parent = replace(asked, run=str(tmp_path / "parent"))
    train(parent, show=Show(silent=True))
    shared = Shared(prepare(replace(asked, parent=parent.run), Show(silent=True)))
    before = weights(shared.whole.model.network)
    with shared.trial(shared.whole.recipe) as first:
        spoiled = learned(first, tmp_path / "first")
    assert not same(spoiled, before), "control: the trial moved it"
    assert same(weights(shared.whole.model.network), before)


def test_a_trial_that_breaks_leaves_the_base_as_it_was(base, rows):
    asked = recipe(base, rows, METHODS[0])
    shared = Shared(prepare(asked, Show(silent=True)))
    before = weights(shared.whole.model.network)

    def broken():
        with shared.trial(asked) as mine:
            assert not same(weights(mine.model.network), before), "control: an adapter is there"
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    assert same(weights(shared.whole.model.network), before)
    assert all(parameter.grad is None for parameter in shared.whole.model.network.parameters())


def test_a_trial_is_handed_no_test_row(base, rows):
    shared = Shared(prepare(recipe(base, rows, METHODS[0]), Show(silent=True)))
    with shared.trial(shared.whole.recipe) as mine:
        assert mine.splits["test"] == () == mine.asked
    assert shared.whole.asked, "control: there are some"


def test_a_recipe_with_a_budget_for_forgetting_can_be_searched(base, rows):
    """No trial measures what it forgot; what it takes is foreseen without that."""
    asked = replace(recipe(base, rows, METHODS[0]), forgetting=ForgettingOptions(max_drop=0.1))
    expected = work.a_trial(Shared(prepare(asked, Show(silent=True))), 2)
    assert expected.cost.seconds > 0
    assert expected.forgetting_s == 0
