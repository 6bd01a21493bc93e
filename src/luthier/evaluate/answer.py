"""What a model answers: the likeliest label of a choice, or greedy text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from luthier.batch import in_batches
from luthier.data.render import continuations
from luthier.errors import GateError
from luthier.evaluate.question import Progress, Question
from luthier.model.choose import Choice, choose
from luthier.model.generate import generate
from luthier.model.load import Model

Candidates: TypeAlias = list[list[int]]

DIGITS = 6
"""Decimals of the log-probabilities that are kept of labels."""
_MOST = 64
"""Rows of a choice at a time; the search keeps a line of the vocabulary's size for each row and step."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was said to one question."""

    text: str
    logprob: float | None = None
    """Of a chosen label with its end of turn; None for text."""
    finished: bool | None = None
    """Whether the model ended its turn itself; None for a choice."""
    options: Mapping[str, float] = field(default_factory=dict)
    """Log-probability of each label within the margin of the chosen one, likeliest first; empty without a margin."""
    left_out: float | None = None
    """Probability that all other labels together have at most; None without a margin."""


def pick(
    model: Model,
    questions: Sequence[Question],
    labels: Sequence[str],
    *,
    budget: int,
    progress: Progress,
    margin: float = 0.0,
) -> list[Answer]:
    """For each question the label of highest log-probability, end of turn included, so that no label is a beginning
    of another.

    margin: nats below the chosen label down to which the others' log-probabilities are told; 0 tells none.
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
    for batch in in_batches([questions[at].prompt for at in usual], extra=room, budget=budget, most=_MOST):
        members = [usual[at] for at in batch]
        found |= zip(members, _picked(model, [questions[at] for at in members], labels, shared, margin), strict=True)
        progress("answers", len(found), len(questions))
    for at in own:
        (found[at],) = _picked(model, [questions[at]], labels, _candidates(model, questions[at], labels), margin)
        progress("answers", len(found), len(questions))
    return [found[at] for at in range(len(questions))]


def write(
    model: Model, questions: Sequence[Question], *, max_new_tokens: int, budget: int, progress: Progress
) -> list[Answer]:
    """For each question the greedy continuation, decoded and stripped.

    budget: distinct tokens of prompts that are computed at a time; what is said is held beside them.
    """
    said = generate(
        model,
        [one.prompt for one in questions],
        max_new_tokens=max_new_tokens,
        budget=budget,
        progress=lambda done: progress("answers", done, len(questions)),
    )
    texts = [str(model.tokenizer.decode(one.tokens, skip_special_tokens=True)) for one in said]
    return [Answer(text.strip(), finished=one.stopped) for text, one in zip(texts, said, strict=True)]


def _picked(
    model: Model, questions: Sequence[Question], labels: Sequence[str], candidates: Candidates, margin: float
) -> list[Answer]:
    choices = choose(model, [one.prompt.tolist() for one in questions], candidates, margin=margin)
    return [_answer(one, labels, told=margin > 0) for one in choices]


def _answer(choice: Choice, labels: Sequence[str], *, told: bool) -> Answer:
    options = {labels[at]: round(choice.logprobs[at], DIGITS) for at in choice.near} if told else {}
    left_out = choice.left_out if told else None
    return Answer(labels[choice.best], choice.logprobs[choice.best], options=options, left_out=left_out)


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
