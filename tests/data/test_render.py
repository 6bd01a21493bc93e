"""Rendering: training looks as serving does, the answer and the end of its turn are learned, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_tokenizers import (
    BARE,
    CHATML,
    CONSISTENT,
    GEMMA,
    LLAMA3,
    MISTRAL,
    THINK,
    THINK_DROPPED,
    UNENDED,
    dialogue,
    stops,
    tiny,
)
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase

from luthier.data.render import Rendered, continuations, pieces, prompt_tokens, render, render_all
from luthier.data.template import DEFAULT_TEMPLATE, ensure_template
from luthier.errors import DataError, GateError
from luthier.types import Completion, Example, Json, Message

KINDS = ["bytes", "words"]
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0<>"), min_size=1, max_size=30).filter(str.strip)


def tokenizer(family: str, kind: str = "bytes") -> PreTrainedTokenizerBase:
    made = tiny(CONSISTENT[family], kind=kind)
    ensure_template(made)
    return made


def one(example: Example, made: PreTrainedTokenizerBase, *, max_length: int | None = None) -> Rendered:
    (rendered,) = render(example, made, max_length=max_length, example_index=0)
    return rendered


def learned(rendered: Rendered, made: PreTrainedTokenizerBase) -> list[str]:
    return [text for text, kept in pieces(rendered.sequence, made) if kept]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", CONSISTENT)
@settings(max_examples=25)
@given(question=TEXT, answer=TEXT)
def test_training_begins_with_exactly_what_serving_renders(family: str, kind: str, question: str, answer: str) -> None:
    made, example = tokenizer(family, kind), dialogue(question, answer)
    rendered = one(example, made)
    turns = [{"role": "user", "content": question}]
    served = made.apply_chat_template(turns, add_generation_prompt=True, tokenize=True, return_dict=False)
    assert rendered.sequence.tokens[: rendered.prompt].tolist() == served == prompt_tokens(example, made)
    assert not rendered.sequence.weight[: rendered.prompt].any()
    assert rendered.sequence.weight[rendered.prompt :].all()
    assert rendered.sequence.tokens[-1] == rendered.stop


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("family", CONSISTENT)
def test_the_answer_and_the_end_of_its_turn_are_learned_and_nothing_follows(family: str, kind: str) -> None:
    made = tokenizer(family, kind)
    rendered = one(dialogue("Is the card lost?", "Yes, since Monday."), made)
    (text,) = learned(rendered, made)
    assert text.removesuffix(str(made.decode([rendered.stop]))).strip().endswith("Yes, since Monday.")
    assert rendered.stop in stops(made)
    assert rendered.sequence.tokens[-1] == rendered.stop


def test_a_hand_written_example_has_these_pieces() -> None:
    made = tiny(CHATML)
    expected = [
        ("<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", False),
        ("Hello there<|im_end|>", True),
    ]
    assert pieces(one(dialogue("Hi", "Hello there", system="Be kind."), made).sequence, made) == expected


@pytest.mark.parametrize("family", ["chatml", "llama3", "gemma", "mistral", "think", "default"])
def test_every_assistant_turn_of_a_conversation_is_learned_with_its_end(family: str) -> None:
    made = tokenizer(family)
    rendered = one(dialogue("Hi", "Hello", "And now?", "Good bye"), made)
    ending = str(made.decode([rendered.stop]))
    stripped = [text.strip().removeprefix("<think>\n\n</think>").strip() for text in learned(rendered, made)]
    assert stripped == ["Hello" + ending, "Good bye" + ending]


def test_earlier_turns_without_an_end_of_their_own_are_learned_as_they_stand() -> None:
    made = tiny(BARE)
    assert learned(one(dialogue("Hi", "Hello", "And?", "Bye"), made), made) == ["Hello", "Bye</s>"]


def test_a_turn_marked_untrained_or_of_weight_zero_is_not_learned() -> None:
    made = tiny(CHATML)
    example = dialogue("Hi", "Hello", "And now?", "Good bye")
    for mark in ({"train": False}, {"weight": 0.0}):
        turns = [replace(turn, **mark) if turn.role == "assistant" else turn for turn in example.prompt]
        assert learned(one(replace(example, prompt=tuple(turns)), made), made) == ["Good bye<|im_end|>"]
    (last,) = render(example, made, max_length=None, example_index=0, learn="last")
    assert learned(last, made) == ["Good bye<|im_end|>"]


def test_the_weight_of_a_message_is_the_weight_of_its_tokens() -> None:
    made = tiny(BARE)
    example = replace(dialogue("Hi", "-"), completions=(Completion((Message("assistant", "Yes", weight=0.25),)),))
    rendered = one(example, made)
    assert set(rendered.sequence.weight[rendered.prompt :].tolist()) == {0.25}


@pytest.mark.parametrize(("template", "count"), [(LLAMA3, 1), (GEMMA, 1), (MISTRAL, 1), (CHATML, 0)])
def test_a_sequence_begins_once(template: str, count: int) -> None:
    made = tiny(template)
    made.add_bos_token = True
    assert one(dialogue("Hi", "Hello"), made).sequence.tokens.tolist().count(made.bos_token_id) == count


def test_a_token_across_the_end_of_the_prompt_is_taken_apart() -> None:
    """The template ends the prompt with a line break and the answer begins with two: tokenised whole, they join."""
    made = tiny(BARE)
    assert len(made("\n\n", add_special_tokens=False)["input_ids"]) == 1
    example = dialogue("Hi", "\n\nHello")
    whole = made("### Ask:\nHi\n\n### Answer:\n\n\nHello", add_special_tokens=False)["input_ids"]
    assert whole[: len(prompt_tokens(example, made))] != prompt_tokens(example, made)
    rendered = one(example, made)
    assert rendered.sequence.tokens[: rendered.prompt].tolist() == prompt_tokens(example, made)
    assert learned(rendered, made) == ["\n\nHello</s>"]


def test_a_prompt_rewritten_by_a_longer_conversation_is_trained_on_as_it_is_served() -> None:
    """This template moves the system message into the last user turn, and drops it once that has been answered."""
    made = tiny(MISTRAL)
    example = dialogue("Hi", "Hello", system="Be kind.")
    text = made.decode(one(example, made).sequence.tokens)
    assert text == "<s>[INST] Be kind.\n\nHi [/INST] Hello</s>"


def test_an_earlier_turn_that_is_not_served_so_is_refused_by_name() -> None:
    made = tiny(MISTRAL)
    example = dialogue("Hi", "Hello", "And?", "Bye", system="Be kind.")
    with pytest.raises(GateError, match=r"t\.csv:2: template: .*learn='last'"):
        one(example, made)
    (rendered,) = render(example, made, max_length=None, example_index=0, learn="last")
    assert learned(rendered, made) == [" Bye</s>"]


@pytest.mark.parametrize("template", [THINK_DROPPED, UNENDED])
def test_a_template_that_cannot_be_made_consistent_is_refused_by_name(template: str) -> None:
    with pytest.raises(GateError, match=r"t\.csv:2: template: "):
        one(dialogue("Hi", "Hello"), tiny(template))


@pytest.mark.parametrize("family", ["think begun", "think closed"])
def test_an_earlier_turn_without_the_block_that_served_it_is_refused(family: str) -> None:
    with pytest.raises(GateError, match=r"t\.csv:2: template: .*turn 2 .*learn='last'"):
        one(dialogue("Hi", "Hello", "And?", "Bye"), tokenizer(family))


def test_a_template_that_refuses_a_role_names_the_row() -> None:
    with pytest.raises(DataError, match=r"t\.csv:2: .*System role not supported"):
        one(dialogue("Hi", "Hello", system="Be kind."), tiny(GEMMA))


def test_reasoning_and_tool_calls_are_learned_whole() -> None:
    made = tiny(THINK)
    call: Json = {"function": {"name": "find", "arguments": {}}}
    for message in (
        Message("assistant", "Hello", fields={"reasoning_content": "greet back"}),
        Message("assistant", "", fields={"tool_calls": [call]}),
    ):
        rendered = one(replace(dialogue("Hi", "-"), completions=(Completion((message,)),)), made)
        (text,) = learned(rendered, made)
        assert text.startswith("<think>\n")
        assert text.endswith("<|im_end|>")
        assert ("greet back" in text and "Hello" in text) or '"name": "find"' in text


def test_tools_reach_the_template() -> None:
    made = tiny("{% if tools %}{{ tools[0].name }}\n{% endif %}" + CHATML)
    example = replace(dialogue("Hi", "Hello"), tools=({"name": "search"},))
    assert str(made.decode(one(example, made).sequence.tokens)).startswith("search\n")


def test_what_does_not_fit_is_counted() -> None:
    made, example = tiny(CHATML), dialogue("How do I reset my card?", "The card is lost.")
    whole = one(example, made)
    for length in range(1, len(whole.sequence) + 1):
        some = one(example, made, max_length=length)
        assert len(some.sequence) == length
        assert some.cut + some.sequence.supervised == whole.sequence.supervised
    assert one(example, made, max_length=len(whole.sequence)).cut == 0
    assert one(example, made, max_length=3).cut == whole.sequence.supervised


def test_each_completion_of_a_prompt_is_a_sequence_of_one_group_with_its_score() -> None:
    made, example = tiny(CHATML), dialogue("Hi", "Hello")
    pair = tuple(Completion((Message("assistant", text),), score) for text, score in (("good", 1.0), ("bad", 0.0)))
    rows = render(replace(example, completions=pair), made, max_length=None, example_index=7)
    assert [(row.sequence.group, row.sequence.score) for row in rows] == [(7, 1.0), (7, 0.0)]
    assert rows[0].prompt == rows[1].prompt


@pytest.mark.parametrize("family", CONSISTENT)
def test_many_at_once_are_rendered_as_one_by_one(family: str) -> None:
    made = tokenizer(family)
    examples = [dialogue(f"Is it {number}?", f"It is {number}.", name=f"t:{number}") for number in range(600)]
    for index, (row,) in enumerate(render_all(examples, made, max_length=40)):
        if index % 97 == 0 or index > 595:
            (alone,) = render(examples[index], made, max_length=40, example_index=index)
            np.testing.assert_array_equal(row.sequence.tokens, alone.sequence.tokens)
            np.testing.assert_array_equal(row.sequence.weight, alone.sequence.weight)
            assert (row.sequence.group, row.prompt, row.stop) == (index, alone.prompt, alone.stop)


@pytest.mark.parametrize("family", CONSISTENT)
def test_continuations_follow_the_prompt_as_in_training(family: str) -> None:
    made, example = tokenizer(family), dialogue("Hi", "lost_card")
    whole = one(example, made)
    (tokens, other) = continuations(example, ["lost_card", "found"], made)
    assert whole.sequence.tokens.tolist() == prompt_tokens(example, made) + tokens
    assert other[-1] == whole.stop


def test_a_tokenizer_that_knows_no_offsets_renders_too() -> None:
    made = ByT5Tokenizer(extra_ids=0)
    assert not made.is_fast
    assert ensure_template(made)
    example = dialogue("Hi", "Hello ä", "And?", "Bye")
    rendered = one(example, made)
    assert learned(rendered, made) == [" Hello ä</s>", " Bye</s>"]
    assert rendered.sequence.tokens[: rendered.prompt].tolist() == prompt_tokens(example, made)


def test_a_template_is_given_only_where_there_is_none() -> None:
    made = tiny("")
    assert ensure_template(made)
    assert made.chat_template == DEFAULT_TEMPLATE
    assert not ensure_template(made)
    assert made.decode(one(dialogue("Hi", "Hello", system="Kind."), made).sequence.tokens) == (
        "<s>Kind.\n\nUser: Hi\n\nAssistant: Hello</s>"
    )


def test_the_default_template_needs_an_end_of_text_token() -> None:
    made = tiny("")
    made.eos_token = None
    with pytest.raises(GateError, match="neither a chat template nor an end-of-text token"):
        ensure_template(made)
