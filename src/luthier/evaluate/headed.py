"""What a linear head answers: a label with the likelihood of every other, or a number."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

import numpy as np
from numpy.typing import NDArray

from luthier.batch import cut, pack
from luthier.errors import DataError
from luthier.evaluate.answer import DIGITS, Answer
from luthier.evaluate.loss import Loss
from luthier.evaluate.question import Progress, Question
from luthier.metrics.regression import whole_number
from luthier.model.forward import evaluating, forward
from luthier.model.leaf import LeafHead
from luthier.model.load import Model
from luthier.types import Example, TokenSequence


def headed(
    model: Model, head: LeafHead, questions: Sequence[Question], *, budget: int, margin: float, progress: Progress
) -> tuple[list[Answer], list[Loss]]:
    """For each question the head's answer, and how likely it finds the right one.

    margin: nats below the likeliest label down to which the others are told; 0 tells none. A label's loss is in nats
    and a number's is half its squared error in spreads of the training rows: both for each row, as they are learned.
    """
    out = outputs(model, questions, budget=budget, progress=progress)
    if not head.labels:
        values = out[:, 0] * head.spread + head.mean
        said = [Answer(_written(value)) for value in values.tolist()]
        return said, [_squared(one, value, head) for one, value in zip(questions, out[:, 0].tolist(), strict=True)]
    place = {label: at for at, label in enumerate(head.labels)}
    said = [_told(row, head.labels, margin) for row in out]
    lost = [_nats(one, row, place) for one, row in zip(questions, out, strict=True)]
    return said, lost


def headed_text(model: Model, head: LeafHead, example: Example, prompt: Sequence[int]) -> str:
    """The head's answer to one prompt."""
    question = Question(example, np.array(prompt, np.int64), ())
    with evaluating(model):
        (row,) = outputs(model, [question], budget=len(prompt) + 1, progress=lambda *_: None)
    return head.labels[int(row.argmax())] if head.labels else _written(float(row[0]) * head.spread + head.mean)


def number_of(example: Example) -> float:
    """A row's answer as a number. Raises DataError where it is none."""
    found = whole_number(example.answer)
    if found is None:
        why = "is no number, and objective=regress learns numbers"
        raise DataError(f"{example.id}: {example.answer!r} {why}; leave the row out, or use objective=sft")
    return found


def outputs(model: Model, questions: Sequence[Question], *, budget: int, progress: Progress) -> NDArray[np.float64]:
    """What the head says of each question: (q, k), log-probabilities of its labels or numbers in spreads."""
    found: dict[int, list[float]] = {}
    for members in cut([_read(at, one) for at, one in enumerate(questions)], budget=budget):
        scores = forward(model, pack(members), needs=frozenset({"head"}))
        assert scores.head is not None, "the forward brings what it was asked for"
        rows = scores.head.double().cpu().tolist()
        found |= {member.group: row for member, row in zip(members, rows, strict=True)}
        progress("answers", len(found), len(questions))
    return np.array([found[at] for at in range(len(questions))], np.float64)


def _read(at: int, question: Question) -> TokenSequence:
    """The prompt, and a token behind it that nothing reads: the head's state is the one that would predict it."""
    tokens = np.concatenate((question.prompt, question.prompt[-1:])).astype(np.int64)
    weight = np.zeros(len(tokens), np.float32)
    weight[-1] = 1.0
    return TokenSequence(tokens, weight, question.example.id, group=at)


def _told(row: NDArray[np.float64], labels: Sequence[str], margin: float) -> Answer:
    best = int(row.argmax())
    near = [int(at) for at in np.argsort(-row, kind="stable") if row[at] >= row[best] - margin] if margin else []
    options = {labels[at]: round(float(row[at]), DIGITS) for at in near}
    left_out = max(0.0, 1 - sum(exp(value) for value in options.values())) if margin else None
    return Answer(labels[best], float(row[best]), options=options, left_out=left_out)


def _nats(question: Question, row: NDArray[np.float64], place: dict[str, int]) -> Loss:
    label = question.example.label or ""
    return _loss(question, -float(row[place[label]])) if label in place else Loss(0.0, 0.0, 0.0)


def _squared(question: Question, found: float, head: LeafHead) -> Loss:
    right = (number_of(question.example) - head.mean) / head.spread
    return _loss(question, 0.5 * (found - right) ** 2)


def _loss(question: Question, cost: float) -> Loss:
    """A row is one token, of the weight that its first answer's tokens have."""
    weight = float(question.sequences[0].weight[len(question.prompt)]) if question.sequences else 0.0
    return Loss(cost * weight, weight, 0.0)


def _written(value: float) -> str:
    """A number as plain decimals, which every reader of numbers reads."""
    return f"{value:.6f}".rstrip("0").rstrip(".")
