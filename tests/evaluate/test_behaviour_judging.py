"""Failures are those of a hand count: a model that learned strings by heart fails typos, a constant one does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tiny_chat import labelled, tiny_model

from luthier.errors import DataError, RecipeError
from luthier.evaluate import Task, evaluate, infer
from luthier.evaluate.behaviour import perturbations
from luthier.evaluate.behaviour.answers import Said, judged_by
from luthier.evaluate.behaviour.judge import outcome
from luthier.evaluate.behaviour.options import ProbeOptions
from luthier.evaluate.behaviour.probe import Answering, Plan, Probe, answering, judge, plan, replies
from luthier.report.probe import render
from luthier.types import Example, Message

LABELS = ("card", "cash", "fees")
TASK = Task("choice", LABELS, ("accuracy", "macro_f1"), "accuracy", 16)

ROWS = [
    replace(
        labelled(f"t:{at}", f"Hello, please tell me about number {at + 10} again. I do not know.", LABELS[at % 3]),
        meta={"channel": "phone" if at % 2 else "mail"},
    )
    for at in range(48)
]


def silent(stage: str, done: int, total: int) -> None: ...


def planned(asked: Sequence[Example] = ROWS, task: Task = TASK, **options: object) -> Plan:
    model = tiny_model(max_length=1024)
    return plan(asked, task, ProbeOptions(**{"base_rows": None, **options}), model=model, dress=lambda prompt: prompt)  # type: ignore[arg-type]


def by_heart(rows: Sequence[Example]) -> Answering:
    """Knows each question as one string; says `card` to every other, half as surely."""
    known = {row.question: row.label or "" for row in rows}

    def answer(examples: Sequence[Example], progress: object) -> list[Said]:
        texts = [known.get(one.question, "card") for one in examples]
        sure = [0.0 if one.question in known else -1.0 for one in examples]
        return [Said(t, s, float(t == e.label)) for t, s, e in zip(texts, sure, examples, strict=True)]

    return answer


def constant(examples: Sequence[Example], progress: object) -> list[Said]:
    return [Said("cash", -0.5, float(one.label == "cash")) for one in examples]


def probed(plan_: Plan, tuned: Answering, base: Answering | None = None) -> Probe:
    return judge(plan_, replies(plan_, tuned, silent), None if base is None else replies(plan_, base, silent))


def test_a_model_that_knows_strings_by_heart_fails_typos_and_a_constant_one_fails_no_invariance() -> None:
    found = probed(planned(), by_heart(ROWS), constant)
    lines = {line.name: line for line in found.lines}
    wrong = 32  # the rows of the other two labels
    for name in ("neighbour_key", "swapped_letters", "dropped_letter", "upper_case", "greeting", "preface"):
        assert (lines[name].tuned.count, lines[name].tuned.n) == (wrong, 48), name
        assert lines[name].tuned.interval is not None
        assert lines[name].tuned.interval.low > 0.5
        assert lines[name].seen
    assert found.base is not None
    assert found.base.count == 0
    assert all(
        line.base is not None and line.base.count == 0 for line in found.lines if line.asked and line.name != "emptied"
    )


def test_control_a_model_that_does_not_read_is_caught_by_removing_the_input() -> None:
    lines = {line.name: line for line in probed(planned(), constant, by_heart(ROWS)).lines}
    assert lines["emptied"].tuned.count == 48
    assert lines["emptied"].base is not None
    assert lines["emptied"].base.count == 0


def test_the_base_is_asked_some_of_the_rows_and_the_difference_is_on_those() -> None:
    made = planned(base_rows=12, only=("upper_case", "greeting"))
    assert len(made.compared.rows) == 12
    found = judge(made, replies(made, by_heart(ROWS), silent), replies(made.compared, constant, silent))
    for line in found.lines:
        assert line.base is not None
        assert (line.tuned.n, line.base.n, line.paired) == (48, 12, 12)
    assert sum(one.base is not None for one in found.judged) == 24


def test_a_page_escapes_what_rows_say_and_asks_for_nothing() -> None:
    nasty = [replace(row, prompt=asked_nasty(row.question)) for row in ROWS]
    made = planned(nasty, only=("case", "injection"))
    page = render(probed(made, by_heart(nasty), constant), name="<b>run</b>", failed=("<i>gate</i>",))
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page
    assert "<b>run" not in page
    assert "<i>gate" not in page
    assert "http" not in page.replace("http-equiv", "")
    assert "default-src &#39;none&#39;" in page


def asked_nasty(text: str) -> tuple[Message, ...]:
    return (Message("user", f"<script>alert(1)</script> {{{{ 7*7 }}}} {text}"),)


def test_two_models_that_answer_alike_are_not_told_apart() -> None:
    found = probed(planned(), by_heart(ROWS), by_heart(ROWS))
    assert found.difference is not None
    assert not found.difference.seen
    assert not any(line.seen for line in found.lines)


def test_rows_of_one_group_count_together() -> None:
    together = [replace(row, group=f"g{at // 24}") for at, row in enumerate(ROWS)]
    alone, grouped = (probed(planned(rows, only=("upper_case",)), by_heart(rows)) for rows in (ROWS, together))
    one, other = alone.lines[0].tuned.interval, grouped.lines[0].tuned.interval
    assert one is not None
    assert other is not None
    assert one.value == other.value
    assert (other.low, other.high) != (one.low, one.high)


def said(text: str, *, logprob: float = -0.5, score: float = 0.0) -> Said:
    return Said(text, logprob, score)


@pytest.mark.parametrize(
    ("before", "after", "failed", "broken"),
    [
        (said("card", score=1), said("card", score=1), False, False),
        (said("card", score=1), said("cash"), True, True),
        (said("cash"), said("card", score=1), True, None),
        (said("cash"), said("cash"), False, None),
    ],
)
def test_a_label_that_changes_is_a_failure_and_broken_if_it_was_right(
    before: Said, after: Said, failed: bool, broken: bool | None
) -> None:
    found = outcome("same", before, after, bait=None, choice=True, drop=0.1)
    assert (found.failed, found.broken) == (failed, broken)


@pytest.mark.parametrize(
    ("before", "after", "failed"), [(0.8, 0.75, False), (0.8, 0.6, True), (0.05, 0.0, None), (0.4, 0.9, False)]
)
def test_a_text_fails_where_its_score_falls_and_cannot_where_it_has_none(
    before: float, after: float, failed: bool | None
) -> None:
    found = outcome("same", said("a", score=before), said("b", score=after), bait=None, choice=False, drop=0.1)
    assert found.failed is failed


@pytest.mark.parametrize(
    ("before", "after", "choice", "failed"),
    [
        ("card", "cash", True, True),
        ("card", "fees", True, False),
        ("cash", "cash", True, None),
        ("soup", "Okay: banana!", False, True),
        ("soup", "soup", False, False),
        ("banana bread", "BANANA", False, None),
    ],
)
def test_obeying_is_giving_the_wrong_answer_that_was_asked_for(
    before: str, after: str, choice: bool, failed: bool | None
) -> None:
    bait = "cash" if choice else "BANANA"
    assert outcome("disobedience", said(before), said(after), bait=bait, choice=choice, drop=0.1).failed is failed


def test_slices_hold_every_row_once_and_name_those_with_few() -> None:
    found = probed(planned(slices=("channel",)), by_heart(ROWS), constant)
    cuts = {cut.column: cut for cut in found.cuts}
    assert {"length", "class", "channel"} <= cuts.keys()
    assert {(line.value, line.rows) for line in cuts["channel"].lines} == {("mail", 24), ("phone", 24)}
    assert not cuts["class"].lines
    assert cuts["class"].few == (("card", 16), ("cash", 16), ("fees", 16))
    for cut in cuts.values():
        assert sum(line.rows for line in cut.lines) + sum(rows for _, rows in cut.few) == 48
    with pytest.raises(DataError, match="did you mean 'channel'"):
        planned(slices=("chanel",))


def test_what_does_not_fit_the_model_is_left_out_by_name() -> None:
    small = tiny_model(max_length=256)
    found = plan(ROWS, TASK, ProbeOptions(), model=small, dress=lambda prompt: prompt)
    assert {name for _, name, _ in found.unasked} == {"preface"}
    assert "has room for" in found.unasked[0][2]
    assert all(case.name != "preface" for case in found.cases)
    with pytest.raises(DataError, match="no row can be probed"):
        plan(ROWS, TASK, ProbeOptions(), model=replace(small, max_length=40), dress=lambda prompt: prompt)


def test_a_sample_keeps_the_labels_in_proportion_and_is_the_same_every_time() -> None:
    one, other = planned(rows=12), planned(ROWS[::-1], rows=12)
    assert len(one.rows) == 12
    assert one.of == 48
    assert {row.id for row in one.rows} == {row.id for row in other.rows}
    assert [sum(row.label == label for row in one.rows) for label in LABELS] == [4, 4, 4]


def test_a_real_model_is_asked_what_evaluation_asks() -> None:
    model = tiny_model(max_length=1024)
    rows = ROWS[:6]
    task = infer(rows, tokenizer=model.tokenizer)
    made = plan(rows, task, ProbeOptions(only=("case", "emptied")), model=model, dress=lambda prompt: prompt)
    answers = replies(made, answering(model, task, budget=4096), silent)
    expected = evaluate(model, [*rows, *(one.example for one in made.cases)], task).rows
    assert [one.text for one in answers] == [row.text for row in expected]
    assert [one.logprob for one in answers] == pytest.approx([row.logprob for row in expected], abs=1e-4)
    assert [one.score for one in answers] == [row.scores["accuracy"] for row in expected]
    assert perturbations["emptied"].expects == "doubt"


@pytest.mark.parametrize(
    ("task", "name"),
    [
        (TASK, "accuracy"),
        (Task("choice", LABELS, ("macro_f1", "accuracy"), "macro_f1", 16), "accuracy"),
        (Task("text", (), ("bleu", "chrf"), "loss", 16), "chrf"),
    ],
)
def test_failures_are_judged_by_a_metric_that_means_something_for_one_answer(task: Task, name: str) -> None:
    assert judged_by(task) == name


@pytest.mark.parametrize("task", [Task("choice", LABELS, ("macro_f1",), "macro_f1", 16), replace(TASK, kind="loss")])
def test_a_task_without_such_a_metric_or_without_answers_is_refused(task: Task) -> None:
    with pytest.raises(RecipeError):
        judged_by(task)
