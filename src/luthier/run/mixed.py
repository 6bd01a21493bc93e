"""The other tasks of a mixture: read, split, rendered and proved as the main file is, and judged each in its own way.

A row whose prompt is held out anywhere, for whichever task, is not learned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from luthier.checks.audit import Audit
from luthier.checks.gate import prove
from luthier.data.ledger import LedgerRow, ledger
from luthier.data.mix import MixedFile, Mixture, mixture
from luthier.data.read import FileFacts, LeftOut, read
from luthier.data.render import render_all
from luthier.data.split import SplitOptions, normalised, split
from luthier.errors import DataError, GateError
from luthier.evaluate import Task, infer, merge_references, sample
from luthier.model.load import Model
from luthier.recipe import Recipe
from luthier.run.audit import before_training, summed
from luthier.run.fitting import fitting, right_answers, whole, with_right
from luthier.run.show import Show
from luthier.types import Example, TokenSequence
from luthier.words import counted


@dataclass(frozen=True, slots=True, eq=False)
class Mixed:
    """One other task, ready to be learned and asked."""

    name: str
    files: Mapping[str, FileFacts]
    """By role: train, and test where that is a file of its own."""
    sequences: tuple[TokenSequence, ...]
    """A sequence's group is its example, counted from 0."""
    asked: tuple[Example, ...]
    """Test rows, those of one prompt merged; at most evaluate.base_rows of them."""
    task: Task
    rows: tuple[LedgerRow, ...]
    audit: Audit
    """What the fast checks found in it."""

    @property
    def examples(self) -> int:
        """How many are learned from."""
        return len({sequence.group for sequence in self.sequences})


def read_mixed(recipe: Recipe, model: Model, asked: Mapping[str, Sequence[Example]], show: Show) -> tuple[Mixed, ...]:
    """Every file of `mix.files`; raises what reading, the audit, rendering and the gate raise, naming the file.

    asked: the rows that judge the main task, by what they are called.
    """
    found = [_split(one, recipe) for one in recipe.mix.files]
    held = {normalised(row.prompt): part for part, rows in asked.items() for row in rows}
    for part in found:
        held |= {normalised(row.prompt): f"test rows of {part.name}" for row in part.splits["test"]}
    return tuple(_mixed(part, recipe, model, held, show) for part in found)


def mixed_sequences(
    main: Sequence[TokenSequence], others: Sequence[Mixed], recipe: Recipe
) -> tuple[tuple[TokenSequence, ...], Mixture | None]:
    """All that is learned, the main file's first, and how often each file is drawn; None where there is only one."""
    if not others:
        return tuple(main), None
    sizes = [len({sequence.group for sequence in main}), *(one.examples for one in others)]
    made, first = list(main), max(sequence.group for sequence in main) + 1
    for one in others:
        made += [replace(sequence, group=first + sequence.group) for sequence in one.sequences]
        first += max(sequence.group for sequence in one.sequences) + 1
    shares = [recipe.mix.share, *(file.share for file in recipe.mix.files)]
    names = ["the main file", *(one.name for one in others)]
    return tuple(made), mixture(names, sizes, shares, recipe.mix.temperature)


def told_mixture(made: Mixture, sequences: Sequence[TokenSequence]) -> str:
    """What an epoch draws from each file, and what share of the loss that is."""
    weights = _weights(made, sequences)
    total, loss = sum(made.drawn), sum(weights) or 1.0
    parts = [
        f"{name} {drawn:,} {'drawn from' if drawn > size else 'of'} {counted(size, 'row')} "
        f"({drawn / total:.0%} of the examples, {weight / loss:.0%} of loss)"
        for name, size, drawn, weight in zip(made.names, made.sizes, made.drawn, weights, strict=True)
    ]
    return f"mixture, an epoch of it: {'; '.join(parts)}"


