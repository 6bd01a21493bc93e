"""The files whose rows a model should still be good at after tuning: read before it starts, as evaluation data is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from luthier.data.read import FileFacts, ReadOptions, read
from luthier.data.render import render_all
from luthier.data.split import PARTS
from luthier.errors import DataError
from luthier.evaluate import EvaluateOptions, Task, infer, merge_references, sample
from luthier.evaluate.forgetting import ForgettingOptions
from luthier.model.load import Model
from luthier.recipe import Recipe
from luthier.run.assistant import recipe_of
from luthier.run.lineage import ancestors
from luthier.types import Example


@dataclass(frozen=True, slots=True, eq=False)
class Earlier:
    """A named file, ready to be asked."""

    name: str
    """As the recipe names it."""
    file: FileFacts
    examples: tuple[Example, ...]
    """At most `forgetting.rows` of them, each fitting the model."""
    task: Task
    left_out: int
    """Rows that could not be read or do not fit."""


def read_earlier(recipe: Recipe, model: Model) -> tuple[Earlier, ...]:
    """Every file and run folder that `forgetting.files` names, then the runs that this one goes on from.

    Raises what reading raises.
    """
    if not recipe.forgetting.measure:
        return ()
    named = {Path(name).resolve() for name in recipe.forgetting.files}
    before = [str(run) for run in ancestors(recipe.parent) if run.resolve() not in named and _was_tested(run)]
    wanted = (*recipe.forgetting.files, *before)
    return tuple(_earlier(name, recipe.forgetting, recipe.evaluate, model) for name in wanted)


def _was_tested(run: Path) -> bool:
    return (run / "predictions.jsonl").exists()


def _earlier(name: str, options: ForgettingOptions, judging: EvaluateOptions, model: Model) -> Earlier:
    given = _given(name, options)
    usual = EvaluateOptions(token_budget=judging.token_budget) if given.judging is None else given.judging
    task = infer(given.known, usual, tokenizer=model.tokenizer)
    merged = merge_references(given.rows)
    longest = [
        max((len(one.sequence) for one in row), default=0)
        for row in render_all(merged, model.tokenizer, max_length=None, learn="last")
    ]
    fit = [row for row, length in zip(merged, longest, strict=True) if length <= model.max_length]
    if not fit:
        raise DataError(f"forgetting.files: {name}: no row fits in {model.max_length} tokens; name shorter ones")
    chosen = sample(fit, options.rows or len(fit), seed=judging.seed)
    return Earlier(name, given.file, chosen, task, given.left_out + len(merged) - len(fit))


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """What a name stands for."""

    rows: Sequence[Example]
    """Those to ask."""
    known: Sequence[Example]
    """Those that decide what is asked: a run chooses among the labels of all its rows."""
    file: FileFacts
    left_out: int
    judging: EvaluateOptions | None
    """The run's own; None for a file."""


def _given(name: str, options: ForgettingOptions) -> _Given:
    """A file's rows, or a run's test rows read and judged as that run does."""
    if (Path(name) / "recipe.yaml").is_file():
        from luthier.run.prepare import read_splits

        made = recipe_of(Path(name))
        readings, splits = read_splits(made.data)
        if not splits["test"]:
            raise DataError(f"forgetting.files: {name}: the run has no test rows; name a file of rows instead")
        known = [row for part in PARTS for row in splits[part]]
        return _Given(splits["test"], known, readings.get("test", readings["train"]).file, 0, made.evaluate)
    found = read(name, ReadOptions(input=options.input, output=options.output, instruction=options.instruction))
    return _Given(found.examples, found.examples, found.file, len(found.left_out), None)
