"""Rows for a run whose answers a linear head gives: the prompt, and what the head is to say of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, pstdev

import numpy as np

from luthier.data.render import Rendered
from luthier.errors import DataError, RecipeError
from luthier.evaluate import EvaluateOptions, Task
from luthier.evaluate.headed import number_of
from luthier.evaluate.task import LOSSES
from luthier.model.leaf import LeafHead
from luthier.objectives import Regress
from luthier.recipe import Recipe
from luthier.types import Example, TokenSequence

SQUARED = "half squared standard deviations a row"


@dataclass(frozen=True, slots=True)
class HeadFacts:
    """What a head answers with."""

    labels: tuple[str, ...]
    """Empty where it answers with a number."""
    mean: float = 0.0
    spread: float = 1.0
    """Mean and standard deviation of the training rows' numbers."""

    def made(self, width: int) -> LeafHead:
        """A head of that many inputs."""
        return LeafHead(width, self.labels, mean=self.mean, spread=self.spread)


def has_head(recipe: Recipe) -> bool:
    """Whether the recipe's objective learns a head."""
    return "head" in recipe.objective.needs


def judging(recipe: Recipe) -> EvaluateOptions:
    """How the run is judged: a head that says numbers, by how far these are off."""
    if not isinstance(recipe.objective, Regress):
        return recipe.evaluate
    return replace(recipe.evaluate, task="text", metric=recipe.evaluate.metric or "mae")


def headed_task(task: Task, recipe: Recipe) -> Task:
    """The task as it is asked of a head: of a choice the same, of a number by its distance.

    Raises RecipeError where it is to be judged by a loss, which a head and its base do not have in common.
    """
    if not has_head(recipe):
        return task
    if task.primary in LOSSES:
        why = "what a head's answer costs is no loss of text, so base and tuned cannot be compared by it"
        raise RecipeError(f"evaluate.metric={task.primary}: {why}; leave it out for the usual metric")
    if not isinstance(recipe.objective, Regress):
        return replace(task, headed=True)
    known = ("mae", "rmse", "r2")
    return replace(task, kind="number", headed=True, metrics=tuple(dict.fromkeys((task.primary, *known))))


def loss_unit(recipe: Recipe) -> str:
    """What a loss of the run is counted in, as it follows a number."""
    if not has_head(recipe):
        return "nats a token"
    return SQUARED if isinstance(recipe.objective, Regress) else "nats a row"


def head_facts(recipe: Recipe, learned: Sequence[Example], asked: Sequence[Example], task: Task) -> HeadFacts:
    """What the head will answer with. Raises RecipeError or DataError where the rows or the recipe do not allow it.

    asked: the rows it will be judged on.
    """
    if recipe.mix.files or recipe.mix.replay:
        raise RecipeError("a head learns one task: leave mix.files and mix.replay out, or use objective=sft")
    if not isinstance(recipe.objective, Regress):
        if task.kind != "choice":
            raise DataError(f"{learned[0].id}: a head tells labels apart, and the answers are text; use objective=sft")
        return HeadFacts(task.labels)
    numbers = [number_of(example) for example in (*learned, *asked)][: len(learned)]
    spread = pstdev(numbers)
    if not spread:
        raise DataError(f"all {len(numbers)} training rows have the number {numbers[0]:g}; there is nothing to learn")
    return HeadFacts((), fmean(numbers), spread)


def head_sequences(
    examples: Sequence[Example], rendered: Sequence[tuple[Rendered, ...]], facts: HeadFacts
) -> tuple[TokenSequence, ...]:
    """Each row as its prompt and the first token of its answer, which is what the head's state would predict.

    The score is the label's place, or the number in spreads from the mean; the weight is the row's own.
    """
    place = {label: at for at, label in enumerate(facts.labels)}
    return tuple(
        _headed(one, place[example.label or ""] if place else (number_of(example) - facts.mean) / facts.spread)
        for example, row in zip(examples, rendered, strict=True)
        for one in row
    )


def _headed(row: Rendered, score: float) -> TokenSequence:
    one, upto = row.sequence, row.prompt + 1
    weight = np.zeros(upto, np.float32)
    weight[-1] = one.weight[row.prompt]
    return replace(one, tokens=one.tokens[:upto], weight=weight, score=float(score), extra={})
