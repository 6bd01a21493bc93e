"""Markup in texts, answers that do not fit, and how long things are: counted by hand on a tokenizer of bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_tokenizers import CHATML, GEMMA, dialogue, tiny
from transformers import PreTrainedTokenizerBase

from luthier.checks.check import CheckOptions, Corpus
from luthier.checks.cut import cut
from luthier.checks.lengths import histogram, length_tables, tokens_per_word, words
from luthier.checks.tokens import cut_answer, special_tokens
from luthier.data.render import render_all
from luthier.types import Example


def rows(*texts: str, answer: str = "Yes.") -> list[Example]:
    return [dialogue(text, answer, name=f"t:{n}") for n, text in enumerate(texts, 1)]


def corpus(examples: list[Example], tokenizer: PreTrainedTokenizerBase | None = None, **options: int) -> Corpus:
    found = CheckOptions(sample=options.get("sample", 20_000))
    return Corpus({"train": examples}, found, tokenizer=tokenizer, max_length=options.get("max_length"))


@pytest.mark.parametrize("mark", ["<|im_start|>", "[INST]", "<|eot_id|>", "<start_of_turn>", "### Response:"])
@pytest.mark.parametrize("with_tokenizer", [True, False])
def test_markup_of_any_family_is_found_with_and_without_a_tokenizer(mark: str, with_tokenizer: bool) -> None:
    texts = rows("Hi <b>you</b> [1] <3 |", f"Hi {mark}you")
    (issue,) = special_tokens(corpus(texts, tiny(CHATML) if with_tokenizer else None))
    assert issue.examples == ("t:2",)
    assert issue.flagged
    assert mark in issue.why


def test_the_models_own_tokens_weigh_more_than_anothers() -> None:
    examples = [*rows("a <|im_start|>"), dialogue("q", "</turn> b", name="t:2")]
    with_own = {issue.examples: issue.severity for issue in special_tokens(corpus(examples, tiny(CHATML)))}
    without = {issue.examples: issue.severity for issue in special_tokens(corpus(examples))}
    assert with_own == {("t:1",): 0.7, ("t:2",): 0.7}
    assert without == {("t:1",): 0.5}


def test_struck_through_html_is_told_but_not_flagged_without_a_tokenizer() -> None:
    examples = rows("It was <s>ten</s> nine")
    assert [issue.flagged for issue in special_tokens(corpus(examples))] == [False]
    assert [issue.flagged for issue in special_tokens(corpus(examples, tiny(CHATML)))] == [True]


def test_answers_that_do_not_fit_are_those_that_training_cuts() -> None:
    examples = [
        dialogue("Hi", "Yes", name="x:1"),
        dialogue("Hi", "Yes " * 50, name="x:2"),
        dialogue("H" * 90, "Y", name="x:3"),
        *(dialogue("H" * n, "é" * n, name=f"x:{n}") for n in range(4, 40)),
    ]
    tokenizer = tiny(CHATML)
    found = list(cut_answer(corpus(examples, tokenizer, max_length=60)))
    wanted = cut(render_all(examples, tokenizer, max_length=60), max_length=60)
    assert [issue.examples for issue in found] == sorted((issue.examples for issue in wanted), key=_line)
    by_row = {issue.examples[0]: issue for issue in found}
    assert "the whole answer" in by_row["x:3"].why
    assert by_row["x:3"].severity > by_row["x:2"].severity > 0.5


def test_nothing_is_cut_without_a_tokenizer_or_a_length() -> None:
    examples = rows("H" * 500)
    assert not list(cut_answer(corpus(examples, None, max_length=10)))
    assert not list(cut_answer(corpus(examples, tiny(CHATML))))


def test_a_row_that_the_template_refuses_is_named_and_the_others_are_measured() -> None:
    refused = dialogue("Hi", "Yes", system="Be kind", name="t:9")
    found = list(cut_answer(corpus([*rows("H" * 200), refused], tiny(GEMMA), max_length=50)))
    assert [issue.examples for issue in found] == [("t:1",), ("t:9",)]
    assert "System role not supported" in found[1].why


def test_of_too_many_long_rows_a_sample_is_measured_and_says_so() -> None:
    examples = rows(*(f"{n} " * 100 for n in range(150)))
    found = list(cut_answer(corpus(examples, tiny(CHATML), max_length=20, sample=100)))
    assert len(found) == 100
    assert "in a sample of 100 of 150 long rows" in found[0].why
    shuffled = list(cut_answer(corpus(examples[::-1], tiny(CHATML), max_length=20, sample=100)))
    assert found == shuffled


def test_words_are_counted_between_spaces_and_by_letters_where_there_are_none() -> None:
    assert [words(text) for text in ("", "a b\nc", "naïve idée", "你好 world", "これは")] == [0, 3, 2, 3, 3]


def test_a_histogram_holds_every_row_once() -> None:
    counted = np.array([0, 1, 1, 5, 19, 20, 500], np.int64)
    table = histogram(counted, "Words", "words")
    assert table.chart == "columns"
    assert sum(int(str(row[1])) for row in table.rows) == len(counted)
    many = histogram(np.array([*range(1000), 100_000], np.int64), "Words", "words")
    assert str(many.rows[-1][0]).endswith("or more")
    assert sum(int(str(row[1])) for row in many.rows) == 1001


def test_lengths_are_told_in_words_always_and_in_tokens_with_a_tokenizer() -> None:
    examples = rows("one two", "three four five six")
    assert [table.title for table in length_tables(corpus(examples))] == ["Words in prompts", "Words in answers"]
    assert [table.title for table in length_tables(corpus(examples, tiny(CHATML)))][2:] == [
        "Tokens in prompts",
        "Tokens in answers",
    ]
    labelled = [replace(row, label="yes") for row in examples]
    assert [table.title for table in length_tables(corpus(labelled))] == ["Words in prompts"]
    assert not list(length_tables(corpus([])))


def test_tokens_a_word_are_tokens_over_words() -> None:
    tokenizer = tiny(CHATML)
    texts = ["Hello there", "zzz qqq xxx", "A card"]
    (table,) = tokens_per_word(corpus(rows(*texts, answer="x"), tokenizer))
    tokens = sum(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts)
    assert table.rows[0][:4] == ("prompts", "unsure", 3, round(tokens / 7, 3))
    assert not list(tokens_per_word(corpus(rows(*texts))))


def _line(examples: tuple[str, ...]) -> int:
    return int(examples[0].partition(":")[2])
