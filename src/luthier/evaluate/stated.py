"""A task as its user states it: a small YAML file, or a `TaskOptions` in Python named `module:name`.

mode: choice                    # auto, choice, generate, loss, preference
data: test.csv                  # and how its rows are read: input, output, instruction, ...
metrics: [accuracy, macro_f1]   # the first decides
slices: [length, channel]       # class, length, language, or a column
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from importlib import import_module
from pathlib import Path
from typing import Literal

import yaml
from pydantic import TypeAdapter, ValidationError
from transformers import PreTrainedTokenizerBase

from luthier.data.read import ReadOptions
from luthier.errors import DataError, RecipeError
from luthier.evaluate.task import LOSSES, PREFERENCES, EvaluateOptions, Task, infer
from luthier.metrics import named
from luthier.types import Example
from luthier.words import closest


@dataclass(frozen=True, slots=True)
class TaskOptions(ReadOptions):
    """What is asked of every model that is compared, and on which rows."""

    data: str | None = None
    """File of the rows; a relative one is looked for beside the task's own file."""
    mode: Literal["auto", "choice", "generate", "loss", "preference"] = "auto"
    """`choice` weighs the labels, `generate` has text written, `loss` asks for no answer, `preference` weighs a chosen
    answer against a rejected one; auto: preference where rows are pairs, choice where they have labels, else
    generate."""
    metrics: tuple[str, ...] = ()
    """What is measured, the first one deciding; empty takes what suits the rows."""
    slices: tuple[str, ...] = ()
    """By what the rows are divided: `length`, `class`, `language`, or a column."""
    max_new_tokens: int | None = None
    """Most tokens an answer may have; None allows half as many again as the longest reference, 16 to 1024."""
    out_of_scope: str | None = None
    """The label of rows that no other label fits."""

    @property
    def reading(self) -> ReadOptions:
        """How its rows are read."""
        return ReadOptions(**{one.name: getattr(self, one.name) for one in fields(ReadOptions)})


def stated(name: str) -> TaskOptions:
    """The task of a YAML file, or of `module:name`. Raises RecipeError with what is wrong and where."""
    path = Path(name)
    if ":" in name and not path.is_file():
        return _imported(name)
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RecipeError(f"{name}: cannot be read as a task ({' '.join(str(error).split())})") from error
    if not isinstance(tree, dict):
        raise RecipeError(f"{name}: holds {type(tree).__name__}, not settings such as `mode: choice`")
    known = [one.name for one in fields(TaskOptions)]
    for key in tree:
        if key not in known:
            hint = closest(str(key), known) or f"; there are {', '.join(known)}"
            raise RecipeError(f"{name}: {key!r} is no setting of a task{hint}")
    try:
        made = TypeAdapter(TaskOptions).validate_python(tree)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise RecipeError(f"{name}: {place}: {problem['msg']}, not {problem['input']!r}") from None
    beside = path.parent / made.data if made.data else None
    return replace(made, data=str(beside)) if beside is not None and beside.exists() else made


def make(
    asked: TaskOptions,
    examples: Sequence[Example],
    options: EvaluateOptions,
    *,
    tokenizer: PreTrainedTokenizerBase,
) -> Task:
    """The task of these rows. Raises DataError for rows that do not suit it, RecipeError for an unknown metric."""
    mode = asked.mode
    if mode == "auto" and examples and all(map(_is_pair, examples)):
        mode = "preference"
    if mode in ("loss", "preference"):
        return _without_answers(mode, asked, examples)
    wanted = replace(
        options,
        task="text" if mode == "generate" else "choice" if mode == "choice" else "auto",
        metric=asked.metrics[0] if asked.metrics else options.metric,
        max_new_tokens=asked.max_new_tokens or options.max_new_tokens,
        out_of_scope=asked.out_of_scope or options.out_of_scope,
    )
    task = infer(examples, wanted, tokenizer=tokenizer)
    for name in asked.metrics:
        if name not in LOSSES:
            named(name)
    own = tuple(name for name in asked.metrics if name not in LOSSES)
    return replace(task, metrics=own or task.metrics)


def _without_answers(
    mode: Literal["auto", "choice", "generate", "loss", "preference"], asked: TaskOptions, examples: Sequence[Example]
) -> Task:
    known = LOSSES[::-1] if mode == "loss" else PREFERENCES
    if strange := [name for name in asked.metrics if name not in (*known, *LOSSES)]:
        raise RecipeError(f"{strange[0]!r} judges answers, and {mode} asks for none; there are {', '.join(known)}")
    if mode == "preference":
        for example in examples:
            if not _is_pair(example):
                raise DataError(f"{example.id}: is no pair; preference needs a chosen and a rejected answer")
        return Task("preference", (), PREFERENCES, next(iter(asked.metrics), PREFERENCES[0]), 1)
    return Task("loss", (), (), next(iter(asked.metrics), known[0]), 1)


def _is_pair(example: Example) -> bool:
    return any(one.score > 0 for one in example.completions) and any(one.score <= 0 for one in example.completions)


def _imported(name: str) -> TaskOptions:
    module, _, attribute = name.partition(":")
    try:
        found: object = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise RecipeError(
            f"task {name!r} cannot be imported: {error}; write module:name, or name a YAML file"
        ) from error
    if not isinstance(found, TaskOptions):
        raise RecipeError(f"task {name!r} is {type(found).__name__}; it must be a luthier.evaluate.TaskOptions")
    return found
