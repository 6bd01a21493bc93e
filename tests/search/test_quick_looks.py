"""The rate finder and the memory fit: what they recommend from what they measured."""

import io

import pytest
from rich.console import Console

from luthier.search.memory import Budget, foreseen
from luthier.search.memory import judged as fitting
from luthier.search.rates import judged
from luthier.search.rates import told as told_rates
from luthier.train.look import Losses

ROWS = 40
RATES = (3.32e-05, 0.000105, 0.000332, 0.00105, 0.00332, 0.0105, 0.0332)


def losses(mean, wobble=0.0):
    return Losses(tuple(mean + wobble * (-1) ** at for at in range(ROWS)), (1.0,) * ROWS, ROWS)


def found(curve, own=1e-3, before=2.0):
    return judged(curve, before=before, own=own, steps=50)


def test_the_best_rate_is_recommended_where_it_is_surely_best():
    curve = {1e-4: losses(1.5), 1e-3: losses(1.0), 1e-2: losses(1.3)}
    assert found(curve).recommended == 1e-3
    assert "the recipe's own" in found(curve).sentence


def test_of_rates_that_rows_cannot_tell_apart_the_lowest_is_taken():
    curve = {1e-4: losses(1.5), 1e-3: losses(1.001, wobble=0.2), 1e-2: losses(1.0, wobble=-0.2)}
    assert found(curve).recommended == 1e-3
    assert "cannot tell" in found(curve).sentence


def test_a_rate_that_diverged_is_told_and_not_taken():
    curve = {1e-4: losses(1.5), 1e-3: losses(1.0), 1e-2: None, 1e-1: losses(float("nan"))}
    told = found(curve)
    assert told.recommended == 1e-3
    assert [one.loss for one in told.tried][2:] == [None, None]


def test_where_nothing_learned_none_is_recommended():
    assert found({1e-4: losses(2.0), 1e-3: losses(2.5)}).recommended is None
    assert found({1e-4: None}).recommended is None


def test_a_best_rate_at_the_end_of_the_grid_is_told():
    assert "look further" in found({1e-4: losses(1.5), 1e-3: losses(1.0)}).sentence


def budget(tokens, gib, speed, fits=True):
    return Budget(tokens, tokens, round(gib * 2**30), speed, fits)


def test_the_smallest_budget_that_is_nearly_as_fast_is_taken():
    told = fitting([budget(512, 1, 100), budget(1024, 2, 195), budget(2048, 4, 200)], available=None, own=4096)
    assert told.recommended == 1024


def test_what_does_not_fit_is_never_recommended():
    told = fitting([budget(512, 1, 100), budget(1024, 9, 400, fits=False)], available=8 * 2**30, own=1024)
    assert told.recommended == 512
    assert fitting([budget(512, 9, 100, fits=False)], available=8 * 2**30, own=512).recommended is None


def test_one_measurement_recommends_nothing():
    told = fitting([budget(512, 1, 100)], available=None, own=4096)
    assert told.recommended is None
    assert "too few to tell" in told.sentence
    assert "as the recipe has it (4,096)" in told.sentence
    assert fitting([budget(512, 1, 100), budget(1024, 9, 0, fits=False)], available=2**30, own=4096).recommended == 512


def test_rates_can_be_read_at_80_columns():
    curve = {rate: losses(60.0 if rate > 0.02 else 3.0 - k / 3, 0.1) for k, rate in enumerate(RATES)}
    shown = io.StringIO()
    Console(file=shown, width=80).print(told_rates(found(curve, before=5.8799)))
    text = shown.getvalue()
    assert "…" not in text
    assert all(f"{rate:.3g} " in text for rate in RATES)
    assert " recommended" in text


def test_memory_is_foreseen_along_the_line_through_the_last_two():
    assert foreseen([budget(512, 1, 1), budget(1024, 2, 1)], 2048) == pytest.approx(4 * 2**30)
    assert foreseen([budget(512, 1, 1)], 2048) == 0
