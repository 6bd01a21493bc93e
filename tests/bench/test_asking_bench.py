"""The pages of the benches that ask, start and grow say what their figures say; nothing is measured here."""

from __future__ import annotations

import answers
import asking
import numpy as np
import pytest
import scale
import start
import where
from limit import Counts, Shape, forward
from marked import begun
from work import Work, peak_bytes

from luthier.model.plan import plan


def timed(what: str, seconds: float, texts: list[str]) -> answers.Timed:
    return answers.Timed(what, len(texts), seconds, texts, flops=2e9, logical=30, distinct=20, memory=10**9)


@pytest.mark.parametrize(("seconds", "said"), [(0.4, "reached"), (0.6, "**not reached**")])
def test_rows_are_compared_by_the_time_of_one(seconds: float, said: str) -> None:
    chosen = [timed("theirs", 20.0, ["a", "b"]), timed("same", 1.0, ["a", "c"]), timed("all", seconds, ["a"])]
    text = "\n".join(answers.page(chosen, chosen, 1e12))
    assert f"{10 / seconds:.1f} times as fast a row; asked: 20, {said}. The same answer to 1 of 2 rows" in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in tables}) == 1
    assert f"| 1.50 | {30 / seconds:.0f} | {20 / seconds:.0f} | {0.002 / seconds:.1%} | 1.00 GB |" in tables[4]


def test_nothing_is_faster_than_its_products() -> None:
    with pytest.raises(SystemExit, match="counted wrong"):
        list(timed("mine", 1.0, ["a"]).told(1e9))


def test_what_answers_need_is_every_shared_token_once_and_no_last_one() -> None:
    prompts = [np.array([5, 6, 7]), np.array([5, 6, 8, 9])]
    counts = asking.needed(prompts, [[10, 11], [10]])
    assert counts == Counts(distinct=6, logical=8, seen=1 + 2 + 3 + 4 + 3 + 4, scored=3, supervised=3)
    shape = Shape(2, heads=2, head_width=4, width=8, vocabulary=11, linears=((8, 8), (8, 24)), lowest=())
    assert sum(forward(shape, counts)) == 2 * 6 * 256 + 4 * 2 * 4 * 2 * 17 + 2 * 8 * 11 * 3


def test_memory_that_came_and_went_is_told() -> None:
    before = asking._peak_from_now()
    _ = np.ones(2**24).sum()
    assert peak_bytes() - before > 100e6


def test_a_start_is_held_to_the_other_sides() -> None:
    assert start.page({"Luthier": [8.0, 9.0, 10.0], "TRL": [18.0]})[0].startswith("0.50 of what TRL's script takes")
    assert "**not reached**" in start.page({"Luthier": [8.0], "TRL": [7.0]})[0]


def test_made_up_rows_share_what_their_shape_says() -> None:
    shape = scale.Shape("sharing", 4, 20, 12)
    (batch,) = scale.planned(scale.made(shape, 1000))
    assert (batch.distinct, batch.logical, batch.longest) == (20 + 4 * 12, 4 * 32, 32)
    assert len(batch.target) == 4 * scale.LEARNED
    assert len(plan(batch).rectangles) == 1


def test_planning_is_held_to_its_share() -> None:
    shape = scale.Shape("rows", 8, 40, 24)
    text = "\n".join(
        scale.page([scale.Taken(shape, 100, 300, 64, 2.0, 0.1), scale.Taken(shape, 100, 300, 64, 2.0, 0.0)])
    )
    assert "Planning takes 5.00% of a step at most; asked: 2%, **not reached**." in text


def test_a_profile_is_told_whole_beside_what_is_needed() -> None:
    told = where.grouped({"linear: products, forward": 0.5, "linear: copies and casts, forward": 0.1, "other": 0.4})
    assert told["products of the linear layers"] == 0.5
    assert sum(told.values()) == pytest.approx(1.0)
    shape = Shape(1, heads=2, head_width=4, width=8, vocabulary=11, linears=((8, 8), (8, 24)), lowest=((8, 8),))
    counts = Counts(distinct=5, logical=9, seen=12, scored=3, supervised=4)
    needed = where.useful(Work("x", "x", 1, (), (counts, counts), shape))
    attention, head, rank = 4 * 2 * 4 * 12 * 3, 2 * 2 * 8 * 11 * 3, 6 * 16 * (16 + 32) * 5
    whole = 2 * 5 * (2 * 256 - 64) + attention + head + rank
    assert needed["attention kernels"] == pytest.approx(attention / whole)
    assert needed["the vocabulary"] == pytest.approx(head / whole)
    assert sum(needed.values()) == pytest.approx(1.0)
    assert len({line.count("|") for line in where.page({"b": (told, needed), "c": (told, needed)})}) == 1


@pytest.mark.parametrize("one", [answers, start, scale, where])
def test_each_page_has_its_place(one: object) -> None:
    assert begun(one.SCRIPT) in one.PAGE.read_text(encoding="utf-8")
