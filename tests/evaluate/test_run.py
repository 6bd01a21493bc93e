"""A model evaluated: against brute force, one row at a time, and a model that was taught the answers."""

from __future__ import annotations

from dataclasses import replace
from math import log

import pytest
import torch
from tiny_chat import CHAT, asked, labelled, tiny_model

from luthier.batch import in_batches, pack
from luthier.data.render import continuations, prompt_tokens, render
from luthier.errors import DataError, GateError
from luthier.evaluate import EvaluateOptions, compare, evaluate, infer
from luthier.evaluate.question import ask
from luthier.model.forward import forward
from luthier.model.load import Model
from luthier.types import Completion, Example, Message

LABELS = ("card", "card arrival", "Card", "top up")
QUESTIONS = ("where is it", "where is my money", "hi", "why", "where is it now", "help me please")
ROWS = [labelled(f"a:{at}", text, LABELS[at % 4]) for at, text in enumerate(QUESTIONS)]
TEXTS = [asked(f"b:{at}", text, text[::-1]) for at, text in enumerate(QUESTIONS)]


def logprob(model: Model, prompt: list[int], answer: list[int]) -> float:
    """Of an answer's tokens behind a prompt, by transformers' own forward, alone."""
    before = model.network.config._attn_implementation
    model.network.set_attn_implementation("eager")
    with torch.no_grad():
        logits = model.network(input_ids=torch.tensor([prompt + answer]), use_cache=False).logits[0].double()
    model.network.set_attn_implementation(before)
    scored = torch.log_softmax(logits, -1)[len(prompt) - 1 : -1]
    return float(scored[torch.arange(len(answer)), torch.tensor(answer)].sum())


