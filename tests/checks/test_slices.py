"""Slices: a label that hangs on a column is told with both rates, and chance is not told for bias."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import fisher_exact

from luthier.checks.check import CheckOptions, Corpus
from luthier.checks.columns import NONE, OTHERS, VALUES, sliced
from luthier.checks.slices import slice_bias, slice_rates, two_sided
from luthier.errors import RecipeError
from luthier.types import Completion, Example, Issue, Json, Message


def row(at: int, label: str, meta: Mapping[str, Json]) -> Example:
    said = Completion((Message("assistant", label),))
    return Example(f"a.csv:{at}", (Message("user", f"Question {at}"),), (said,), label=label, meta=meta)


def corpus(rows: Iterable[Example], *columns: str) -> Corpus:
    return Corpus({"train": list(rows)}, CheckOptions(slices=columns))


def drawn(seed: int, rates: Mapping[str, float], *, n: int = 300) -> list[Example]:
    """n rows a value, in which the label `no` has the value's rate."""
    rng = random.Random(seed)
    some = [(value, "no" if rng.random() < rate else "yes") for value, rate in rates.items() for _ in range(n)]
    return [row(at, label, {"who": value}) for at, (value, label) in enumerate(some, 1)]


def test_a_rate_that_differs_is_told_with_both_rates_their_intervals_and_rows() -> None:
    rows = [row(at, "no" if at % 10 < (6 if at < 100 else 2) else "yes", {"who": "ab"[at >= 100]}) for at in range(400)]
    (issue,) = slice_bias(corpus(rows, "who"))
    assert "where 'who' is 'a', 60.0% (50.2% to 69.1%, 60 of 100) have the label 'no'" in issue.why
    assert "20.0% (15.9% to 24.9%, 60 of 300) elsewhere" in issue.why
    assert "over 1 comparison (Holm)" in issue.why
    assert issue.flagged
    assert 0.6 < issue.severity < 1
    assert {int(name.split(":")[1]) for name in issue.examples} < set(range(100))


def test_among_many_values_and_labels_the_planted_one_is_found() -> None:
    rng = random.Random(1)
    rows = [row(at, f"l{rng.randrange(8)}", {"who": f"v{at % 9}", "when": f"{at % 4}"}) for at in range(2700)]
    rows = [replace(one, label="l0") if one.meta["who"] == "v3" and rng.random() < 0.3 else one for one in rows]
    (issue,) = slice_bias(corpus(rows, "when", "who"))
    assert issue.why.startswith("where 'who' is 'v3', 36.3%")
    assert "the label 'l0'" in issue.why


def test_control_chance_is_told_in_at_most_one_audit_of_twenty() -> None:
    alarms = [bool(list(slice_bias(corpus(drawn(seed, dict.fromkeys("abcde", 0.3)), "who")))) for seed in range(40)]
    assert sum(alarms) <= 4


def test_a_difference_beyond_chance_but_small_is_not_flagged() -> None:
    (issue,) = slice_bias(corpus(drawn(3, {"a": 0.40, "b": 0.45}, n=20_000), "who"))
    assert not issue.flagged


def test_a_value_with_few_rows_or_the_only_one_is_not_compared() -> None:
    few = [row(at, "no", {"who": "few"}) for at in range(1, 15)]
    assert not list(slice_bias(corpus(few + [row(at, "yes", {"who": "most"}) for at in range(20, 90)], "who")))
    assert not list(slice_bias(corpus(drawn(0, {"a": 0.5}), "who")))


def test_a_column_that_no_row_has_is_refused_with_those_there_are() -> None:
    rows = drawn(0, {"a": 0.5})
    for look in (slice_bias, slice_rates):
        with pytest.raises(RecipeError, match=r"slices: no row has a column 'whom'; did you mean 'who'\?"):
            list(look(corpus(rows, "whom")))
    with pytest.raises(RecipeError, match="no row has a column 'region'; there are who"):
        list(slice_bias(corpus(rows, "who", "region")))
    assert not list(slice_bias(corpus(rows)))


def test_rows_without_labels_have_no_rates() -> None:
    rows = [replace(one, label=None) for one in drawn(0, {"a": 0.1, "b": 0.9})]
    assert not list(slice_bias(corpus(rows, "who"))) + list(slice_rates(corpus(rows, "who")))


def test_numbers_become_four_bands_long_columns_their_commonest_values_and_gaps_a_value() -> None:
    rows = [row(at, "yn"[at % 2], {"age": str(18 + at % 60), "town": f"t{at % 70}", "gap": None}) for at in range(840)]
    age, town, gap = sliced(corpus(rows, "age", "town", "gap"))
    assert set(age.values) == {
        "up to 32.75",
        "above 32.75, up to 47.5",
        "above 47.5, up to 62.25",
        "above 62.25, up to 77",
    }
    assert len(town.values) == VALUES
    assert town.values[0] == OTHERS
    assert gap.values == (NONE,)
    assert sum(age.counts().ravel()) == 840


def test_the_survey_shows_each_rate_with_its_interval_and_the_others_rate() -> None:
    rows = [row(at, "no" if at % 4 == 0 else "yes", {"who": "ab"[at < 40]}) for at in range(120)]
    (table,) = slice_rates(corpus(rows, "who"))
    assert table.rows[0] == ("a", "no", 20, 80, 25.0, 16.8, 35.5, 25.0)
    assert len(table.rows) == 4


@pytest.mark.parametrize(("here", "of", "total", "n"), [(3, 60, 9, 900), (12, 60, 40, 900), (0, 400, 9, 900)])
def test_p_is_never_below_fishers_by_much(here: int, of: int, total: int, n: int) -> None:
    found = float(two_sided(np.array([here]), of, np.array([total]), n)[0])
    exact = fisher_exact([[here, of - here], [total - here, n - of - total + here]]).pvalue
    assert found >= 0.5 * exact


def test_shuffled_rows_give_the_same_issues() -> None:
    rows = drawn(0, {"a": 0.1, "b": 0.5, "c": 0.3})
    found: list[list[Issue]] = [list(slice_bias(corpus(some, "who"))) for some in (rows, rows[::-1])]
    assert found[0]
    assert found[0] == found[1]