@dataclass(frozen=True, slots=True, eq=False)
class _Read:
    """A file of the mixture, divided."""

    name: str
    options: MixedFile
    files: dict[str, FileFacts]
    splits: dict[str, tuple[Example, ...]]
    labels: Sequence[str]
    """What `{labels}` in its instruction became."""
    left_out: list[LeftOut]

    def audited(self, recipe: Recipe, show: Show) -> Audit:
        """What the fast checks find in it, which is told; raises GateError where it must not be trained on."""
        try:
            with show.stages():
                _, found = before_training(recipe, self.splits, self.labels, show.stage, how=self.options)
        except GateError as error:
            raise GateError(f"mix.files: {self.name}: {error}") from error
        show.say(f"{self.name}: {summed(found, file=self.options.data)}")
        return found


def _split(one: MixedFile, recipe: Recipe) -> _Read:
    try:
        train = read(one.data, one, name=f"{one.title}/{Path(one.data).name}")
        test = None
        if isinstance(one.test, str):
            test = read(one.test, one, labels=train.labels, name=f"{one.title}/test/{Path(one.test).name}")
    except DataError as error:
        raise DataError(f"mix.files: {error}") from error
    share = one.test if isinstance(one.test, float | int) else 0.0
    given = None if test is None else test.examples
    splits = split(train.examples, SplitOptions(validation=0.0, test=share, seed=recipe.data.seed), test=given)
    splits, wrong = with_right({part: splits[part] for part in ("train", "test")})
    files = {"train": train.file} | ({} if test is None else {"test": test.file})
    left_out = [*wrong, *train.left_out, *(test.left_out if test is not None else ())]
    return _Read(one.title, one, files, splits, train.labels or (), left_out)


def _mixed(part: _Read, recipe: Recipe, model: Model, held: Mapping[str, str], show: Show) -> Mixed:
    """Audited, rendered and proved. Raises DataError where nothing is left to learn."""
    audit = part.audited(recipe, show)
    parts = [held.get(normalised(row.prompt)) for row in part.splits["train"]]
    apart = [row for row, where in zip(part.splits["train"], parts, strict=True) if where is None]
    lost = [
        LeftOut(row.id, f"its prompt stands in the {where}")
        for row, where in zip(part.splits["train"], parts, strict=True)
        if where is not None
    ]
    if not apart:
        raise DataError(f"mix.files: {part.name}: every row's prompt is held out somewhere; nothing is left to learn")
    learned, _ = right_answers(apart)
    rendered = list(render_all(learned, model.tokenizer, max_length=model.max_length, learn=recipe.data.learn))
    kept, fit = whole(learned, rendered, model)
    prove(kept, fit, model.tokenizer, stop=model.stop, learn=recipe.data.learn)
    judged, too_long = fitting({"validation": (), "test": part.splits["test"]}, model)
    by_id = {example.id: row for example, row in zip(learned, rendered, strict=True)}
    rows = ledger(part.splits, by_id, [*too_long, *lost, *part.left_out])
    merged = merge_references(judged["test"])
    count = recipe.evaluate.base_rows or len(merged)
    judging = replace(recipe.evaluate, metric=None, out_of_scope=None, task="auto")
    return Mixed(
        name=part.name,
        files=part.files,
        sequences=tuple(one.sequence for row in fit for one in row),
        asked=sample(merged, count, seed=recipe.evaluate.seed) if merged else (),
        task=infer([*learned, *judged["test"]], judging, tokenizer=model.tokenizer),
        rows=rows,
        audit=audit,
    )


def _weights(made: Mixture, sequences: Sequence[TokenSequence]) -> list[float]:
    """Loss weight that an epoch gives each file."""
    by_group: dict[int, float] = {}
    for sequence in sequences:
        by_group[sequence.group] = by_group.get(sequence.group, 0.0) + float(sequence.weight.sum())
    each, first, found = list(by_group.values()), 0, []
    for size, count in zip(made.sizes, made.drawn, strict=True):
        found.append(sum(each[first : first + size]) / size * count)
        first += size
    return found