def taught(examples: list[Example], *, steps: int = 120) -> Model:
    """A model that learned the examples by heart."""
    model = tiny_model(1)
    sequences = [
        rendered.sequence
        for at, example in enumerate(examples)
        for rendered in render(example, model.tokenizer, max_length=None, example_index=at)
    ]
    batch = pack(sequences)
    optimizer = torch.optim.Adam(model.network.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        (-forward(model, batch).logprobs.sum() / batch.count("token")).backward()
        optimizer.step()
    return model


def test_a_choice_is_the_likeliest_label_by_brute_force() -> None:
    model = tiny_model()
    found = evaluate(model, ROWS, infer(ROWS, tokenizer=model.tokenizer))
    for row, example in zip(found.rows, ROWS, strict=True):
        prompt = prompt_tokens(example, model.tokenizer)
        labels = found.task.labels
        scores = [logprob(model, prompt, one) for one in continuations(example, labels, model.tokenizer)]
        best = max(range(len(labels)), key=scores.__getitem__)
        assert row.text == labels[best]
        assert row.logprob == pytest.approx(scores[best], abs=1e-3)
        assert row.scores["accuracy"] == (row.text == example.label)


def test_the_loss_is_that_of_the_answers_by_brute_force() -> None:
    model = tiny_model()
    found = evaluate(model, TEXTS, infer(TEXTS, EvaluateOptions(max_new_tokens=2), tokenizer=model.tokenizer))
    total = tokens = 0.0
    for row, example in zip(found.rows, TEXTS, strict=True):
        prompt = prompt_tokens(example, model.tokenizer)
        (answer,) = continuations(example, [example.answer], model.tokenizer)
        spent = -logprob(model, prompt, answer)
        assert row.tokens == len(answer)
        assert row.scores["loss"] == pytest.approx(spent / len(answer), rel=1e-5)
        total, tokens = total + spent, tokens + len(answer)
    assert found.metrics["loss"].value == pytest.approx(total / tokens, rel=1e-5)
    assert found.metrics["perplexity"].value == pytest.approx(torch.e ** (total / tokens), rel=1e-4)


def test_every_reference_counts_towards_the_loss() -> None:
    model = tiny_model()
    both = asked("a:1", "where", "here", "over there")
    each = [asked("a:1", "where", "here"), asked("a:2", "where", "over there")]
    options = EvaluateOptions(max_new_tokens=2)
    one = evaluate(model, [both], infer([both], options, tokenizer=model.tokenizer))
    two = evaluate(model, each, infer(each, options, tokenizer=model.tokenizer))
    assert one.metrics["loss"].value == pytest.approx(two.metrics["loss"].value, rel=1e-6)


@pytest.mark.parametrize("rows", [ROWS, TEXTS], ids=["choice", "text"])
def test_neither_order_nor_budget_changes_a_row(rows: list[Example]) -> None:
    model = tiny_model()
    task = infer(rows, EvaluateOptions(max_new_tokens=5), tokenizer=model.tokenizer)
    whole = {row.id: row for row in evaluate(model, rows, task).rows}
    for row in evaluate(model, rows[::-1], task, budget=1).rows:
        other = whole[row.id]
        assert (row.text, row.tokens) == (other.text, other.tokens)
        assert row.scores == pytest.approx(other.scores, rel=1e-5)
        assert row.logprob == (None if other.logprob is None else pytest.approx(other.logprob, rel=1e-5))


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_padding_side_changes_no_answer(side: str) -> None:
    model = tiny_model()
    task = infer(TEXTS, EvaluateOptions(max_new_tokens=5), tokenizer=model.tokenizer)
    usual = evaluate(model, TEXTS, task)
    model.tokenizer.padding_side = side
    assert evaluate(model, TEXTS, task) == usual


def test_bits_per_byte_are_the_loss_over_the_bytes_of_the_references() -> None:
    model = tiny_model()
    rows = [asked("a:1", "hi", "héllo"), asked("a:2", "ho", "a", "bb")]
    found = evaluate(model, rows, infer(rows, EvaluateOptions(max_new_tokens=2), tokenizer=model.tokenizer))
    assert [row.bytes for row in found.rows] == [6, 3]
    nats = sum(row.scores["loss"] * row.tokens for row in found.rows)
    assert found.metrics["bits_per_byte"].value == pytest.approx(nats / log(2) / 9)


def test_a_heavier_row_weighs_more_in_bits_and_bytes_alike() -> None:
    model = tiny_model()
    plain = asked("a:1", "hi", "hello")
    heavy = replace(plain, completions=(Completion((Message("assistant", "hello", weight=3.0),)),))
    task = infer([plain], EvaluateOptions(max_new_tokens=2), tokenizer=model.tokenizer)
    once, thrice = evaluate(model, [plain], task), evaluate(model, [heavy], task)
    assert thrice.rows[0].bytes == 3 * once.rows[0].bytes
    assert thrice.metrics["bits_per_byte"].value == pytest.approx(once.metrics["bits_per_byte"].value)


def test_how_many_answers_ended_is_told_of_text() -> None:
    rows = [asked(f"a:{at}", text, answer) for at, (text, answer) in enumerate((("one", "uno"), ("two", "dos é")))]
    model = taught(rows, steps=60)
    found = evaluate(model, rows, infer(rows, tokenizer=model.tokenizer))
    assert found.metrics["stop_rate"].value == 1
    cut_off = evaluate(model, rows, infer(rows, EvaluateOptions(max_new_tokens=2), tokenizer=model.tokenizer))
    assert cut_off.metrics["stop_rate"].value == 0
    assert "stop_rate" not in evaluate(model, ROWS, infer(ROWS, tokenizer=model.tokenizer)).metrics


def test_a_model_that_was_taught_the_labels_is_better() -> None:
    rows = [labelled(f"a:{at}", f"{'abcdefghij'[at % 10]} {at}", LABELS[at % 2]) for at in range(20)]
    base, tuned = tiny_model(1), taught(rows, steps=40)
    task = infer(rows, tokenizer=base.tokenizer)
    before, after = evaluate(base, rows, task), evaluate(tuned, rows, task)
    assert after.primary.value == 1
    assert after.metrics["loss"].value < before.metrics["loss"].value
    assert compare(before, after).word == "better"


def test_a_model_that_was_taught_texts_writes_them_and_stops() -> None:
    rows = [asked(f"a:{at}", text, answer) for at, (text, answer) in enumerate((("one", "uno"), ("two", "dos é")))]
    model = taught(rows, steps=60)
    found = evaluate(model, rows, infer(rows, tokenizer=model.tokenizer))
    assert [row.text for row in found.rows] == ["uno", "dos é"]
    assert found.primary.value == 1
    assert found.unfinished == 0
    cut_off = evaluate(model, rows, infer(rows, EvaluateOptions(max_new_tokens=2), tokenizer=model.tokenizer))
    assert (cut_off.rows[0].text, cut_off.unfinished) == ("un", 2)


def test_evaluation_leaves_the_model_as_it_was() -> None:
    model = tiny_model()
    model.network.train()
    weights = {name: weight.clone() for name, weight in model.network.state_dict().items()}
    evaluate(model, ROWS, infer(ROWS, tokenizer=model.tokenizer))
    assert all(module.training for module in model.network.modules())
    assert all(weight.grad is None and weight.requires_grad for weight in model.network.parameters())
    assert all(torch.equal(weight, weights[name]) for name, weight in model.network.state_dict().items())


def test_the_same_evaluation_twice_is_the_same_to_the_bit() -> None:
    model = tiny_model()
    task = infer(ROWS, tokenizer=model.tokenizer)
    assert evaluate(model, ROWS, task) == evaluate(model, ROWS, task)


def test_labels_worded_by_the_question_get_candidates_of_their_own() -> None:
    shouting = CHAT.replace(
        "{{ message.content }}<|end|>",
        "{% if message.role == 'assistant' and messages[1].content == 'hi' %}{{ ' ' + message.content }}"
        "{% else %}{{ message.content }}{% endif %}<|end|>",
    )
    model = tiny_model(template=shouting)
    found = evaluate(model, ROWS, infer(ROWS, tokenizer=model.tokenizer))
    hi = next(row for row in found.rows if row.question == "hi")
    example = next(one for one in ROWS if one.id == hi.id)
    answers = continuations(example, found.task.labels, model.tokenizer)
    assert answers != continuations(ROWS[0], found.task.labels, model.tokenizer)
    prompt = prompt_tokens(example, model.tokenizer)
    assert hi.logprob == pytest.approx(max(logprob(model, prompt, one) for one in answers), abs=1e-3)


def test_labels_that_the_template_makes_the_same_are_refused() -> None:
    lowering = CHAT.replace("{{ message.content }}", "{{ message.content | lower }}")
    model = tiny_model(template=lowering)
    rows = [labelled("a:1", "x", "card"), labelled("a:2", "y", "CARD")]
    with pytest.raises((GateError, DataError)):
        evaluate(model, rows, infer(rows, tokenizer=model.tokenizer))


def test_a_label_outside_the_task_and_a_prompt_too_long_are_named() -> None:
    model = tiny_model()
    task = infer(ROWS, tokenizer=model.tokenizer)
    with pytest.raises(DataError, match="b:1: 'other' is no label"):
        evaluate(model, [labelled("b:1", "x", "other")], task)
    with pytest.raises(DataError, match=r"a:0: its prompt has \d+ tokens, and the model holds 20"):
        evaluate(replace(model, max_length=20), ROWS, task)
    with pytest.raises(DataError, match="no rows"):
        evaluate(model, [], task)


def test_progress_rises_to_all_rows() -> None:
    heard: dict[str, list[int]] = {}
    model = tiny_model()
    evaluate(
        model,
        ROWS,
        infer(ROWS, tokenizer=model.tokenizer),
        budget=200,
        progress=lambda stage, done, total: heard.setdefault(stage, []).append(done),
    )
    assert list(heard) == ["answers", "loss"]
    for counts in heard.values():
        assert counts == sorted(counts)
        assert counts[-1] == len(ROWS)


def test_batches_keep_to_the_budget_and_hold_every_question_once() -> None:
    questions = ask(TEXTS, tiny_model().tokenizer, longest=256)
    for budget in (1, 150, 10000):
        batches = list(in_batches([one.prompt for one in questions], extra=10, budget=budget))
        assert sorted(at for batch in batches for at in batch) == list(range(len(TEXTS)))
        for batch in batches:
            paths = {
                tuple(questions[at].prompt[:end]) for at in batch for end in range(1, len(questions[at].prompt) + 1)
            }
            assert len(batch) == 1 or len(paths) + 10 * len(batch) <= budget
