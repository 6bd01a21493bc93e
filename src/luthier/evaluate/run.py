"""One model on some examples: ask, measure the loss, judge."""

from __future__ import annotations

from collections.abc import Sequence

from luthier.errors import DataError
from luthier.evaluate.answer import Answer, pick, write
from luthier.evaluate.headed import headed, number_of
from luthier.evaluate.loss import Loss, losses
from luthier.evaluate.measure import Evaluation, Row, evaluation, row_scores
from luthier.evaluate.preference import Preferred, weigh
from luthier.evaluate.question import Progress, ask
from luthier.evaluate.task import Task, answers
from luthier.model.forward import evaluating
from luthier.model.leaf import leaf_head
from luthier.model.load import Model
from luthier.types import Example


def silent(stage: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def evaluate(
    model: Model,
    examples: Sequence[Example],
    task: Task,
    *,
    budget: int = 8192,
    resamples: int = 2000,
    seed: int = 0,
    margin: float = 0.0,
    progress: Progress = silent,
) -> Evaluation:
    """Asks the model every example in evaluation mode, without gradients, and measures its answers and its loss.

    budget: distinct tokens computed at a time; it decides memory and speed, not the result.
    margin: nats below a chosen label down to which the other labels' probabilities are told; 0 tells none.
    Raises DataError if there is nothing to ask or a prompt is too long, GateError if labels cannot be told apart.
    """
    _check(examples, task)
    if task.kind == "preference":
        with evaluating(model):
            pairs = weigh(model, examples, budget=budget, progress=progress)
        return evaluation(_pair_rows(examples, pairs), task, resamples=resamples, seed=seed)
    questions = ask(examples, model.tokenizer, longest=model.max_length)
    head = leaf_head(model.network)
    with evaluating(model):
        if head is not None and task.kind in ("choice", "number"):
            said, lost = headed(model, head, questions, budget=budget, margin=margin, progress=progress)
        elif task.kind == "choice":
            said = pick(model, questions, task.labels, budget=budget, progress=progress, margin=margin)
        elif task.kind == "loss":
            said = [Answer("")] * len(questions)
        else:
            room = task.max_new_tokens
            said = write(model, questions, max_new_tokens=room, budget=budget, progress=progress)
        if head is None or task.kind not in ("choice", "number"):
            lost = losses(model, questions, budget=budget, progress=progress)
    rows = _rows(examples, said, lost, task)
    unfinished = sum(answer.finished is False for answer in said)
    return evaluation(rows, task, unfinished=unfinished, resamples=resamples, seed=seed)


def _check(examples: Sequence[Example], task: Task) -> None:
    """Every label of a choice is one that can be chosen, and every number is one."""
    for example in examples if task.kind == "number" else ():
        number_of(example)
    for example in examples if task.kind == "choice" else ():
        if example.label not in task.labels:
            raise DataError(f"{example.id}: {example.label!r} is no label of the task; infer the task from all splits")


def _pair_rows(examples: Sequence[Example], pairs: Sequence[Preferred]) -> list[Row]:
    """What is said of a pair is the answer that the model finds likelier."""
    return [
        Row(
            id=example.id,
            question=example.question,
            references=(pair.chosen_text,),
            label=None,
            group=example.group,
            tokens=pair.chosen.tokens,
            text=pair.chosen_text if pair.scores["preference"] else pair.rejected_text,
            logprob=None,
            scores={**pair.scores, "loss": pair.chosen.mean},
            bytes=pair.chosen.bytes,
        )
        for example, pair in zip(examples, pairs, strict=True)
    ]


def _rows(examples: Sequence[Example], said: Sequence[Answer], lost: Sequence[Loss], task: Task) -> list[Row]:
    references = [answers(example) if example.label not in task.labels else (example.label,) for example in examples]
    scores = row_scores([answer.text for answer in said], references, task)
    return [
        Row(
            id=example.id,
            question=example.question,
            references=right,
            label=example.label,
            group=example.group,
            tokens=loss.tokens,
            text=answer.text,
            logprob=answer.logprob,
            scores={**score, "loss": loss.mean},
            bytes=loss.bytes,
            finished=answer.finished,
            options=answer.options,
            left_out=answer.left_out,
        )
        for example, right, answer, loss, score in zip(examples, references, said, lost, scores, strict=True)
    ]
