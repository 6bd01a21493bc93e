"""How labels are written: slips, several in one cell and gaps are told; labels that only look alike are left alone."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path

import pytest

from luthier.checks import checks
from luthier.checks.check import CheckOptions, Corpus
from luthier.checks.names import CLASS, OFTENER, TOGETHER, is_slip
from luthier.data.read import ReadOptions, read
from luthier.types import Completion, Example, Issue, Message

SHARED = Path(__file__).parents[3] / "shared" / "data"
WRITING = ("labels_alike", "misspelt_label", "joined_labels", "placeholder")


def rows(sizes: Iterable[tuple[str, int]]) -> list[Example]:
    labels = [label for label, size in sizes for _ in range(size)]
    return [
        Example(f"t:{at}", (Message("user", f"Q{at}"),), (Completion((Message("assistant", label),)),), label)
        for at, label in enumerate(labels, 1)
    ]


def found(name: str, *sizes: tuple[str, int]) -> list[Issue]:
    return list(checks[name].find(Corpus({"train": rows(sizes)})))


@pytest.mark.parametrize("slip", ["Refnud", "Refud", "Reffund", "Refumd", "refunds", "REFUNT"])
def test_a_rare_label_one_slip_from_a_frequent_one_is_told_with_both_counts(slip: str) -> None:
    (issue,) = found("misspelt_label", ("Refund", 40), ("Billing", 30), (slip, 2))
    assert issue.examples == ("t:71", "t:72")
    assert f"the label {slip!r} of 2 rows is one letter away from 'Refund' with 40" in issue.why


def test_control_a_label_as_frequent_as_its_neighbour_is_no_slip() -> None:
    assert not found("misspelt_label", ("Refund", OFTENER * 3 - 1), ("Refnud", 3))
    assert found("misspelt_label", ("Refund", OFTENER * 3), ("Refnud", 3))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("A1", "A2"),
        ("1", "2"),
        ("level 1", "level 2"),
        ("class10", "class11"),
        ("type_a", "type_b"),
        ("hepatitis b", "hepatitis c"),
        ("typical", "atypical"),
        ("lost", "cost"),
        ("male", "female"),
        ("C", "C#"),
        ("-1", "1"),
        ("1.5", "15"),
        ("1-2", "12"),
        ("<5", ">5"),
        (":)", ":("),
        ("II", "III"),
    ],
)
def test_labels_that_only_look_alike_are_left_alone(one: str, other: str) -> None:
    for name in WRITING:
        assert not found(name, (one, 90), (other, 2), ("third", 30)), name


@pytest.mark.parametrize("other", ["re-fund", "REFUND", "Refund.", "'refund'", "re fund", "Ｒefund"])
def test_case_spacing_and_punctuation_make_no_second_label(other: str) -> None:
    (issue,) = found("labels_alike", ("refund", 40), (other, 35), ("billing", 3))
    assert len(issue.examples) == 35
    assert "'refund' (40 rows)" in issue.why
    assert f"{other!r} (35)" in issue.why


def test_composed_and_decomposed_accents_are_one_label() -> None:
    assert found("labels_alike", ("caf\u00e9", 4), ("cafe\u0301", 3))
    assert not found("labels_alike", ("schon", 4), ("sch\u00f6n", 3))


@pytest.mark.parametrize(
    "joined", ["billing;refund", "billing, Refund", "refund|billing", "billing / refund", '["billing", "refund"]']
)
def test_a_cell_with_two_labels_of_other_rows_is_told(joined: str) -> None:
    (issue,) = found("joined_labels", ("billing", 9), ("refund", 9), (joined, 2))
    assert issue.examples == ("t:19", "t:20")
    assert joined in issue.why


@pytest.mark.parametrize(
    ("labels", "joined"),
    [
        (("Washington", "New York"), "Washington, DC"),
        (("1", "5"), "1,5"),
        (("1", "2"), "1/2"),
        (("card", "lost"), "card_lost"),
        (("food", "drink"), "food & drink"),
        (("yes", "no"), "yes;yes"),
    ],
)
def test_control_a_label_with_a_comma_is_one_label(labels: tuple[str, str], joined: str) -> None:
    assert not found("joined_labels", (labels[0], 9), (labels[1], 9), (joined, 2))


def test_very_many_joined_labels_are_one_issue_with_all_rows() -> None:
    single = [(f"topic{chr(97 + at)}", 3) for at in range(12)]
    joined = [(f"{one};{other}", 2) for one, _ in single for other, _ in single if one < other]
    (issue,) = found("joined_labels", *single, *joined)
    assert len(joined) > TOGETHER
    assert len(issue.examples) == 2 * len(joined)
    assert f"{len(joined)} labels hold several, such as 'topica;topicb'" in issue.why


@pytest.mark.parametrize("gap", ["nan", "#N/A", "NULL", "n/a", "<NA>", "#REF!", "none", "None", "???", "-", "unknown"])
def test_a_word_for_nothing_is_told_where_it_is_rare(gap: str) -> None:
    (issue,) = found("placeholder", ("a", 500), ("b", 491), (gap, 9))
    assert len(issue.examples) == 9
    assert not [one for one in found("rare_label", ("a", 500), (gap, 3)) if gap in one.why]


@pytest.mark.parametrize("label", ["none", "other", "-", "unknown"])
def test_a_word_for_nothing_that_is_frequent_is_a_class(label: str) -> None:
    fewest, share = CLASS
    assert not found("placeholder", ("a", 500), ("b", 490), (label, 10))
    assert 10 == fewest == share * 1000
    assert bool(found("placeholder", ("a", 2000), (label, 19))) == (label != "other")


@pytest.mark.parametrize("label", ["nan", "NULL", "#N/A"])
def test_what_programs_leave_is_a_gap_however_frequent(label: str) -> None:
    assert found("placeholder", ("a", 50), (label, 50))


def test_a_slip_is_a_slip_both_ways() -> None:
    pairs = [("card arrival", "card arival"), ("payment", "paymnet"), ("lost", "cost"), ("type a", "type b")]
    for one, other in pairs:
        assert is_slip(one, other) == is_slip(other, one)
    assert [is_slip(*pair) for pair in pairs] == [True, True, False, False]


def test_what_is_told_of_as_miswritten_is_not_also_told_of_as_rare() -> None:
    sizes = ("Refund", 40), ("refund", 1), ("Refnud", 1), ("billing", 20), ("billing;refund", 1), ("nan", 1), ("odd", 1)
    assert ["'odd'" in issue.why for issue in found("rare_label", *sizes)] == [True]
    silent = Corpus({"train": rows(sizes)}, CheckOptions(silent=("misspelt_label",)))
    assert len(list(checks["rare_label"].find(silent))) == 2


def test_shuffled_rows_give_the_same_findings() -> None:
    some = rows([("Refund", 40), ("refund", 3), ("Refnud", 2), ("Billing", 30), ("billing;refund", 2), ("nan", 1)])
    shuffled = random.Random(0).sample(some, len(some))
    for name in WRITING:
        told = list(checks[name].find(Corpus({"train": some})))
        assert told
        assert told == list(checks[name].find(Corpus({"train": shuffled})))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")
def test_the_labels_of_banking77_are_told_of_by_none() -> None:
    options = ReadOptions(input="text", output="category")
    corpus = Corpus({"train": read(str(SHARED / "banking77" / "train.csv"), options).examples})
    assert len(corpus.labelled()) == 77
    assert not [issue for name in WRITING for issue in checks[name].find(corpus)]
