"""An interval for other rows and other seeds: it covers what it says where one over rows alone does not."""

from dataclasses import replace

import numpy as np
import pytest

from luthier.stats import Difference, crossed

ROWS, SEEDS, DRAWS = 60, 3, 1000


def over_rows(values):
    """Of (seeds, rows) differences: their mean, and its standard error over rows."""
    each = values.mean(axis=0)
    error = float(each.std(ddof=1)) / np.sqrt(len(each))
    mean = float(each.mean())
    return Difference(mean, mean - 1.96 * error, mean + 1.96 * error, 0.5, error, len(each))


def drawn(seed_spread):
    rng = np.random.default_rng(0)
    for _ in range(DRAWS):
        seeds, rows = rng.normal(0, seed_spread, (SEEDS, 1)), rng.normal(0, 1, (1, ROWS))
        yield seeds + rows + rng.normal(0, 1, (SEEDS, ROWS))


@pytest.mark.parametrize("seed_spread", [0.0, 0.1, 0.5, 2.0])
def test_no_difference_is_called_one_in_at_most_one_of_twenty(seed_spread):
    found = [crossed(over_rows(one), ROWS, one.mean(axis=1).tolist()) for one in drawn(seed_spread)]
    assert np.mean([one.seen for one in found]) <= 0.06


def test_control_rows_alone_find_one_where_seeds_differ():
    assert np.mean([not one.low <= 0 <= one.high for one in map(over_rows, drawn(0.5))]) > 0.2


def test_by_hand():
    one = crossed(Difference(0.4, 0.2, 0.6, 0.01, 0.1, 50), 101, [0.3, 0.4, 0.5])
    assert one.spread == pytest.approx((0.01 + 0.01 / 3) ** 0.5)
    assert one.value == 0.4
    margin = ((1.984 * 0.1) ** 2 + (4.303 * 0.1 / 3**0.5) ** 2) ** 0.5
    assert (one.low, one.high) == pytest.approx((0.4 - margin, 0.4 + margin), abs=1e-3)
    assert 0.01 < one.p < 0.05


def test_the_interval_touches_nought_where_p_is_one_in_twenty():
    by_seed = [0.1, 0.2, 0.3]
    margin = 0.2 - crossed(Difference(0.2, 0, 0, 1, 0.05, 9), 40, by_seed).low
    assert crossed(Difference(margin, 0, 0, 1, 0.05, 9), 40, by_seed).p == pytest.approx(0.05, abs=1e-6)


def test_where_nothing_varies_it_stays_as_it_was():
    one = Difference(0.0, -0.1, 0.1, 1.0, 0.0, 0)
    assert crossed(one, 30, [0.0, 0.0, 0.0]) == one
    assert crossed(replace(one, value=0.0), 30, [0.0, 0.0]) == one
