"""Remains of web pages are found and taken out; code, prose about pages and tags that are no HTML are left alone."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizers import dialogue

from luthier.checks import checks
from luthier.checks.check import Corpus
from luthier.checks.markup import WIDE, markup, without_markup
from luthier.types import Issue

REMAINS = {
    "Fish &amp; chips": "Fish & chips",
    "Wait&nbsp;for it": "Wait for it",
    "It&#39;s late": "It's late",
    "one<br>two<BR />three": "one\ntwo\nthree",
    "<p>Hello <b>you</b></p><p>there</p>": "Hello you\nthere",
    '<div class="x">Hi</div>': "Hi",
    '<a href="https://x.org">here</a>': "here",
    "10<sup>5</sup> metres": "10^5 metres",
    "so<!-- a note --> it is": "so it is",
    "a &lt; b": "a < b",
}
INNOCENT = [
    "if a < b and c > d, then R&D; AT&T",
    "<<48/2=24>>24 clips",
    "How do I write a <br> in HTML?",
    "Use `<br>` here, or\n```\n<p>a &amp; b</p>\n```",
    "Send it to <address>, <name>, <input>",
    "<think>so</think><answer>4</answer>",
    "List<String> and vector<p>",
    "I <3 you & him; well",
    "What does <div> mean as a tag?",
]
ISSUE = Issue("markup", (), 0.4, True, "", "")


def corpus(texts: Sequence[str], answers: Sequence[str] = ()) -> Corpus:
    pairs = zip(texts, answers or ["Yes."] * len(texts), strict=True)
    return Corpus({"train": [dialogue(text, answer, name=f"t:{n}") for n, (text, answer) in enumerate(pairs, 1)]})


@pytest.mark.parametrize("text", REMAINS)
def test_what_a_page_left_is_told_by_row_and_taken_out(text: str) -> None:
    (issue,) = markup(corpus(["clean", text]))
    assert issue.examples == ("t:2",)
    assert issue.flagged
    assert without_markup(issue, text) == REMAINS[text]


@pytest.mark.parametrize("text", INNOCENT)
def test_code_and_other_angle_brackets_are_left_alone(text: str) -> None:
    assert not list(markup(corpus([text])))


def test_code_in_a_row_that_is_told_of_stays() -> None:
    assert without_markup(ISSUE, "Fish &amp; chips, `a &amp; b`") == "Fish & chips, `a &amp; b`"


def test_very_many_rows_are_one_finding_and_pages_as_answers_are_noted() -> None:
    few, share = WIDE
    texts = [f"Row {n}<br>" if n < few else f"Row {n}" for n in range(int(few / share))]
    (issue,) = markup(corpus(texts))
    assert len(issue.examples) == few
    assert issue.flagged
    assert "interval" in issue.why
    assert len(list(markup(corpus(texts[1:])))) == few - 1
    (noted,) = markup(corpus(["Say it"] * few, [f"<p>So {n}</p>" for n in range(few)]))
    assert not noted.flagged


def test_shuffled_rows_give_the_same_findings() -> None:
    rows = [dialogue(text, "Yes.", name=f"t:{n}") for n, text in enumerate([*REMAINS, *INNOCENT])]
    assert list(markup(Corpus({"train": rows}))) == list(markup(Corpus({"train": rows[::-1]})))


@settings(max_examples=60)
@given(st.lists(st.sampled_from([*REMAINS, *INNOCENT, "`", " "]), max_size=6))
def test_taking_out_again_and_again_ends(pieces: list[str]) -> None:
    text = " ".join(pieces)
    for _ in range(9):
        text, before = without_markup(ISSUE, text), text
    assert text == before


def test_kinds_are_told_apart() -> None:
    kind = checks["markup"].kind
    assert kind is not None
    assert {kind(issue) for issue in markup(corpus(["a &amp; b", "a<br>b"]))} == {"tags", "entities"}


@pytest.mark.parametrize("unit", ["<", "&", "<p ", "<!--", "`", "&amp", "<a b=", "<div "])
def test_the_cost_of_hostile_text_grows_with_its_length_alone(unit: str) -> None:
    def seconds(text: str) -> float:
        begun = time.process_time()
        list(markup(corpus([text])))
        return time.process_time() - begun

    seconds(unit * 100)
    short, long = seconds(unit * 2_000), seconds(unit * 20_000)
    assert long < 40 * short + 0.2
