"""Rows alike, duplicates, contradictions and contamination: what is planted is found, and nothing else."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from luthier.checks import Check, CheckOptions, Corpus, checks
from luthier.checks.check import Evidence, Spare
from luthier.checks.runs import runs, worded
from luthier.checks.twins import jaccard, joined, pairs, stars
from luthier.data.read import ReadOptions, read
from luthier.types import Completion, Example, Issue, Message

SHARED = Path(__file__).parents[3] / "shared" / "data"
SAID = ["{name} lies at the {place} ", "at the {place} you find {name} ", "go to {name}, which is by the {place} "]
WORDS = [a + b for a in "bdfgklmnprstvz" for b in ("a", "eno", "iro", "ola", "una", "ys")]
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared real data is not there")
wordllama = pytest.mark.skipif(find_spec("wordllama") is None, reason="wordllama is not installed")


def row(name: str, text: str, answer: str = "a", label: str | None = None) -> Example:
    return Example(name, (Message("user", text),), (Completion((Message("assistant", label or answer),)),), label=label)


def sentences(count: int, seed: int, words: int = 30) -> list[str]:
    drawn = random.Random(seed)
    return [" ".join(drawn.choice(WORDS) for _ in range(words)) for _ in range(count)]


def edited(text: str, drawn: random.Random) -> str:
    """One word at an end is added, lost or changed: the Jaccard of 30 words stays above 0.9."""
    words = text.split()
    kind = drawn.randrange(3)
    return " ".join(["please", *words] if kind == 0 else words[:-1] if kind == 1 else [*words[:-1], "thanks"])


def found(name: str, splits: Mapping[str, Sequence[Example]]) -> list[Issue]:
    return list(checks[name].find(Corpus(splits)))


def brute_force(texts: Sequence[str], near: float) -> set[tuple[int, int]]:
    """Every pair that shares a run, the slow way."""
    sets = [set(runs([text]).numbers.tolist()) for text in texts]
    having: defaultdict[int, list[int]] = defaultdict(list)
    alike: set[tuple[int, int]] = set()
    for at, some in enumerate(sets):
        shared = Counter(other for run in some for other in having[run])
        alike |= {(to, at) for to, both in shared.items() if both / (len(some) + len(sets[to]) - both) >= near}
        for run in some:
            having[run].append(at)
    return alike


def test_runs_are_the_same_where_the_words_are_and_end_with_the_text() -> None:
    made = runs(["a b c d", "b c d", "", "c", "ü b c d"])
    assert np.diff(made.offsets).tolist() == [2, 1, 0, 1, 2]
    assert made.of(0)[1] == made.of(1)[0] == made.of(4)[1]
    assert len(set(made.numbers.tolist())) == 4
    assert runs(["b"]).numbers[0] != runs(["a b c d"], 1).numbers[0] == runs(["x a"], 1).numbers[1]
    assert runs(["a b", "c"], 3, short=False).offsets.tolist() == [0, 0, 0]
    assert not len(runs([]).numbers)


def test_scripts_without_spaces_are_compared_by_letters() -> None:
    one, other = (worded((Message("user", text),)) for text in ("今天天气很好我们去公园吧", "今天天气很好我们去公园呀"))
    assert jaccard(one, other) == pytest.approx(9 / 11)
    assert worded((Message("system", "。"), Message("user", ""), Message("user", "Hi!"))) == "。 hi"


@pytest.mark.parametrize("near", [0.6, 0.8, 0.9])
def test_pairs_are_those_of_brute_force(near: float) -> None:
    drawn = random.Random(1)
    texts = []
    for text in sentences(200, 1, words=80):
        texts.append(text)
        for _ in range(drawn.randrange(3)):
            words = text.split()
            for _ in range(drawn.randrange(1, 4)):
                words[drawn.randrange(80)] = drawn.choice(WORDS)
            texts.append(" ".join(words))
    texts = list(dict.fromkeys(texts))
    corpus = Corpus({"train": [row(f"t:{n}", text) for n, text in enumerate(texts)]}, CheckOptions(near=near))
    wanted = brute_force(texts, near)
    got = {(one, other) for one, other, _ in pairs(corpus)}
    assert len(wanted) > 40
    assert not got - wanted
    assert len(got & wanted) >= 0.98 * len(wanted)


def test_an_instruction_in_every_row_makes_no_rows_alike() -> None:
    instruction = " ".join(WORDS[:40])
    rows = [row(f"t:{n}", f"{instruction} {text}") for n, text in enumerate(sentences(200, 2, words=5))]
    assert not len(pairs(Corpus({"train": rows})).first)


def test_short_phrases_that_many_rows_share_do_not_hide_that_two_are_alike() -> None:
    drawn, texts = random.Random(15), sentences(400, 15, words=9)
    kinds, areas = ["a cheap pub", "a fine pub", "a loud bar"], ["in the old town", "by the wide river"]
    rows = [row(f"t:{n}", f"{text} is {drawn.choice(kinds)} {drawn.choice(areas)}") for n, text in enumerate(texts)]
    near = [row(f"u:{n}", f"please {rows[n].question}") for n in range(40)]
    found_pairs = {(one, other) for one, other, _ in pairs(Corpus({"train": rows + near}))}
    assert found_pairs == {(n, 400 + n) for n in range(40)}


def test_giant_clusters_stay_linear() -> None:
    drawn = random.Random(3)
    (text,) = sentences(1, 3, words=60)
    rows = [row(f"t:{n}", f"{drawn.random()} {text}") for n in range(3000)]
    rows += [row(f"u:{n}", other) for n, other in enumerate(sentences(100, 4))]
    assert len(pairs(Corpus({"train": rows}, CheckOptions(near=0.9))).first) <= 8 * len(rows)


def test_a_star_has_its_first_near_every_other_and_leaves_nobody_out() -> None:
    links = [(0, 1), (1, 2), (2, 3), (5, 6), (5, 7)]
    groups = stars(links)
    assert {at for group in groups for at in group} == {0, 1, 2, 3, 5, 6, 7}
    assert all((min(group[0], at), max(group[0], at)) in links for group in groups for at in group[1:])
    assert joined(links) == [(0, 1, 2, 3), (5, 6, 7)]


def test_planted_duplicates_are_found_as_clusters_and_the_first_is_kept() -> None:
    texts = sentences(300, 5)
    rows = [row(f"t:{n}", text, f"answer {n}") for n, text in enumerate(texts)]
    copies = [row(f"u:{n}", f" {texts[n].upper()}!", f"answer  {n}") for n in range(20)]
    copies += [row(f"v:{n}", texts[n], f"answer {n}") for n in range(5)]
    issues = found("duplicate", {"train": rows + copies})
    assert [issue.examples for issue in issues] == [
        (f"t:{n}", f"u:{n}", *([f"v:{n}"] if n < 5 else [])) for n in range(20)
    ]
    assert {one.row for one in spared("duplicate", rows + copies)} == {one.id for one in copies}
    assert not found("duplicate", {"train": rows, "test": copies[:20]})
    assert not found("near_duplicate", {"train": rows + copies})


def test_another_answer_to_one_prompt_is_no_duplicate() -> None:
    rows = [row(f"t:{n}", f"fact {n // 4}", f"reference {n}") for n in range(80)]
    assert not any(found(name, {"train": rows}) for name in ("duplicate", "near_duplicate", "contradiction"))


def test_planted_near_duplicates_are_found_in_any_order_and_clean_rows_are_not() -> None:
    drawn, texts = random.Random(6), sentences(400, 6)
    rows = [row(f"t:{n}", text, label="xyz"[n % 3]) for n, text in enumerate(texts)]
    planted = [replace(row(f"u:{n}", edited(texts[n], drawn)), label="xyz"[n % 3]) for n in range(60)]
    issues = found("near_duplicate", {"train": rows + planted})
    assert {issue.examples for issue in issues} == {(f"t:{n}", f"u:{n}") for n in range(60)}
    spare = spared("near_duplicate", rows + planted)
    assert {frozenset((one.row, one.kept)) for one in spare} == {frozenset(issue.examples) for issue in issues}
    mixed = rows + planted
    drawn.shuffle(mixed)
    assert found("near_duplicate", {"train": mixed}) == issues
    assert not found("near_duplicate", {"train": rows})


def test_the_same_words_with_other_numbers_and_text_answers_are_no_near_duplicates() -> None:
    texts = [f"{text} {n}" for n, text in enumerate(sentences(50, 7))]
    rows = [row(f"t:{n}", text, "one long answer to all of it") for n, text in enumerate(texts)]
    other = [row(f"u:{n}", f"{text}5", "one long answer to all of it") for n, text in enumerate(texts)]
    same = [row(f"v:{n}", f"so {text}", "one long answer to all of it") for n, text in enumerate(texts[:9])]
    assert not found("near_duplicate", {"train": rows + other})
    assert len(found("near_duplicate", {"train": rows + same})) == 9


def test_a_near_duplicate_of_a_later_row_with_the_same_prompt_and_another_answer_is_found() -> None:
    (text,) = sentences(1, 9)
    rows = [row("t:1", text, "no"), row("t:2", f"{text} please", "yes"), row("t:3", text, "yes")]
    (issue,) = found("near_duplicate", {"train": rows})
    assert issue.examples == ("t:2", "t:3")


def test_held_out_rows_nearly_in_training_are_named_with_their_twin_and_only_the_twin_is_dropped() -> None:
    drawn, texts = random.Random(8), sentences(200, 8)
    train = [row(f"train:{n}", text) for n, text in enumerate(texts)]
    test = [row(f"test:{n}", edited(texts[n], drawn)) for n in range(30)] + [row("test:99", texts[99])]
    issues = found("near_leak", {"train": train, "test": test})
    assert {issue.examples for issue in issues} == {(f"test:{n}", f"train:{n}") for n in range(30)}
    assert all("%" in issue.why and issue.examples[1] in issue.why for issue in issues)
    assert dropped(checks["near_leak"], issues) == {f"train:{n}" for n in range(30)}
    (leak,) = found("leak", {"train": train, "test": test})
    assert dropped(checks["leak"], [leak]) == {"train:99"}
    assert not found("near_leak", {"train": train[30:], "test": test})


@pytest.mark.parametrize(
    ("one", "other"),
    [("so #### 12", "thus #### 13"), ("Yes, it is.", "No."), ("true", "False, it is not")],
)
def test_answers_that_disagree_are_one_issue_a_prompt(one: str, other: str) -> None:
    texts = sentences(40, 9)
    rows = [row(f"t:{n}", text, one) for n, text in enumerate(texts)]
    against = [row(f"u:{n}", texts[n].title() + "?", other) for n in range(10)]
    issues = found("contradiction", {"train": rows + against})
    assert [set(issue.examples) for issue in issues] == [{f"t:{n}", f"u:{n}"} for n in range(10)]
    assert not found("contradiction", {"train": rows + [replace(row, id=f"v:{row.id}") for row in rows]})


def test_numbers_written_otherwise_do_not_disagree() -> None:
    rows = [row("t:1", "How many?", "x #### 1,200"), row("t:2", "How many?", "y #### 1200.0")]
    assert not found("contradiction", {"train": rows})


def test_labels_that_contradict_are_named_and_an_exact_prompt_is_surer_than_a_near_one() -> None:
    drawn, texts = random.Random(10), sentences(200, 10)
    rows = [row(f"t:{n}", text, label="lost") for n, text in enumerate(texts)]
    exact = [row(f"u:{n}", texts[n].upper(), label="found") for n in range(10)]
    near = [row(f"u:{n}", edited(texts[n], drawn), label="found") for n in range(10, 20)]
    issues = found("contradiction", {"train": rows, "test": exact + near})
    assert {frozenset(issue.examples) for issue in issues} == {frozenset((f"u:{n}", f"t:{n}")) for n in range(20)}
    assert [issue.severity > 0.6 for issue in issues] == [True] * 10 + [False] * 10
    assert all("'lost'" in issue.why and "'found'" in issue.why for issue in issues)
    assert not found("contradiction", {"train": rows, "test": [replace(one, label="Lost ") for one in exact + near]})


def test_an_answer_to_another_prompt_stands_out_among_references() -> None:
    names = [f"Inn{n} of{n} town{n}" for n in range(60)]
    rows = [
        row(f"t:{n}-{k}", f"describe {n}", f"{name} is {('a', 'the', 'one')[k]}")
        for n, name in enumerate(names)
        for k in range(3)
    ]
    wrong = [row(f"u:{n}", f"describe {n}", f"{names[n + 30]} is it") for n in range(5)]
    issues = found("contradiction", {"train": rows + wrong})
    assert {issue.examples[0] for issue in issues} >= {one.id for one in wrong}
    assert len(issues) <= 6
    assert not found("contradiction", {"train": rows})


def test_texts_that_name_another_value_contradict_and_other_words_for_it_do_not() -> None:
    drawn = random.Random(17)
    places = ["riverside", "centre", "hilltop", "harbour"]
    facts = [(f"inn {n}", places[n % 4]) for n in range(80)]
    rows = [
        row(f"t:{n}-{k}", f"describe {name} at {place}", drawn.choice(SAID).format(name=name, place=place) + str(k))
        for n, (name, place) in enumerate(facts)
        for k in range(3)
    ]
    wrong = [
        row(f"u:{n}", f"describe inn {n} at {facts[n][1]}", SAID[0].format(name=f"inn {n}", place=places[(n + 1) % 4]))
        for n in range(8)
    ]
    issues = found("contradiction", {"train": rows + wrong})
    assert {issue.examples[0] for issue in issues} == {one.id for one in wrong}
    assert all(repr(places[(int(issue.examples[0][2:]) + 1) % 4]) in issue.why for issue in issues)
    assert not found("contradiction", {"train": rows})


def test_contamination_names_the_evaluation_row_and_the_words() -> None:
    drawn, texts = random.Random(12), sentences(120, 12)
    train = [row(f"t:{n}", text, "fine") for n, text in enumerate(texts)]
    evaluation = [
        row("e:1", texts[1].upper()),
        row("e:2", edited(texts[2], drawn)),
        row("e:3", f"quite another question {' '.join(texts[3].split()[5:18])} or is it not one"),
        row("e:4", f"quite another question {' '.join(texts[4].split()[5:17])} or is it not one"),
        row("e:5", "who are you"),
    ]
    corpus = Corpus({"train": [*train, row("t:900", "Who are you?")]}, against={"exam.jsonl": evaluation})
    issues = list(checks["contamination"].find(corpus))
    assert [issue.examples for issue in issues] == [("t:1",), ("t:2",), ("t:3",), ("t:900",)]
    assert [issue.flagged for issue in issues] == [True, True, False, True], (
        "e:3 shares no more than a thirteen words' run"
    )
    assert "e:3 of exam.jsonl" in issues[2].why
    assert " ".join(texts[3].split()[5:18]) in issues[2].why
    assert checks["contamination"].gate
    assert dropped(checks["contamination"], issues) == {"t:1", "t:2", "t:3", "t:900"}
    assert not list(checks["contamination"].find(Corpus({"train": train[5:]}, against={"exam.jsonl": evaluation[:4]})))
    assert not list(checks["contamination"].find(Corpus({"train": train})))


def test_a_question_quoted_within_other_text_is_contamination_and_rows_of_one_form_are_not() -> None:
    texts, names = sentences(60, 15), sentences(60, 16, words=2)
    evaluation = [row(f"e:{n}", text, name) for n, (text, name) in enumerate(zip(texts, names, strict=True))]
    quoted = [row(f"t:{n}", f"what do you say to this {texts[n]} or is it not one", "fine") for n in range(20)]
    alike = [row(f"t:{n}", f"{names[n]} {texts[n][len(texts[n]) // 2 :]}", "fine") for n in range(20, 60)]
    issues = list(checks["contamination"].find(Corpus({"train": quoted + alike}, against={"exam": evaluation})))
    assert {issue.examples for issue in issues if issue.flagged} == {(one.id,) for one in quoted}
    assert {issue.examples for issue in issues if not issue.flagged} <= {(one.id,) for one in alike}


def test_an_instruction_of_an_evaluation_is_no_contamination() -> None:
    instruction = " ".join(WORDS[:20])
    train = [row(f"t:{n}", f"{instruction} {text}") for n, text in enumerate(sentences(60, 13))]
    evaluation = [row(f"e:{n}", f"{instruction} {text}") for n, text in enumerate(sentences(60, 14))]
    assert not list(checks["contamination"].find(Corpus({"train": train}, against={"exam": evaluation})))


@wordllama
def test_other_words_for_the_same_are_found_and_other_numbers_are_not() -> None:
    one, other = "Can I exchange USD for GBP in your app?", "Can I use your app to exchange USD for GBP?"
    clean = ["Where is my card?", "Why was I charged twice?", "I lost my phone abroad", "Top up by cheque"]
    train = [row(f"t:{n}", text, label="x") for n, text in enumerate([one, "Please send 40 pounds to her", *clean])]
    more = [row("u:1", other, label="x"), row("u:2", "Please send 50 pounds to her", label="x")]
    assert [issue.examples for issue in found("meaning_duplicate", {"train": train + more})] == [("t:0", "u:1")]
    assert [issue.examples for issue in found("meaning_leak", {"train": train, "test": more})] == [("u:1", "t:0")]
    against = Corpus({"train": train}, against={"exam": more})
    assert [issue.examples for issue in checks["meaning_contamination"].find(against)] == [("t:0",)]
    assert not found("meaning_duplicate", {"train": [*train, replace(more[0], label="y")]})


@real
def test_banking77_has_twelve_duplicates_in_training() -> None:
    options = ReadOptions(input="text", output="category")
    train = read(str(SHARED / "banking77" / "train.csv"), options).examples
    issues = found("duplicate", {"train": train})
    assert sum(len(issue.examples) - 1 for issue in issues) == 12


@real
def test_paraphrases_of_e2e_do_not_contradict() -> None:
    rows = read(str(SHARED / "e2e-cleaned" / "train.csv"), ReadOptions(input="mr", output="ref", limit=1500)).examples
    assert sum(len(issue.examples[:1]) for issue in found("contradiction", {"train": rows})) <= 0.01 * len(rows)
    assert not found("near_duplicate", {"train": rows})


def spared(name: str, rows: Sequence[Example]) -> list[Spare]:
    check = checks[name]
    assert check.spare is not None
    return list(check.spare(Corpus({"train": rows}), Evidence()))


def dropped(check: Check, issues: Sequence[Issue]) -> set[str]:
    assert check.drop is not None
    return {name for issue in issues for name in check.drop(issue)}
