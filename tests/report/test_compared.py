"""Runs are compared only on what they share, pair by pair, and no difference is claimed that the rows do not show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from made_runs import made
from page_reading import read_page

from luthier.errors import RunError
from luthier.report import comparison, comparison_columns, comparison_words
from luthier.report.compared import Compared, compare
from luthier.report.overlay import overlaid

HALF = [at % 2 == 0 for at in range(200)]
MORE = [at % 2 == 0 or at % 5 == 1 for at in range(200)]
"""Right on twenty of the rows that HALF has wrong, and on all that it has right."""


def two(tmp_path: Path, one: list[bool], other: list[bool]) -> Compared:
    return compare([made(tmp_path / "one", one), made(tmp_path / "other", other)])


def test_a_run_that_is_right_more_often_on_the_same_rows_is_ahead_by_exactly_that(tmp_path: Path) -> None:
    found = two(tmp_path, HALF, MORE)
    (pair,) = found.pairs
    assert pair.ahead == "other"
    assert pair.difference.value == pytest.approx(0.1)
    assert pair.difference.low > 0
    assert pair.difference.p == pytest.approx(2 * 0.5**20)
    assert comparison_words.headline(found) == "other is better than one."
    assert "on 200 shared test rows: one 0.500 and other 0.600" in comparison_words.detail(found)


def test_the_order_of_the_runs_turns_the_sign_and_not_the_outcome(tmp_path: Path) -> None:
    found = two(tmp_path, HALF, MORE)
    turned = compare([tmp_path / "other", tmp_path / "one"])
    assert turned.pairs[0].difference.value == pytest.approx(-found.pairs[0].difference.value)
    assert turned.pairs[0].ahead == found.pairs[0].ahead


def test_equal_answers_are_no_difference_and_equal_counts_of_others_are_none_either(tmp_path: Path) -> None:
    """The control of the first: the same accuracies from answers to other rows."""
    for name, other in (("same", HALF), ("mirrored", [not one for one in HALF])):
        found = two(tmp_path / name, HALF, other)
        assert found.pairs[0].ahead is None
        assert found.pairs[0].difference.value == 0
        assert comparison_words.headline(found) == "No difference is seen between one and other."


def test_a_few_rows_more_are_not_enough_and_how_many_would_be_is_said(tmp_path: Path) -> None:
    found = two(tmp_path, HALF, [at % 2 == 0 or at in (1, 3, 5) for at in range(200)])
    assert found.pairs[0].ahead is None
    assert "rows would show a difference of this size" in comparison_words.detail(found)


def test_pairs_are_one_family(tmp_path: Path) -> None:
    """Seven rows more are p = 0.016, which is seen where it is the one claim, and not where it is one of six."""
    runs = [made(tmp_path / name, HALF) for name in ("a", "b", "c")]
    runs.append(made(tmp_path / "d", [at % 2 == 0 or at in (1, 3, 5, 7, 9, 11, 13) for at in range(200)]))
    pairs = compare(runs).pairs
    assert len(pairs) == 6
    for pair in pairs:
        assert pair.p_family >= pair.difference.p
    strongest = min(pairs, key=lambda pair: pair.difference.p)
    assert strongest.difference.p == pytest.approx(2 * 0.5**7)
    assert strongest.p_family == pytest.approx(6 * 2 * 0.5**7)
    assert [pair.ahead for pair in pairs] == [None] * 6
    assert [pair.ahead for pair in compare(runs[2:]).pairs] == ["d"]


def test_only_shared_rows_count_and_how_many_are_not_is_said(tmp_path: Path) -> None:
    one = made(tmp_path / "one", HALF[:120], ids=range(120))
    other = made(tmp_path / "other", MORE[60:], ids=range(60, 200))
    found = compare([one, other])
    assert len(found.shared) == 60
    assert found.doubts[0] == "Not all test rows are shared: 60 are compared, of one 120, other 140."


def test_a_row_of_the_same_id_that_says_something_else_is_another_row(tmp_path: Path) -> None:
    one = made(tmp_path / "one", HALF)
    other = made(tmp_path / "other", MORE)
    path = other / "predictions.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    rows[3]["question"] = "another question"
    rows[5]["reference"] = ["cat and dog"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = compare([one, other])
    assert len(found.shared) == 198
    assert "2 rows have the same id and another text or answer, test.csv:3 for one" in found.doubts[1]


def test_runs_that_share_no_row_are_refused_with_counts(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one", HALF), made(tmp_path / "other", HALF[:50], question="other words")
    with pytest.raises(RunError, match=r"share no test row \(one has 200, other has 50\)"):
        compare([one, other])


def test_the_order_of_the_rows_matters_to_nothing(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one", HALF), made(tmp_path / "other", MORE)
    before = compare([one, other]).pairs[0].difference
    path = other / "predictions.jsonl"
    path.write_text("".join(line + "\n" for line in reversed(path.read_text().splitlines())))
    assert compare([one, other]).pairs[0].difference == before


def test_rows_that_a_run_was_trained_on_are_said(tmp_path: Path) -> None:
    one, other = made(tmp_path / "one", HALF), made(tmp_path / "other", MORE)
    (other / "rows.jsonl").write_text('{"id": "test.csv:7", "split": "train", "fate": "kept"}\n')
    assert compare([one, other]).doubts == ("other was trained on 1 of the shared rows, which flatters it.",)


@pytest.mark.parametrize(
    ("change", "said"),
    [({"primary": "macro_f1"}, "judged differently: one by accuracy"), ({"primary": None}, "does not say what")],
)
def test_runs_that_were_judged_differently_are_refused(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:  # fmt: skip
    with pytest.raises(RunError, match=said):
        compare([made(tmp_path / "one", HALF), made(tmp_path / "other", HALF, task=change)])


def test_one_run_is_no_comparison_and_neither_is_one_twice(tmp_path: Path) -> None:
    one = made(tmp_path / "one", HALF)
    for runs in ([one], [one, one]):
        with pytest.raises(RunError, match="at least two runs, each once"):
            compare(runs)


def test_fewer_labels_to_choose_from_are_said_to_be_easier(tmp_path: Path) -> None:
    other = made(tmp_path / "other", HALF, task={"labels": ["cat", "dog", "cow"]})
    assert "one 2, other 3" in compare([made(tmp_path / "one", HALF), other]).doubts[0]


def test_only_settings_that_differ_are_shown(tmp_path: Path) -> None:
    recipe = "train:\n  lr: {}\n  epochs: 3\nrun: runs/{}\n"
    one = made(tmp_path / "one", HALF, recipe=recipe.format(0.1, "one"))
    other = made(tmp_path / "other", HALF, recipe=recipe.format(0.2, "other") + "method:\n  rank: 4\n")
    lines = comparison_columns.differing_settings(compare([one, other]).sides)
    assert [(line.name, line.values) for line in lines] == [
        ("train.lr", ("0.1", "0.2")), ("method.rank", ("–", "4")),
    ]  # fmt: skip


def test_curves_share_one_axis_and_keep_their_colours(tmp_path: Path) -> None:
    found = two(tmp_path, HALF, MORE)
    drawn = overlaid([(side.name, side.run) for side in found.sides], "accuracy")
    assert [chart.name for chart in drawn] == [
        "validation loss", "loss on training rows", "gap", "accuracy on validation rows",
    ]  # fmt: skip
    assert {chart.x for chart in drawn} == {drawn[0].x}
    assert all([line.style for line in chart.series] == ["run-0", "run-1"] for chart in drawn)


def test_the_page_says_the_outcome_first_and_shows_rows_that_differ(tmp_path: Path) -> None:
    page = read_page(comparison.write(two(tmp_path, HALF, MORE), tmp_path / "compare.html"))
    assert page.of("h1") == ["other is better than one."]
    assert page.headings == [
        "Every pair", "Learning curves", "What each run says of itself", "What differs between them", "What they cost",
        "Where they disagree",
    ]  # fmt: skip
    assert len([tag for tag, _ in page.tags if tag == "article"]) == comparison.SHOWN
    assert "On 20 of 200 rows" in page.text
    assert not [attributes for _, attributes in page.tags if {"src", "href", "srcset", "style"} & set(attributes)]


def test_no_text_in_a_run_changes_the_structure_of_the_page(tmp_path: Path) -> None:
    structures = []
    for text in ("plain", "</script><b onclick=x>{{ 7 * 7 }}<!--"):
        folder = tmp_path / str(len(structures))
        runs = [made(folder / "one", HALF, question=text), made(folder / "other", MORE, question=text)]
        for run in runs:
            report = json.loads((run / "report.json").read_text())
            report["verdict"]["sentence"] = text
            (run / "report.json").write_text(json.dumps(report))
        page = read_page(comparison.write(compare(runs), tmp_path / "compare.html"))
        structures.append([(tag, tuple(attributes)) for tag, attributes in page.tags])
    assert structures[0] == structures[1]
