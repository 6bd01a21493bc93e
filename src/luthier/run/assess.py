"""Models and runs judged on rows of the user's choice, after the fact."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from luthier.checks import Corpus, checks
from luthier.data.read import ReadOptions, read
from luthier.errors import DataError, RecipeError, RunError
from luthier.evaluate import (
    EvaluateOptions,
    Evaluation,
    Task,
    TaskOptions,
    compare,
    evaluate,
    make,
    merge_references,
)
from luthier.evaluate.reads import Read
from luthier.evaluate.verdict import Verdict
from luthier.model.load import Model
from luthier.objectives import Regress
from luthier.recipe import Recipe
from luthier.run.audit import told
from luthier.run.files import read_json
from luthier.run.folder import same_data
from luthier.run.looks import Source, looked_again
from luthier.run.prepare import read_splits
from luthier.run.show import Show
from luthier.run.targets import Target, target
from luthier.types import Example


@dataclass(frozen=True, slots=True)
class Ground:
    """What models are compared on: the same rows, asked alike."""

    rows: tuple[Example, ...]
    task: Task
    options: EvaluateOptions


@dataclass(frozen=True, slots=True)
class Assessed:
    """How one model did."""

    ground: Ground
    tuned: Evaluation
    base: Evaluation | None
    """How a run's base did, where it was asked."""
    verdict: Verdict | None
    before: tuple[Read, ...]
    """Earlier readings of the same rows."""


def assess(
    name: str,
    *,
    data: str | None = None,
    reading: ReadOptions | None = None,
    asked: TaskOptions | None = None,
    like: Target | None = None,
    task: Task | None = None,
    options: EvaluateOptions | None = None,
    against_base: bool = True,
    headed: bool = False,
    show: Show | None = None,
) -> Assessed:
    """A run's tuned model, an adapter or any model, on the run's test rows or on those of a file; the reading is noted.

    asked: a task that is stated; otherwise a run's own, or what suits the rows. task: one that is made already, so that
    several models are compared by it. headed: one of these answers by a linear head. like: a run whose rows, reading
    and number format a model that is no run takes.
    Raises RecipeError for a model without rows, and what reading and opening raise.
    """
    show, found = show or Show(), target(name)
    of = found if found.recipe is not None else like
    recipe = of.recipe if of is not None else None
    options = options or (recipe.evaluate if recipe is not None else EvaluateOptions())
    if of is not None and of.run is not None and recipe is not None:
        labelled = asked is None or asked.mode in ("auto", "choice")
        telling = show if found is of else Show(silent=True)
        rows, own, source = _rows(of.run, recipe, data, reading, telling, labelled=labelled)
    else:
        (rows, source), own = _read(name, data, reading or ReadOptions()), None
    model = found.open(recipe.model if recipe is not None else None)
    if task is None and (asked is not None or own is None):
        task = make(asked or TaskOptions(), rows, options, tokenizer=model.tokenizer)
        if own is not None and task.kind == own.kind == "choice":
            task = replace(task, labels=own.labels)
    task = task or own
    assert task is not None, f"{name} has neither a task of its own nor one that was made"
    if headed and task.kind in ("choice", "number"):
        task = replace(task, headed=True)
    ground = Ground(rows if task.kind == "preference" else merge_references(rows), task, options)
    tuned = judge(model, ground.rows, task, options, "tuned" if found.recipe is not None else name, show)
    earlier = looked_again(source, name, found.recipe.model.name if found.recipe is not None else found.base)
    if not against_base or found.recipe is None:
        return Assessed(ground, tuned, None, None, earlier)
    with found.untuned(model) as before:
        base = judge(before, ground.rows, task, options, "base", show)
    return Assessed(ground, tuned, base, compare(base, tuned), earlier)


def _read(name: str, data: str | None, reading: ReadOptions) -> tuple[tuple[Example, ...], Source]:
    if data is None:
        raise RecipeError(f"{name}: is no run folder, so it needs rows to be judged on: --data FILE")
    found = read(data, reading)
    return found.examples, Source(found.examples, data, reading, found.labels)


def _doubts(recipe: Recipe, asked: Sequence[Example]) -> list[str]:
    """What makes rows of a file weak evidence about a run: that it learned from them, or never saw their labels."""
    try:
        _, splits = read_splits(recipe.data)
    except DataError as error:
        return [f"whether the run learned from these rows cannot be told: {error}"]
    corpus = Corpus({"train": splits["train"], "test": asked})
    names = ("leak",) if isinstance(recipe.objective, Regress) else ("leak", "unseen")
    return told([issue for name in names for issue in checks[name].find(corpus)])


def _rows(
    run: Path, recipe: Recipe, data: str | None, reading: ReadOptions | None, show: Show, *, labelled: bool
) -> tuple[tuple[Example, ...], Task, Source]:
    """The rows to ask, the run's own task, with every label that the file brings besides, and where they came from.

    labelled: whether the answers of a file are labels where the run's own are.
    """
    if data is None:
        return own_rows(run, recipe)
    task = _task(run)
    labels = read_json(run / "data.json").get("shown_labels") if labelled else None
    options = reading or replace(recipe.data, limit=None)
    asked = read(data, options, labels=labels).examples
    for doubt in _doubts(recipe, asked):
        show.say(doubt)
    if task.kind == "choice":
        brought = {example.label for example in asked if example.label is not None}
        task = replace(task, labels=tuple(sorted({*task.labels, *brought})))
    return asked, task, Source(asked, data, options, labels)


def own_rows(run: Path, recipe: Recipe) -> tuple[tuple[Example, ...], Task, Source]:
    """The test rows that a finished run was judged on, by what, and where they came from.

    Raises RunError where the run is not finished or its files have changed.
    """
    task = _task(run)
    readings, splits = read_splits(recipe.data)
    same_data(run, {role: reading.file for role, reading in readings.items()})
    file = readings.get("test", readings["train"]).file.path
    source = Source(splits["test"], file, recipe.data, readings["train"].labels)
    return tuple(_asked(run, splits["test"])), task, source


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
        out_of_scope=made.get("out_of_scope"),
        headed=made.get("headed", made["kind"] == "number"),
    )


def _asked(run: Path, examples: Sequence[Example]) -> list[Example]:
    """The rows of a split that the run could ask, by its ledger."""
    lines = (run / "rows.jsonl").read_text(encoding="utf-8").split("\n")
    left_out = {row["id"] for row in map(json.loads, filter(None, lines)) if row["fate"] == "left out"}
    return [example for example in examples if example.id not in left_out]


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
            margin=options.margin,
            progress=lambda stage, done, total: show.stage(f"{title}: {stage}", done, total),
        )
