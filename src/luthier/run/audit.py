"""The audit of a recipe's rows: as they were written, before anything is put around them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from luthier.checks import Corpus
from luthier.checks.audit import Audit, audit
from luthier.checks.check import Progress
from luthier.data.read import ReadOptions, read, undress
from luthier.errors import ColumnError, DataError, GateError
from luthier.objectives import Regress
from luthier.recipe import Recipe
from luthier.types import Example, Issue

ASKED = (("question", "answer"), ("instruction", "response"), ("prompt", "response"), ("input", "output"))
"""Usual columns of an evaluation file's input and wanted answer, where they are of no known shape."""
NAMED = 3
"""Issues of one check that are told by name."""


def corpus_of(
    recipe: Recipe,
    splits: Mapping[str, Sequence[Example]],
    labels: Sequence[str] | None,
    *,
    how: ReadOptions | None = None,
) -> Corpus:
    """The rows of all splits without the recipe's own system message and instruction, and the files they may not hold.

    labels: what `{labels}` in the instruction became. how: the rows were read, where not as the main file's.
    Numbers that a head learns are no labels, however few of them there are.
    Raises DataError where an evaluation file cannot be read.
    """
    data, numbers = recipe.data, isinstance(recipe.objective, Regress)
    bare = {
        part: tuple(
            replace(row, prompt=undress(row.prompt, how or data, labels), label=None if numbers else row.label)
            for row in rows
        )
        for part, rows in splits.items()
    }
    plain = replace(data, system=None, instruction=None, group=None, weight=None)
    against = {name: _evaluation(name, plain) for name in recipe.checks.against}
    return Corpus(bare, recipe.checks, against=against, numbers=numbers)


def _evaluation(name: str, plain: ReadOptions) -> tuple[Example, ...]:
    """An evaluation file's rows: by the training rows' columns, else by its own shape, else by usual names of columns.

    Raises DataError, with the columns it has, where none of these fits.
    """
    own = replace(plain, format="auto", input=None, output=None)
    ways = [plain, own, *(replace(own, input=asked, output=answer) for asked, answer in ASKED)]
    for options in ways:
        try:
            return read(name, options).examples
        except ColumnError as error:
            if options == own:
                unknown = str(error)
    remedy = "an evaluation file is read by data.input and data.output or by its own shape; rename its columns"
    raise DataError(f"checks.against: {unknown.partition(';')[0]}; {remedy} to prompt and completion")


def before_training(
    recipe: Recipe,
    splits: Mapping[str, Sequence[Example]],
    labels: Sequence[str] | None,
    progress: Progress,
    *,
    how: ReadOptions | None = None,
) -> tuple[Corpus, Audit]:
    """What the fast checks looked at, and what they found. Arguments as of `corpus_of`.

    Raises GateError for what would make a run meaningless, and for gates that the recipe names.
    """
    corpus = replace(corpus_of(recipe, splits, labels, how=how), progress=progress)
    found = audit(corpus, fast=True)
    named = [issue for issue in found.issues if issue.flagged and issue.check in recipe.checks.gates]
    if stops := list(dict.fromkeys((*found.meaningless, *named))):
        raise GateError("the rows cannot be trained on as they are:\n  " + "\n  ".join(told(stops)))
    return corpus, found


def summed(found: Audit, *, file: str | None = None) -> str:
    """What was flagged, by check, in a line; file: which to look closer at, where it is not the recipe's own."""
    counts = Counter(issue.check for issue in found.issues if issue.flagged)
    if not counts:
        return "audit: the fast checks found nothing"
    named = ", ".join(f"{check.replace('_', ' ')} {count:,}" for check, count in counts.most_common())
    closer = "luthier check" if file is None else f"luthier check {file}"
    return f"audit: {named} (`{closer}` shows the rows)"


def told(issues: Sequence[Issue]) -> list[str]:
    """A few issues of each check, and how many more there are."""
    counts = Counter(issue.check for issue in issues)
    lines: list[str] = []
    for check, count in counts.items():
        some = [issue for issue in issues if issue.check == check][:NAMED]
        lines += [f"{check}: {issue.why}; {issue.remedy}" for issue in some]
        lines += [f"{check}: and {count - NAMED:,} more"] * (count > NAMED)
    return lines
