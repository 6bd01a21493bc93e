"""The gate passes what is rendered rightly, and each planted mistake is caught by the proof that is meant to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tiny_tokenizers import CHATML, CONSISTENT, LLAMA3, THINK, dialogue, stops, tiny
from tokenizers import normalizers
from transformers import PreTrainedTokenizerBase

from luthier.checks import proofs
from luthier.checks.gate import gate, prove
from luthier.data.render import Rendered, render_all
from luthier.data.template import ensure_template
from luthier.errors import GateError
from luthier.types import Completion, Example, Json, Message

EXAMPLES = [
    dialogue("Is the card lost?", "Yes, since Monday.", name="t.csv:2"),
    dialogue("Hi", "Hello", "And now?", "Good bye, ﬁne ½", name="t.csv:3"),
]
Plant = Callable[[Rendered, PreTrainedTokenizerBase], Rendered]


def made_with(template: str, kind: str = "bytes") -> PreTrainedTokenizerBase:
    made = tiny(template, kind=kind)
    ensure_template(made)
    return made


def rendered_by(made: PreTrainedTokenizerBase) -> list[tuple[Rendered, ...]]:
    return list(render_all(EXAMPLES, made, max_length=None))


def tokens_of(rendered: Rendered, tokens: list[int], weight: list[float]) -> Rendered:
    ids, weights = np.array(tokens, dtype=np.int64), np.array(weight, dtype=np.float32)
    return replace(rendered, sequence=replace(rendered.sequence, tokens=ids, weight=weights))


def without_the_end(rendered: Rendered, _: PreTrainedTokenizerBase) -> Rendered:
    return tokens_of(rendered, rendered.sequence.tokens.tolist()[:-1], rendered.sequence.weight.tolist()[:-1])


def end_not_learned(rendered: Rendered, _: PreTrainedTokenizerBase) -> Rendered:
    return tokens_of(rendered, rendered.sequence.tokens.tolist(), [*rendered.sequence.weight.tolist()[:-1], 0.0])


def begun_twice(rendered: Rendered, made: PreTrainedTokenizerBase) -> Rendered:
    bos = made.bos_token_id
    assert isinstance(bos, int)
    return tokens_of(rendered, [bos, *rendered.sequence.tokens.tolist()], [0.0, *rendered.sequence.weight.tolist()])


def not_begun(rendered: Rendered, _: PreTrainedTokenizerBase) -> Rendered:
    return tokens_of(rendered, rendered.sequence.tokens.tolist()[1:], rendered.sequence.weight.tolist()[1:])


def all_masked(rendered: Rendered, _: PreTrainedTokenizerBase) -> Rendered:
    return tokens_of(rendered, rendered.sequence.tokens.tolist(), [0.0] * len(rendered.sequence))


def all_learned(rendered: Rendered, _: PreTrainedTokenizerBase) -> Rendered:
    return tokens_of(rendered, rendered.sequence.tokens.tolist(), [1.0] * len(rendered.sequence))


def shifted(by: int) -> Plant:
    def plant(rendered: Rendered, _: PreTrainedTokenizerBase) -> Rendered:
        return tokens_of(rendered, rendered.sequence.tokens.tolist(), np.roll(rendered.sequence.weight, by).tolist())

    return plant


PLANTED: dict[str, tuple[Plant, str]] = {
    "no end": (without_the_end, "gate-end"),
    "end not learned": (end_not_learned, "gate-end"),
    "begun twice": (begun_twice, "gate-beginning"),
    "not begun": (not_begun, "gate-beginning"),
    "all masked": (all_masked, "gate-supervised"),
    "all learned": (all_learned, "gate-answer"),
    "shifted left": (shifted(-1), "gate-serving"),
    "shifted right": (shifted(1), "gate-answer"),
}


@pytest.mark.parametrize("kind", ["bytes", "words"])
@pytest.mark.parametrize("family", CONSISTENT)
def test_right_renderings_pass(family: str, kind: str) -> None:
    made = made_with(CONSISTENT[family], kind)
    rendered = list(render_all(EXAMPLES, made, max_length=None, learn="last"))
    prove(EXAMPLES, rendered, made, stop=stops(made), learn="last")
    if family not in ("think begun", "think closed"):  # these write an earlier turn otherwise than it was served
        prove(EXAMPLES, rendered_by(made), made, stop=stops(made))


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_mistake_is_caught_and_its_row_named(planted: str) -> None:
    plant, proof = PLANTED[planted]
    made = made_with(LLAMA3)
    first, second = rendered_by(made)
    issues = list(gate(EXAMPLES, [first, (plant(second[0], made),)], made, stop=stops(made)))
    assert proof in {issue.check for issue in issues}
    assert {issue.examples for issue in issues} == {("t.csv:3",)}
    assert all(issue.severity == 1 and issue.flagged and issue.remedy for issue in issues)


def test_a_template_that_is_served_otherwise_than_trained_on_is_caught() -> None:
    made, other = made_with(CHATML), made_with(CHATML.replace("assistant\n{% endif %}", "assistant:\n{% endif %}"))
    issues = list(gate(EXAMPLES, rendered_by(made), other, stop=stops(made)))
    assert {issue.check for issue in issues} == {"gate-serving"}
    assert "training parts from serving at token" in issues[0].why


def test_a_template_without_an_end_that_generation_stops_on_is_caught() -> None:
    made = made_with(CHATML)
    with pytest.raises(GateError, match=r"the last learned token is '<\|im_end\|>', but generation stops on '</s>'"):
        prove(EXAMPLES, rendered_by(made), made, stop=frozenset({made.get_vocab()["</s>"]}))


def test_a_template_that_begins_twice_is_caught() -> None:
    made = made_with("{{ bos_token }}" + LLAMA3)
    assert {issue.check for issue in gate(EXAMPLES, rendered_by(made), made, stop=stops(made))} == {"gate-beginning"}


def test_a_message_that_holds_the_beginning_of_sequence_is_caught() -> None:
    made, example = made_with(LLAMA3), dialogue("Hi <s>", "Hello")
    rendered = list(render_all([example], made, max_length=None))
    assert [issue.check for issue in gate([example], rendered, made, stop=stops(made))] == ["gate-beginning"]


def test_a_tokenizer_that_loses_the_answer_is_caught() -> None:
    made = made_with(CHATML)
    made.backend_tokenizer.normalizer = normalizers.Lowercase()
    assert {issue.check for issue in gate(EXAMPLES, rendered_by(made), made, stop=stops(made))} == {"gate-answer"}


def test_reasoning_and_tool_calls_pass() -> None:
    made = made_with(THINK)
    call: Json = {"function": {"name": "find", "arguments": {}}}
    messages = (
        Message("assistant", "Hello", fields={"reasoning_content": "greet"}),
        Message("assistant", "", fields={"tool_calls": [call]}),
    )
    examples = [Example("t:1", (Message("user", "Hi"),), (Completion((message,)),)) for message in messages]
    prove(examples, list(render_all(examples, made, max_length=None)), made, stop=stops(made))


def test_the_error_lists_the_first_row_of_each_proof_and_counts_the_rest() -> None:
    made = made_with(LLAMA3)
    masked = [(all_masked(row, made),) for (row,) in rendered_by(made)]
    with pytest.raises(GateError, match=r"2 of 2 rows .*\n  gate-supervised fails 2 times, first t\.csv:2: no token"):
        prove(EXAMPLES, masked, made, stop=stops(made))


def test_every_proof_has_a_planted_mistake() -> None:
    assert set(proofs) == {proof for _, proof in PLANTED.values()}
