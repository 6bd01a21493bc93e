"""Flipped labels are found and ranked first, with the likelier one beside; right ones are left alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from luthier.checks import Corpus
from luthier.checks.classify import folds
from luthier.data.read import ReadOptions, read
from luthier.types import Completion, Example, Issue, Message

pytest.importorskip("cleanlab")
pytest.importorskip("wordllama")

from luthier.checks.labels import label_error, suspicions

SHARED = Path(__file__).parents[3] / "shared" / "data"
WORDS = {
    "card": "my bank card is lost stolen blocked broken swallowed expired",
    "rate": "the exchange rate for euros dollars pounds is wrong odd high",
    "cash": "withdraw money notes coins from a cash machine near me today",
    "limit": "how much can I top up each month before a limit stops it",
}


def row(at: int, text: str, label: str) -> Example:
    return Example(f"t:{at}", (Message("user", text),), (Completion((Message("assistant", label),)),), label=label)


def clean(count: int = 240) -> list[Example]:
    rng = np.random.default_rng(0)
    names = list(WORDS)
    return [
        row(at, " ".join(rng.choice(WORDS[names[at % 4]].split(), 7)) + f" {at}", names[at % 4]) for at in range(count)
    ]


def flipped(rows: Sequence[Example], places: Sequence[int]) -> list[Example]:
    names = list(WORDS)
    other = {name: names[(at + 1) % 4] for at, name in enumerate(names)}
    wrong = {at: other[rows[at].label or ""] for at in places}
    return [replace(one, label=wrong[at]) if at in wrong else one for at, one in enumerate(rows)]


def found(rows: Sequence[Example]) -> list[Issue]:
    return list(label_error(Corpus({"train": rows})))


def test_flipped_labels_are_flagged_first_and_the_right_one_is_named() -> None:
    planted = list(range(3, 240, 19))
    rows = clean()
    flagged = [issue for issue in found(flipped(rows, planted)) if issue.flagged]
    assert {issue.examples[0] for issue in flagged} == {f"t:{at}" for at in planted}
    assert [issue.severity for issue in flagged] == sorted((issue.severity for issue in flagged), reverse=True)
    label = {one.id: one.label or "" for one in rows}
    assert all(f"but '{label[issue.examples[0]]}'" in issue.why for issue in flagged)
    assert all(label[issue.examples[1]] == label[issue.examples[0]] for issue in flagged)


def test_control_right_labels_are_not_flagged() -> None:
    assert not [issue for issue in found(clean()) if issue.flagged]


def test_the_order_of_the_rows_changes_nothing() -> None:
    rows = flipped(clean(), range(3, 240, 19))
    assert found(rows) == found(rows[::-1])


def test_a_label_too_rare_to_judge_and_rows_without_labels_are_left_alone() -> None:
    rows = clean()
    assert not [issue for issue in found([*rows, row(999, "a card", "only once")]) if issue.examples[0] == "t:999"]
    assert not found([replace(one, label=None) for one in rows])
    assert not found([replace(one, label="card") for one in rows])


def test_texts_without_words_are_no_error() -> None:
    assert not [issue for issue in found([row(at, "?!"[at % 2], "ab"[at % 2]) for at in range(40)]) if issue.flagged]
    found([row(at, "", "ab"[at % 2]) for at in range(40)])


def test_a_tuned_models_loss_moves_a_row_up_and_is_told() -> None:
    rows = clean()
    losses = {one.id: 0.01 + 0.0001 * at for at, one in enumerate(rows)} | {"t:7": 5.0}
    without, with_losses = (suspicions(Corpus({"train": rows}, losses=some)) for some in ({}, losses))
    assert without is not None
    assert with_losses is not None
    gained = with_losses.score - without.score
    assert gained.argmax() == 7
    issues = label_error(Corpus({"train": flipped(rows, [7])}, losses=losses))
    assert "; the tuned model finds the label 0.7 % likely" in next(iter(issues)).why


def test_rows_of_one_prompt_share_a_fold_and_every_label_is_in_every_fold() -> None:
    keys = np.array([at // 2 for at in range(100)], np.uint64)
    labels = np.array([at // 2 % 5 for at in range(100)])
    fold = folds(keys, labels)
    assert (fold[::2] == fold[1::2]).all()
    assert {(int(one), int(other)) for one, other in zip(fold, labels, strict=True)} == {
        (one, other) for one in range(5) for other in range(5)
    }


@pytest.mark.slow
@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")
def test_one_label_in_twenty_of_banking77_flipped_is_found() -> None:
    rows = read(str(SHARED / "banking77/train.csv"), ReadOptions(input="text", output="category")).examples
    names = sorted({one.label or "" for one in rows})
    rng = np.random.default_rng(1)
    bad = rng.choice(len(rows), len(rows) // 20, replace=False)
    shift = dict(zip(bad.tolist(), rng.integers(1, len(names), len(bad)).tolist(), strict=True))
    wrong = [
        replace(one, label=names[(names.index(one.label or "") + shift.get(at, 0)) % len(names)])
        for at, one in enumerate(rows)
    ]
    severity = {issue.examples[0]: issue.severity for issue in label_error(Corpus({"train": wrong}))}
    scores = np.array([severity.get(one.id, 0.0) for one in rows])
    planted = np.isin(np.arange(len(rows)), bad)
    ranked = np.argsort(-scores, kind="stable")
    assert planted[ranked[: len(bad)]].mean() >= 0.90
    right, below = np.sort(scores[~planted]), scores[planted]
    auroc = (np.searchsorted(right, below) + np.searchsorted(right, below, side="right")).mean() / 2 / len(right)
    assert auroc >= 0.99


def test_where_words_tell_nothing_of_the_labels_none_is_flagged() -> None:
    rng = np.random.default_rng(0)
    words = ["river", "stone", "cloud", "lamp", "paper", "green", "seven", "north", "glass", "bread"]
    rows = [row(n, " ".join(rng.choice(words, 5)) + f" {n}", f"label {n % 3}") for n in range(90)]
    found = list(label_error(Corpus({"train": rows})))
    assert found
    assert not any(issue.flagged for issue in found)
