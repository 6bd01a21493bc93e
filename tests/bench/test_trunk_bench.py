"""What the page of the frozen trunk says of figures that are given; nothing is measured here."""

from __future__ import annotations

from argparse import Namespace

import trunk
from environment import Machine
from trunk import KEPT, OURS, TRL, Line, of_each
from trunk_side import Found, Trial

from luthier.types import Completion, Example, Message

MACHINE = Machine("a processor", 2, ("avx2",), 16.0, "Linux", 0.0)


def example(label: str, at: int) -> Example:
    return Example(f"f:{at}", (Message("user", str(at)),), (Completion((Message("assistant", label),)),))


def found(*seconds: float, loss: float = 2.0) -> Found:
    return Found(tuple(Trial(2 * s, s, (3.0, loss)) for s in seconds), 10**9, 5 * 10**6, "float32", 0.5)


def test_so_many_rows_of_each_label_are_taken_and_mixed() -> None:
    examples = [example("ab"[at % 2], at) for at in range(40)]
    chosen = of_each(examples, 5)
    assert sorted(one.answer for one in chosen) == ["a"] * 5 + ["b"] * 5
    assert [one.answer for one in chosen] != sorted(one.answer for one in chosen)


def test_one_measured_trial_counts_as_many_times_as_there_are_trials() -> None:
    made = [
        Line("lora", 6, OURS, found(10.0)),
        Line("lora", 6, KEPT, found(8.0, 4.0, 4.0, 4.0, loss=2.01)),
        Line("lora", 6, TRL, found(50.0)),
    ]
    asked = Namespace(
        a_class=10,
        epochs=2,
        trials=4,
        measured=1,
        work="b",
        threads=1,
        methods=["lora"],
        tops=[6],
        kept=None,
        trl_steps=None,
    )
    text = "\n".join(trunk.page(MACHINE, asked, {line.key: line for line in made}, "python bench/trunk.py"))
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in text.splitlines() if row.startswith("| lora")]
    assert [row[3] for row in cells] == ["40 (80)", "20 (40)", "200 (400)"]
    assert [row[4] for row in cells] == ["1.00", "2.00", "0.20"]
    assert [row[6] for row in cells] == ["", "4.0", ""]
    assert [row[11] for row in cells] == ["", "0.0100", ""]


def test_a_trial_of_the_other_side_that_was_cut_short_names_no_loss() -> None:
    cut = Found((Trial(2.0, 1.0, ()),), 10**9, 0, "float32", 0.0)
    lines = [Line("lora", 6, OURS, found(10.0)), Line("lora", 6, TRL, cut)]
    told = trunk.table_row(Namespace(trials=4, epochs=2), {line.key: line for line in lines}, lines[1])
    assert told.split("|")[-3].strip() == ""


def test_trials_that_were_not_run_count_like_those_after_the_first() -> None:
    assert trunk.whole(found(8.0, 4.0, 4.0), 8) == (8.0 + 7 * 4.0, 2 * (8.0 + 7 * 4.0))
    assert trunk.whole(found(8.0), 8) == (64.0, 128.0)
