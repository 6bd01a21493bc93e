"""What each finished run's model does on every other's test rows: adapters in turn over one loaded base.

What a run already answered at its end, tuned and base, is taken from its predictions; only the rest is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from luthier.errors import LuthierError, RunError
from luthier.evaluate import EvaluateOptions, Evaluation, Row, Task, differences, evaluation, merge_references, sample
from luthier.evaluate.predictions import read_predictions
from luthier.methods.tuned import Tuned, find_tuned, open_found, worn_on
from luthier.model.accept import open_model
from luthier.model.load import Model, ModelOptions
from luthier.report.compared import names
from luthier.report.matrix import Cell, Column, Matrix
from luthier.run.assess import judge, own_rows
from luthier.run.assistant import recipe_of
from luthier.run.headed import has_head
from luthier.run.looks import Source, looked_again
from luthier.run.show import Show
from luthier.stats import family
from luthier.types import Example
from luthier.words import counted


@dataclass(frozen=True, slots=True, eq=False)
class _Side:
    """A finished run: its model, its task, and what is known already."""

    name: str
    run: Path
    tuned: Tuned
    examples: tuple[Example, ...]
    """Those test rows that are asked."""
    of: int
    task: Task
    options: EvaluateOptions
    source: Source
    base: Evaluation | None
    """None of a run that went on from another, which was held to that one's model."""
    own: Evaluation

    @property
    def key(self) -> object:
        """Equal of runs with one task."""
        return self.task, tuple((row.id, row.question, row.references) for row in self.own.rows)


def crossed(folders: Sequence[Path], *, rows: int, show: Show) -> Matrix:
    """Every finished run on the test rows of every other, at most `rows` of each.

    Raises RunError where fewer than two runs can be asked.
    """
    sides, left_out = _sides(folders, rows)
    if len(sides) < 2:
        told = "".join(f"\n  {name}: {why}" for name, why in left_out.items())
        raise RunError(f"a matrix takes two finished runs with test rows; there are {len(sides)}{told}")
    tasks = {side.key: side for side in reversed(sides)}
    ordered = [side for side in sides if tasks[side.key] is side]
    asked = sum(side.key != task.key for side in sides for task in ordered) + sum(one.base is None for one in ordered)
    show.say(
        f"{counted(len(sides), 'model')} on {counted(len(ordered), 'task')}: {counted(asked, 'evaluation')} to make"
    )
    kept: dict[ModelOptions, Model] = {}
    bases = {task.name: task.base or _untuned(task, kept, show) for task in ordered}
    found = {side.name: dict[str, Evaluation]() for side in sides}
    for side, model in _in_turn(sides, kept, show):
        for task in ordered:
            found[side.name][task.name] = side.own if side.key == task.key else _answered(side, task, model, show)
    return _matrix(sides, ordered, bases, found, left_out)


def _answered(side: _Side, task: _Side, model: Model, show: Show) -> Evaluation:
    looked_again(task.source, str(side.run), side.tuned.options.name)
    return judge(model, task.examples, task.task, task.options, f"{side.name} on {task.name}", show)


def _untuned(task: _Side, kept: dict[ModelOptions, Model], show: Show) -> Evaluation:
    model = _base(task.tuned.options, kept)
    return judge(model, task.examples, task.task, task.options, f"base on {task.name}", show)


def _matrix(
    sides: Sequence[_Side],
    tasks: Sequence[_Side],
    bases: Mapping[str, Evaluation],
    found: Mapping[str, Mapping[str, Evaluation]],
    left_out: Mapping[str, str],
) -> Matrix:
    """All differences from the base are one family."""
    apart = {
        (side.name, task.name): differences(bases[task.name], found[side.name][task.name], only=task.task.primary)[
            task.task.primary
        ]
        for side in sides
        for task in tasks
    }
    raised = family(apart)
    cells = {
        side.name: {
            task.name: Cell(
                value=found[side.name][task.name].primary,
                difference=apart[side.name, task.name],
                p_family=raised[side.name, task.name],
                own=side.key == task.key,
                metric=task.task.primary,
            )
            for task in tasks
        }
        for side in sides
    }
    columns = tuple(
        Column(
            task.name,
            tuple(side.name for side in sides if side.key == task.key),
            task.task.primary,
            len(task.own.rows),
            task.of,
            bases[task.name].primary,
        )
        for task in tasks
    )
    return Matrix({side.name: str(side.run) for side in sides}, columns, cells, left_out)


def _in_turn(sides: Sequence[_Side], kept: dict[ModelOptions, Model], show: Show) -> Iterator[tuple[_Side, Model]]:
    """Each run with its model; adapters of one base follow each other, so that it is opened once."""
    for side in sorted(sides, key=lambda one: (not one.tuned.adapted, repr(one.tuned.options))):
        show.say(f"asking {side.name}")
        with _opened(side.tuned, kept) as model:
            yield side, model


@contextmanager
def _opened(tuned: Tuned, kept: dict[ModelOptions, Model]) -> Iterator[Model]:
    """A run's model."""
    if not tuned.adapted:
        kept.clear()
        yield open_found(tuned)
        return
    with worn_on(_base(tuned.options, kept), tuned) as model:
        yield model


def _base(options: ModelOptions, kept: dict[ModelOptions, Model]) -> Model:
    """A base; `kept` holds the one that is open, and no second beside it."""
    if options not in kept:
        kept.clear()
        kept[options] = open_model(options)
    return kept[options]


def _sides(folders: Sequence[Path], rows: int) -> tuple[list[_Side], dict[str, str]]:
    """The runs that can be asked, and why the others cannot."""
    sides, left_out = list[_Side](), dict[str, str]()
    for folder, name in zip(folders, names(folders), strict=True):
        try:
            sides.append(_side(folder, name, rows))
        except LuthierError as error:
            left_out[name] = str(error)
    return sides, left_out


def _side(run: Path, name: str, rows: int) -> _Side:
    tuned = find_tuned(run)
    recipe = recipe_of(run)
    if has_head(recipe):
        raise RunError(f"{run}: answers by a linear head, which the rows of another task cannot be asked of")
    examples, task, source = own_rows(run, recipe)
    after, before = read_predictions(run / "predictions.jsonl")
    known = {row.id: row for row in (after if recipe.parent else before or ())}
    asked = merge_references(examples)
    chosen = sample([one for one in asked if one.id in known], rows, seed=recipe.evaluate.seed)
    if not chosen:
        raise RunError(f"{run}: it was not judged beside its base")
    options = recipe.evaluate
    wanted = [one.id for one in chosen]
    return _Side(
        name=name,
        run=run,
        tuned=tuned,
        examples=chosen,
        of=len(asked),
        task=task,
        options=options,
        source=source,
        base=None if recipe.parent else _measured(known, wanted, task, options),
        own=_measured({row.id: row for row in after}, wanted, task, options),
    )


def _measured(rows: Mapping[str, Row], wanted: Sequence[str], task: Task, options: EvaluateOptions) -> Evaluation:
    return evaluation([rows[name] for name in wanted], task, resamples=options.resamples, seed=options.seed)
