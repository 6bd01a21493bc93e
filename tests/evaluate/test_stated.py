"""Tasks that are stated, preferences, and slices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tiny_chat import asked, labelled, tiny_model, tokenizer

from luthier.data.render import continuations, prompt_tokens
from luthier.errors import DataError, RecipeError
from luthier.evaluate import EvaluateOptions, TaskOptions, evaluate, make, sliced, stated
from luthier.model.choose import choose_by_all
from luthier.types import Completion, Example, Message

CHAT = tokenizer()
OPTIONS = EvaluateOptions()
MINE = TaskOptions(mode="loss")


def pair(id_: str, question: str, chosen: str, rejected: str) -> Example:
    worse = Completion((Message("assistant", rejected),), score=0.0)
    return replace(asked(id_, question, chosen), completions=(asked(id_, question, chosen).completions[0], worse))


PAIRS = [pair("p:1", "hi", "hello", "go away"), pair("p:2", "why", "because", "no"), pair("p:3", "hi", "a", "bcdef")]


def written(folder: Path, text: str) -> str:
    path = folder / "task.yaml"
    path.write_text(text)
    return str(path)


def test_a_task_is_read_from_a_file_with_its_rows_beside_it(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n")
    found = stated(written(tmp_path, "mode: choice\ndata: rows.csv\ninput: a\nmetrics: [macro_f1]\nslices: [length]\n"))
    assert found.mode == "choice"
    assert found.data == str(tmp_path / "rows.csv")
    assert (found.reading.input, found.reading.output) == ("a", None)
    assert make(found, [labelled("a:1", "x", "no")], OPTIONS, tokenizer=CHAT).metrics == ("macro_f1",)


def test_a_task_in_python_is_named_by_its_module() -> None:
    assert stated("test_stated:MINE") is MINE or stated(f"{__name__}:MINE") == MINE
    with pytest.raises(RecipeError, match="must be a luthier"):
        stated("luthier.errors:DataError")
    with pytest.raises(RecipeError, match="cannot be imported"):
        stated("luthier.errors:nothing")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mod: choice", "did you mean 'mode'"),
        ("mode: guess", "mode: "),
        ("- choice", "holds list"),
        ("mode: [", "cannot be read"),
    ],
)
def test_a_wrong_task_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        stated(written(tmp_path, text))


def test_a_mode_without_answers_takes_no_metric_of_answers() -> None:
    rows = [asked("a:1", "x", "y")]
    with pytest.raises(RecipeError, match="'chrf' judges answers"):
        make(TaskOptions(mode="loss", metrics=("chrf",)), rows, OPTIONS, tokenizer=CHAT)
    with pytest.raises(DataError, match="a:1: is no pair"):
        make(TaskOptions(mode="preference"), rows, OPTIONS, tokenizer=CHAT)
    with pytest.raises(RecipeError, match="did you mean 'chrf'"):
        make(TaskOptions(metrics=("exact", "chrff")), rows, OPTIONS, tokenizer=CHAT)


def test_the_mode_follows_the_rows() -> None:
    assert make(TaskOptions(), PAIRS, OPTIONS, tokenizer=CHAT).kind == "preference"
    assert make(TaskOptions(), [labelled("a:1", "x", "no")], OPTIONS, tokenizer=CHAT).kind == "choice"
    assert make(TaskOptions(mode="generate"), [labelled("a:1", "x", "no")], OPTIONS, tokenizer=CHAT).kind == "text"


def test_loss_mode_writes_nothing_and_gives_the_loss_of_any_other_mode() -> None:
    model = tiny_model()
    rows = [asked("a:1", "hi", "hello"), asked("a:2", "why", "because")]
    lost = evaluate(model, rows, make(TaskOptions(mode="loss"), rows, OPTIONS, tokenizer=model.tokenizer))
    text = evaluate(model, rows, make(TaskOptions(max_new_tokens=2), rows, OPTIONS, tokenizer=model.tokenizer))
    assert list(lost.metrics) == ["loss", "perplexity", "bits_per_byte"]
    assert lost.primary == lost.metrics["bits_per_byte"] == text.metrics["bits_per_byte"]


def test_a_preference_is_the_likelier_answer_by_brute_force() -> None:
    model = tiny_model()
    found = evaluate(model, PAIRS, make(TaskOptions(), PAIRS, OPTIONS, tokenizer=model.tokenizer))
    for row, example in zip(found.rows, PAIRS, strict=True):
        texts = [one.text for one in example.completions]
        candidates = continuations(example, texts, model.tokenizer)
        (both,) = choose_by_all(model, [prompt_tokens(example, model.tokenizer)], candidates)
        chosen, rejected = both.logprobs
        assert row.scores["preference"] == (chosen > rejected)
        assert row.scores["preference_per_token"] == (chosen / len(candidates[0]) > rejected / len(candidates[1]))
        assert row.text == texts[chosen <= rejected]
    assert found.primary.value == sum(row.scores["preference"] for row in found.rows) / 3


def test_swapping_the_answers_turns_every_preference_round() -> None:
    model = tiny_model()
    swapped = [pair(one.id, one.question, one.completions[1].text, one.answer) for one in PAIRS]
    task = make(TaskOptions(), PAIRS, OPTIONS, tokenizer=model.tokenizer)
    before, after = evaluate(model, PAIRS, task), evaluate(model, swapped, task)
    assert [row.scores["preference"] for row in before.rows] == [1 - row.scores["preference"] for row in after.rows]


def rows(n: int = 30) -> list[Example]:
    made = [labelled(f"a:{at}", " ".join(["word"] * (at + 1)), "no" if at % 3 else "yes") for at in range(n)]
    return [replace(one, meta={"channel": "app" if at % 2 else "web"}) for at, one in enumerate(made)]


def test_slices_by_length_hold_every_row_once() -> None:
    found = sliced(rows(), ["length"])
    assert [one.value for one in found] == ["1 to 10 words", "11 to 20 words", "21 to 30 words"]
    assert [len(one.ids) for one in found] == [10, 10, 10]
    assert len(frozenset[str]().union(*(one.ids for one in found))) == 30


def test_slices_by_class_and_column_come_largest_first() -> None:
    found = sliced(rows(), ["class", "channel"])
    assert [(one.by, one.value, len(one.ids)) for one in found] == [
        ("class", "no", 20),
        ("class", "yes", 10),
        ("channel", "web", 15),
        ("channel", "app", 15),
    ]


def test_small_slices_are_told_together_so_that_no_row_is_lost() -> None:
    found = sliced(rows(12), ["class"])
    assert [(one.value, len(one.ids)) for one in found] == [("no", 8), ("yes", 4)]
    many = [replace(one, meta={"user": f"u{at // 6}" if at < 12 else f"v{at}"}) for at, one in enumerate(rows(30))]
    some = [*many[:-1], replace(many[-1], meta={})]
    found = sliced(some, ["user"])
    assert [(one.value, len(one.ids)) for one in found] == [("u0", 6), ("u1", 6), ("17 others", 17), ("no user", 1)]
    assert len(frozenset[str]().union(*(one.ids for one in found))) == 30


def test_a_division_into_slices_that_are_all_too_small_says_so() -> None:
    (found,) = sliced(rows(9), ["length"])
    assert (found.value, len(found.ids)) == ("none of 3 has 5 rows", 9)


def test_a_division_that_makes_no_sense_is_refused() -> None:
    written = [replace(one, label=None) for one in rows()]
    with pytest.raises(RecipeError, match="these rows have no class"):
        sliced(written, ["class"])
    with pytest.raises(RecipeError, match=r"'chanel' is no column of these rows; there are .*channel"):
        sliced(rows(), ["chanel"])
