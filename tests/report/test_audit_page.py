"""The audit's page can be mailed: what it quotes of a row shows no personal data or secret whole."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from luthier.checks.audit import audit
from luthier.checks.check import Corpus
from luthier.report.audit import CARDS, OPEN_OF_KINDS, as_json, groups, sentence, write
from luthier.types import Completion, Example, Issue, Message

KEY = "sk-proj-Ab12Cd34Ef56Gh78Ij90Kl12Mn34"
CARD = "4111 1111 1111 1111"
PLAIN = "Where is my parcel, order 4711, which you sent on 3 May?"


def row(text: str, label: str, at: int) -> Example:
    return Example(f"t.csv:{at}", (Message("user", text),), (Completion((Message("assistant", label),)),), label)


def told(folder: Path, texts: Iterable[str]) -> str:
    """Everything that an audit of these rows says, on the page and to machines."""
    corpus = Corpus({"train": [row(text, "ab"[at % 2], at) for at, text in enumerate(texts, 2)]})
    found = audit(corpus, fast=True)
    page = write(folder, found, corpus, ["t.csv"]).read_text(encoding="utf-8")
    issues = "\n".join(json.dumps(asdict(issue), ensure_ascii=False) for issue in found.issues)
    return page + issues + json.dumps(as_json(found, corpus, ["t.csv"]), ensure_ascii=False)


def test_a_key_and_a_card_stand_nowhere_in_an_audit_and_ordinary_text_does(tmp_path: Path) -> None:
    said = f"My key {KEY} and my card {CARD} were lost."
    everything = told(tmp_path, [said, said, said.upper().replace(KEY.upper(), KEY), PLAIN, PLAIN, PLAIN])
    assert "contradiction" in everything
    assert KEY not in everything
    assert CARD not in everything
    assert "[KEY sk-p…]" in everything
    assert "[CARD …1111]" in everything
    assert PLAIN in everything


@pytest.mark.parametrize("before", range(14, 60, 3))
def test_a_value_that_a_quotation_cuts_is_not_shown_up_to_the_cut(tmp_path: Path, before: int) -> None:
    said = ("My key, which I have lost and which you will never ever find again " * 2)[:before] + " " + KEY
    everything = told(tmp_path, [said] * 4)
    assert "contradiction" in everything
    assert KEY[:12] not in everything


def test_findings_of_one_kind_fold_and_every_kind_is_seen(tmp_path: Path) -> None:
    mails = [f"Row {n}: write to ann{n}@mail.de" for n in range(60)]
    said = [*mails, *[f"Row {n}: pay with {CARD}" for n in range(3)], "call +49 30 901820", *[PLAIN] * 3]
    corpus = Corpus({"train": [row(text, "ab"[at % 2], at) for at, text in enumerate(said, 2)]})
    found = audit(corpus, fast=True)
    (group,) = (one for one in groups(found, corpus) if one.name == "personal_data")
    shown = {kind.name: (kind.total, len(kind.open), len(kind.folded)) for kind in group.kinds}
    assert shown == {
        "a payment card": (3, 3, 0),
        "an e-mail address": (60, OPEN_OF_KINDS, CARDS - OPEN_OF_KINDS),
        "a phone number": (1, 1, 0),
    }
    assert group.left == 60 - CARDS
    page = write(tmp_path, found, corpus, ["t.csv"]).read_text(encoding="utf-8")
    assert all(f"<h4>{name} " in page for name in shown)
    assert page.count("Row ") == 3 + CARDS


def test_a_check_of_one_kind_needs_no_headings(tmp_path: Path) -> None:
    assert "<h4>" not in told(tmp_path, [f"Row {n}: write to ann{n}@mail.de" for n in range(20)])


def test_an_audit_that_was_stopped_says_which_checks_were_not_done(tmp_path: Path) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what == "secrets":
            raise KeyboardInterrupt

    rows = {"train": [row(f"Row {n}: write to ann{n}@mail.de", "ab"[n % 2], n) for n in range(9)]}
    found = audit(Corpus(rows, progress=stop), fast=True)
    whole = audit(Corpus(rows), fast=True)
    assert found.issues == whole.issues
    assert found.skipped.keys() - whole.skipped.keys() == {"secret"}
    page = write(tmp_path, found, Corpus(rows), ["t.csv"]).read_text(encoding="utf-8")
    assert "Stopped before every check was run" in page
    assert "so far" in page
    assert "stopped before it was done: keys, tokens and passwords" in page


def test_the_sentence_and_the_facts_for_machines_count_the_same_findings() -> None:
    corpus = Corpus({"train": [row(f"Row {n} of words", "ab"[n % 2], n) for n in range(9)]})
    flagged, noted = (
        Issue("duplicate", ("t.csv:1", "t.csv:2"), 0.5, sure, "Alike.", "Look.") for sure in (True, False)
    )
    found = replace(audit(corpus, fast=True), issues=(flagged, flagged, noted), gates=())
    facts = as_json(found, corpus, ["t.csv"])
    assert (facts["findings"], facts["noted"]) == (2, 1)
    assert sentence(found) == facts["sentence"] == "2 findings in 2 rows, 1 more noted; nothing that stops a run"
    assert sentence(replace(found, issues=(flagged,))) == "1 finding in 2 rows; nothing that stops a run"
    assert sentence(replace(found, issues=(noted,))) == "no finding, 1 noted; nothing that stops a run"
