"""What a model answers: the likeliest label of a choice, or greedy text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

from luthier.data.render import continuations
from luthier.errors import GateError
from luthier.evaluate.question import Progress, Question, in_batches
from luthier.model.choose import choose
from luthier.model.generate import generate
from luthier.model.load import Model

Candidates: TypeAlias = list[list[int]]

_MOST = 64
"""Rows of a choice at a time; the search keeps a line of the vocabulary's size for each row and step."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said to one question."""

    text: str
    logprob: float | None = None
    """Of a chosen label with its end of turn; None for text."""
    finished: bool = True
    """Whether the model ended its turn itself."""


def pick(
    model: Model, questions: Sequence[Question], labels: Sequence[str], *, budget: int, progress: Progress
) -> list[Answer]:
    """For each question the label of highest log-probability, end of turn included, so that no label is a beginning
    of another.

    Labels are rendered once and serve every question whose own reference comes out the same; a question whose chat
    template words the label differently gets candidates of its own.
    Raises GateError where two labels have the same tokens, or one begins another.
    """
    if not questions:
        return []
    shared = _candidates(model, questions[0], labels)
    place = {label: at for at, label in enumerate(labels)}
    own = [at for at, one in enumerate(questions) if one.reference != shared[place[one.example.label or ""]]]
    found: dict[int, Answer] = {}
    usual = sorted(set(range(len(questions))) - set(own))
    room = 2 * max(map(len, shared))
    for batch in in_batches([questions[at] for at in usual], extra=room, budget=budget, most=_MOST):
        members = [usual[at] for at in batch]
        found |= zip(members, _picked(model, [questions[at] for at in members], labels, shared), strict=True)
        progress("answers", len(found), len(questions))
    for at in own:
        found[at] = _picked(model, [questions[at]], labels, _candidates(model, questions[at], labels))[0]
        progress("answers", len(found), len(questions))
    return [found[at] for at in range(len(questions))]


def write(
    model: Model, questions: Sequence[Question], *, max_new_tokens: int, budget: int, progress: Progress
) -> list[Answer]:
    """For each question the greedy continuation, decoded and stripped."""
    found: dict[int, Answer] = {}
    for batch in in_batches(questions, extra=max_new_tokens, budget=budget):
        prompts = [questions[at].prompt.tolist() for at in batch]
        for at, said in zip(batch, generate(model, prompts, max_new_tokens=max_new_tokens), strict=True):
            text = str(model.tokenizer.decode(said.tokens, skip_special_tokens=True))
            found[at] = Answer(text.strip(), finished=said.stopped)
        progress("answers", len(found), len(questions))
    return [found[at] for at in range(len(questions))]


def _picked(model: Model, questions: Sequence[Question], labels: Sequence[str], candidates: Candidates) -> list[Answer]:
    choices = choose(model, [one.prompt.tolist() for one in questions], candidates)
    return [Answer(labels[one.best], one.logprobs[one.best]) for one in choices]


def _candidates(model: Model, question: Question, labels: Sequence[str]) -> Candidates:
    """The tokens of each label as this question's answer, end of turn included."""
    candidates = continuations(question.example, labels, model.tokenizer)
    _check(candidates, labels)
    return candidates


def _check(candidates: Candidates, labels: Sequence[str]) -> None:
    """In sorted order a beginning stands right before some text that it begins."""
    ranked = sorted(zip(candidates, labels, strict=True))
    for (short, label), (long, other) in pairwise(ranked):
        if long[: len(short)] == short:
            raise GateError(
                f"labels {label!r} and {other!r} cannot be told apart: the tokens of the first begin the second; "
                "rename one, or use a chat template that ends the turn after an answer"
            )
