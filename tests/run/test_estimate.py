"""What evaluating is expected to cost: each row that is asked, once or twice, and looks within their share."""

from dataclasses import replace

import pytest

from luthier.batch import pack
from luthier.recipe import load_recipe
from luthier.run.estimate import DECODING, FORWARD_SHARE, _asked_tokens, _evaluation_tokens
from luthier.run.prepare import Prepared, prepare
from luthier.run.show import Show

TRAINED = 100_000


@pytest.fixture(scope="module")
def prepared(base, rows) -> Prepared:
    words = [f"data.train={rows}", "data.test=0.4", f"model.name={base}", "model.max_length=128", "train.epochs=2"]
    return prepare(load_recipe(None, [*words, "run=unused", "model.dtype=float32"]), Show(silent=True))


def cost(prepared: Prepared, **train: object) -> int:
    recipe = replace(prepared.recipe, train=replace(prepared.recipe.train, **train))
    return _evaluation_tokens(replace(prepared, recipe=recipe), TRAINED)


def with_test_rows(prepared: Prepared, count: int) -> Prepared:
    return replace(prepared, splits={**prepared.splits, "test": prepared.splits["test"][:count]})


def test_a_choice_is_asked_and_scored_and_a_text_is_written_besides(prepared: Prepared) -> None:
    """Both cost a forward of a row; of a text each of its tokens costs DECODING more."""
    some = prepared.sequences[:64]
    assert _asked_tokens(prepared) == 2 * pack(some).distinct / len(some)
    text = replace(prepared, task=replace(prepared.task, kind="text"))
    written = sum(one.supervised for one in some) / len(some)
    assert _asked_tokens(text) - _asked_tokens(prepared) == pytest.approx(DECODING * written)


def test_a_test_row_costs_twice_and_one_that_the_base_is_not_asked_once(prepared: Prepared) -> None:
    a_row = FORWARD_SHARE * _asked_tokens(prepared)
    many, few = with_test_rows(prepared, 40), with_test_rows(prepared, 10)
    assert cost(many) - cost(few) == pytest.approx(2 * 30 * a_row, abs=1)
    recipe = replace(prepared.recipe, evaluate=replace(prepared.recipe.evaluate, base_rows=5))
    alone = replace(many, recipe=recipe)
    assert cost(many) - cost(alone) == pytest.approx(35 * a_row, abs=1)


def test_all_looks_are_counted_at_a_share_of_1_and_no_more_than_their_share_below_it(prepared: Prepared) -> None:
    a_row, watched = FORWARD_SHARE * _asked_tokens(prepared), len(prepared.watched)
    four, eight = (cost(prepared, evaluation_share=1.0, evaluations_per_epoch=count) for count in (4, 8))
    assert eight - four == pytest.approx(4 * 2 * watched * a_row, abs=1)
    none = four - 4 * 2 * watched * a_row
    shared = cost(prepared, evaluation_share=0.01, evaluations_per_epoch=1000)
    assert shared - none == pytest.approx(TRAINED * 0.01 / 0.99, abs=1)


def test_the_last_look_is_counted_however_small_the_share(prepared: Prepared) -> None:
    a_row = FORWARD_SHARE * _asked_tokens(prepared)
    held_out = len(prepared.asked) + len(prepared.compared) + len(prepared.splits["validation"])
    shared = cost(prepared, evaluation_share=0.0001)
    assert shared > held_out * a_row + 0.99 * a_row
