"""Models and runs judged on rows of the user's choice, after the fact."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from luthier.checks import Corpus, checks
from luthier.data.read import ReadOptions, read
from luthier.errors import DataError, RecipeError, RunError
from luthier.evaluate import EvaluateOptions, Evaluation, Task, compare, evaluate, infer, merge_references
from luthier.evaluate.reads import Read
from luthier.evaluate.verdict import Verdict
from luthier.methods import switched_off
from luthier.methods.tuned import open_tuned
from luthier.model.accept import open_model
from luthier.model.load import Model, ModelOptions
from luthier.recipe import Recipe
from luthier.run.assistant import recipe_of
from luthier.run.audit import told
from luthier.run.files import read_json
from luthier.run.folder import same_data
from luthier.run.looks import looked_again
from luthier.run.prepare import read_splits
from luthier.run.show import Show
from luthier.types import Example


@dataclass(frozen=True, slots=True)
class Assessed:
    """How a model did on rows."""

    tuned: Evaluation
    base: Evaluation | None
    """The run's base on the same rows; None where it was not asked."""
    verdict: Verdict | None
    before: tuple[Read, ...]
    """Earlier readings of the same rows."""


def assess(
    target: str,
    *,
    data: str | None = None,
    reading: ReadOptions | None = None,
    options: EvaluateOptions | None = None,
    against_base: bool = True,
    show: Show | None = None,
) -> Assessed:
    """A run's tuned model, or any model by name, on the run's test rows or on those of a file.

    Its base is asked only for a run, where `against_base`. The reading of the rows is noted.
    Raises RecipeError for a model without a file, and what reading and opening raise.
    """
    show = show or Show()
    run = Path(target)
    if not (run / "recipe.yaml").is_file():
        return _of_model(target, data, reading or ReadOptions(), options or EvaluateOptions(), show)
    recipe = recipe_of(run)
    options = options or recipe.evaluate
    rows, task, look = _rows(run, recipe, data, reading, show)
    model = open_tuned(run)
    tuned = judge(model, rows, task, options, "tuned", show)
    base = _base(recipe, model, rows, task, options, show) if against_base else None
    return Assessed(tuned, base, None if base is None else compare(base, tuned), look())


def _of_model(name: str, data: str | None, reading: ReadOptions, options: EvaluateOptions, show: Show) -> Assessed:
    if data is None:
        raise RecipeError(f"{name}: is no run folder, so it needs rows to be judged on: --data FILE")
    model = open_model(ModelOptions(name=name))
    found = read(data, reading)
    rows = merge_references(found.examples)
    tuned = judge(model, rows, infer(rows, options, tokenizer=model.tokenizer), options, name, show)
    before = looked_again(name, name, found.examples, file=data, options=reading, labels=found.labels)
    return Assessed(tuned, None, None, before)


def _doubts(recipe: Recipe, asked: Sequence[Example]) -> list[str]:
    """What makes rows of a file weak evidence about a run: that it learned from them, or never saw their labels."""
    try:
        _, splits = read_splits(recipe.data)
    except DataError as error:
        return [f"whether the run learned from these rows cannot be told: {error}"]
    corpus = Corpus({"train": splits["train"], "test": asked})
    return told([issue for name in ("leak", "unseen") for issue in checks[name].find(corpus)])


def _rows(
    run: Path, recipe: Recipe, data: str | None, reading: ReadOptions | None, show: Show
) -> tuple[tuple[Example, ...], Task, Callable[[], tuple[Read, ...]]]:
    """The rows to ask, the run's own task with every label that the file brings besides, what notes the reading."""
    task = _task(run)
    if data is None:
        readings, splits = read_splits(recipe.data)
        same_data(run, {role: reading.file for role, reading in readings.items()})
        own = readings.get("test", readings["train"]).file.path
        noting = partial(looked_again, file=own, options=recipe.data, labels=readings["train"].labels)
        look = partial(noting, str(run), recipe.model.name, splits["test"])
        return merge_references(_asked(run, splits["test"])), task, look
    labels = read_json(run / "data.json").get("shown_labels")
    options = reading or replace(recipe.data, limit=None)
    asked = read(data, options, labels=labels).examples
    for doubt in _doubts(recipe, asked):
        show.say(doubt)
    if task.kind == "choice":
        brought = {example.label for example in asked if example.label is not None}
        task = replace(task, labels=tuple(sorted({*task.labels, *brought})))
    look = partial(looked_again, str(run), recipe.model.name, asked, file=data, options=options, labels=labels)
    return merge_references(asked), task, look


def _task(run: Path) -> Task:
    """What the run was judged by. Raises RunError for a run that is not finished."""
    path = run / "report.json"
    if not path.exists():
        raise RunError(f"{run}: is not finished; `luthier train --resume {run}` finishes it")
    made = read_json(path)["task"]
    return Task(
        kind=made["kind"],
        labels=tuple(made["labels"] or ()),
        metrics=tuple(made["metrics"]),
        primary=made["primary"],
        max_new_tokens=made["max_new_tokens"],
    )


def _asked(run: Path, examples: Sequence[Example]) -> list[Example]:
    """The rows of a split that the run could ask, by its ledger."""
    lines = (run / "rows.jsonl").read_text(encoding="utf-8").split("\n")
    left_out = {row["id"] for row in map(json.loads, filter(None, lines)) if row["fate"] == "left out"}
    return [example for example in examples if example.id not in left_out]


def _base(
    recipe: Recipe, model: Model, rows: Sequence[Example], task: Task, options: EvaluateOptions, show: Show
) -> Evaluation:
    removable = recipe.method.removable
    with switched_off(model.network) if removable else nullcontext():
        return judge(model if removable else open_model(recipe.model), rows, task, options, "base", show)


def judge(
    model: Model, rows: Sequence[Example], task: Task, options: EvaluateOptions, title: str, show: Show
) -> Evaluation:
    """One evaluation with its progress shown under a title."""
    with show.stages():
        return evaluate(
            model,
            rows,
            task,
            budget=options.token_budget,
            resamples=options.resamples,
            seed=options.seed,
            progress=lambda stage, done, total: show.stage(f"{title}: {stage}", done, total),
        )
