"""What a model says to a question, how sure it is, and how right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from luthier.errors import RecipeError
from luthier.evaluate.answer import pick, write
from luthier.evaluate.headed import headed
from luthier.evaluate.loss import losses
from luthier.evaluate.measure import row_scores
from luthier.evaluate.question import Progress, ask
from luthier.evaluate.task import Task, answers
from luthier.metrics import named
from luthier.model.forward import evaluating
from luthier.model.leaf import leaf_head
from luthier.model.load import Model
from luthier.types import Example


@dataclass(frozen=True, slots=True)
class Said:
    """One answer."""

    text: str
    logprob: float
    """How sure the model is, in nats: of the chosen label with its end of turn; for text, of the reference a token."""
    score: float
    """By the metric that failures are judged by."""


def judged_by(task: Task) -> str:
    """The metric that says of a single answer how right it is: the task's own, where it means something for one row.

    Raises RecipeError for a task without answers, and where none of its metrics does.
    """
    if task.kind not in ("choice", "text"):
        raise RecipeError(f"a task of the kind {task.kind!r} has no answers to probe; take one of labels or of texts")
    known = [name for name in (task.primary, *task.metrics) if name in task.metrics]
    single = [name for name in known if named(name).by_row and named(name).better == "higher"]
    if not single:
        raise RecipeError(f"{', '.join(task.metrics)}: none says how right a single answer is; name one more metric")
    return single[0]


def said(model: Model, examples: Sequence[Example], task: Task, *, budget: int, progress: Progress) -> list[Said]:
    """A model's answers in evaluation mode, without gradients.

    Raises DataError for a prompt that is too long, GateError where labels cannot be told apart.
    """
    questions = ask(examples, model.tokenizer, longest=model.max_length)
    with evaluating(model):
        head = leaf_head(model.network)
        if task.kind == "choice" and head is not None:
            found, _ = headed(model, head, questions, budget=budget, margin=0.0, progress=progress)
            sure = [one.logprob if one.logprob is not None else 0.0 for one in found]
        elif task.kind == "choice":
            found = pick(model, questions, task.labels, budget=budget, progress=progress)
            sure = [one.logprob if one.logprob is not None else 0.0 for one in found]
        else:
            room = task.max_new_tokens
            found = write(model, questions, max_new_tokens=room, budget=budget, progress=progress)
            sure = [-one.mean for one in losses(model, questions, budget=budget, progress=progress)]
    texts = [one.text for one in found]
    right = [(one.label,) if task.kind == "choice" and one.label else answers(one) for one in examples]
    name = judged_by(task)
    scores = [one[name] for one in row_scores(texts, right, task)]
    return [Said(*one) for one in zip(texts, sure, scores, strict=True)]
