"""From a recipe to rows that are proved fit to train on: read, split, check, open the model, render, prove.

Nothing is written here, so a dry run ends with what this returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from luthier.checks import Corpus
from luthier.checks.audit import Audit
from luthier.checks.cut import cut
from luthier.checks.gate import prove
from luthier.data.ledger import LedgerRow, ledger
from luthier.data.read import FileFacts, LeftOut, Reading, distinct_names, read
from luthier.data.render import Rendered, render_all
from luthier.data.split import PARTS, SplitOptions, split
from luthier.errors import DataError, ModelError
from luthier.evaluate import Task, infer, merge_references, sample
from luthier.methods import Peft, keep_base
from luthier.methods.tuner import examine
from luthier.model.accept import open_model
from luthier.model.load import Model
from luthier.recipe import DataOptions, Recipe
from luthier.run.audit import before_training, summed
from luthier.run.earlier import Earlier, read_earlier
from luthier.run.replay import Replayed, replayed
from luthier.run.show import Show
from luthier.types import Example, Issue, TokenSequence
from luthier.words import counted


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Everything a run needs before its first step."""

    recipe: Recipe
    model: Model
    files: dict[str, FileFacts]
    """What was read, by role."""
    shown_labels: tuple[str, ...]
    """What `{labels}` in an instruction became: the training file's."""
    splits: dict[str, tuple[Example, ...]]
    """Validation and test hold the rows that can be asked."""
    sequences: tuple[TokenSequence, ...]
    """What is learned from; a sequence's group is its example."""
    replayed: Replayed | None
    """What is learned beside them; no row of it is a row of a split."""
    rows: tuple[LedgerRow, ...]
    """Those of the splits, then those of replay."""
    corpus: Corpus
    """What was audited."""
    audit: Audit
    cut: tuple[Issue, ...]
    """Rows that do not fit."""
    task: Task
    earlier: tuple[Earlier, ...] = ()
    """Files of rows that the model should still be good at."""

    @property
    def issues(self) -> tuple[Issue, ...]:
        """All that is known to be wrong with the rows."""
        return (*self.cut, *self.audit.issues)

    @property
    def asked(self) -> tuple[Example, ...]:
        """The test rows, those of one prompt merged into one with all its references."""
        return merge_references(self.splits["test"])

    @property
    def compared(self) -> tuple[Example, ...]:
        """The test rows that the untuned model is asked, too: all, or a fixed sample where there are many."""
        options = self.recipe.evaluate
        return sample(self.asked, options.base_rows or len(self.asked), seed=options.seed)

    @property
    def watched(self) -> tuple[Example, ...]:
        """The validation rows an evaluation during training looks at, merged likewise."""
        options = self.recipe.evaluate
        rows = merge_references(self.splits["validation"])
        return sample(rows, options.validation_rows or len(rows), seed=options.seed)


def prepare(recipe: Recipe, show: Show, *, folder: Path | None = None, taste: bool = False) -> Prepared:
    """Reads, splits, opens, renders and proves. Raises what each of these raises, with the row and the remedy.

    folder: a run that goes on, whose replay is read. taste: a few rows of replay stand for all that would be made.
    """
    readings, splits = read_splits(recipe.data)
    splits, wrong = _with_right(splits)
    show.say(_told(readings, splits))
    if wrong:
        show.say(
            f"{counted(len(wrong), 'row')} left out: the only answer is marked as wrong, and `sft` learns right ones"
        )
    shown_labels = readings["train"].labels or ()
    with show.stages():
        corpus, audit = before_training(recipe, splits, shown_labels, show.stage)
    show.say(summed(audit))
    learned, pairs = _right(splits["train"])
    if pairs:
        show.say(f"{len(pairs):,} training rows are preference pairs: their chosen answers are learned, as `sft` does")
    model = open_model(recipe.model, masters=not recipe.method.removable)
    show.say(
        f"model {model.name} on {model.device.type} in {str(model.dtype).removeprefix('torch.')}: {_sharing(model)}"
    )
    rendered = list(render_all(learned, model.tokenizer, max_length=model.max_length, learn=recipe.data.learn))
    kept, fit = _whole(learned, rendered, model)
    prove(kept, fit, model.tokenizer, stop=model.stop, learn=recipe.data.learn)
    judged, too_long = _fitting(splits, model)
    earlier = read_earlier(recipe, model)
    for one in earlier:
        show.say(_remembered(one))
    left_out = [*too_long, *wrong, *(left for reading in readings.values() for left in reading.left_out)]
    by_id = {example.id: row for example, row in zip(learned, rendered, strict=True)}
    sequences = tuple(one.sequence for row in fit for one in row)
    asked = {part: splits[part] for part in ("validation", "test")}
    asked |= {f"forgetting.files {one.name}": one.examples for one in earlier}
    replay = replayed(recipe, model, asked, sequences, show, folder=folder, taste=taste)
    if replay is not None:
        show.say(replay.said)
    return Prepared(
        recipe=recipe,
        model=model,
        files={
            **{role: reading.file for role, reading in readings.items()},
            **{f"forgetting {at}": one.file for at, one in enumerate(earlier, start=1)},
        },
        shown_labels=shown_labels,
        splits={**splits, **judged},
        sequences=sequences,
        replayed=replay,
        rows=(*ledger(splits, by_id, left_out), *(replay.ledger if replay is not None else ())),
        corpus=corpus,
        audit=audit,
        cut=(*cut(rendered, max_length=model.max_length), *(_too_long(left) for left in too_long)),
        task=infer([e for part in PARTS for e in splits[part]], recipe.evaluate, tokenizer=model.tokenizer),
        earlier=earlier,
    )


def attach(prepared: Prepared, show: Show) -> None:
    """Readies the model for its first step: the method attached, and the base kept where the objective needs it.

    With layers of PEFT in it the model is asked again whether it may share; raises ModelError where it must and cannot.
    """
    recipe, model = prepared.recipe, prepared.model
    recipe.method.attach(model.network, dtype=model.dtype, seed=recipe.train.seed)
    if isinstance(recipe.method, Peft) and model.shared:
        examine(model, recipe.method.trainable(model.network).values())
        show.say(f"peft:{recipe.method.kind} on it: {_sharing(model)}")
        if recipe.model.shared is True and not model.shared:
            raise ModelError(f"model.shared=true, but {model.reason}; leave it at auto to train unshared")
    if "divergence" in recipe.objective.needs:
        keep_base(model, recipe.method)


def _with_right(
    splits: dict[str, tuple[Example, ...]],
) -> tuple[dict[str, tuple[Example, ...]], list[LeftOut]]:
    """The rows that have a right answer, and those that have none. Raises DataError where no training row has one."""
    reason = "has no answer but one marked as wrong"
    right = {
        part: tuple(row for row in rows if any(one.score > 0 for one in row.completions))
        for part, rows in splits.items()
    }
    if splits["train"] and not right["train"]:
        raise DataError(f"{splits['train'][0].id}: {reason}, as has every training row; give rows with right answers")
    kept = {row.id for rows in right.values() for row in rows}
    return right, [LeftOut(row.id, reason) for rows in splits.values() for row in rows if row.id not in kept]


def _right(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """The examples with their right completions alone, and those that had another."""
    pairs = [example for example in examples if any(one.score <= 0 for one in example.completions)]
    right = [replace(one, completions=tuple(c for c in one.completions if c.score > 0)) for one in examples]
    return right, pairs


def _whole(
    examples: Sequence[Example], rendered: Sequence[tuple[Rendered, ...]], model: Model
) -> tuple[list[Example], list[tuple[Rendered, ...]]]:
    """The examples of which nothing learned was cut, with their renderings. Raises DataError if there is none."""
    whole = [i for i, row in enumerate(rendered) if not any(one.cut for one in row)]
    if not whole:
        raise DataError(
            f"no training row fits in {model.max_length} tokens; raise model.max_length or shorten the rows"
        )
    return [examples[i] for i in whole], [rendered[i] for i in whole]


def _fitting(
    splits: dict[str, tuple[Example, ...]], model: Model
) -> tuple[dict[str, tuple[Example, ...]], list[LeftOut]]:
    """Validation and test rows that the model can be asked, and those whose prompt and answer do not fit."""
    judged: dict[str, tuple[Example, ...]] = {}
    too_long: list[LeftOut] = []
    for part in ("validation", "test"):
        examples = splits[part]
        rendered = render_all(examples, model.tokenizer, max_length=None, learn="last")
        lengths = [max((len(one.sequence) for one in row), default=0) for row in rendered]
        judged[part] = tuple(e for e, n in zip(examples, lengths, strict=True) if n <= model.max_length)
        too_long += [
            LeftOut(e.id, f"prompt and answer have {n} tokens, and the model holds {model.max_length}")
            for e, n in zip(examples, lengths, strict=True)
            if n > model.max_length
        ]
    return judged, too_long


def _too_long(left: LeftOut) -> Issue:
    remedy = "raise model.max_length where the model allows it, or shorten the row; until then it is not asked"
    return Issue("too_long", (left.id,), 0.5, True, f"{left.id}: {left.reason}", remedy)


def read_splits(data: DataOptions) -> tuple[dict[str, Reading], dict[str, tuple[Example, ...]]]:
    """What each named file gave, and the rows divided; the same recipe gives the same division."""
    readings = _read(data)
    return readings, _split(data, readings)


def _read(data: DataOptions) -> dict[str, Reading]:
    """The training file, and the validation and test files where the recipe names any."""
    given = {"train": data.train, "validation": data.validation, "test": data.test}
    paths = {role: path for role, path in given.items() if isinstance(path, str)}
    names = dict(zip(paths, distinct_names(list(paths.values())), strict=True))
    found = {"train": read(data.train, data, name=names["train"])}
    for role in paths.keys() - {"train"}:
        found[role] = read(paths[role], data, labels=found["train"].labels, name=names[role])
    return found


def _split(data: DataOptions, readings: dict[str, Reading]) -> dict[str, tuple[Example, ...]]:
    given = {role: reading.examples for role, reading in readings.items() if role != "train"}
    shares = SplitOptions(
        validation=data.validation if isinstance(data.validation, float | int) else 0.0,
        test=data.test if isinstance(data.test, float | int) else 0.0,
        seed=data.seed,
    )
    return split(readings["train"].examples, shares, validation=given.get("validation"), test=given.get("test"))


def _told(readings: dict[str, Reading], splits: dict[str, tuple[Example, ...]]) -> str:
    files = ", ".join(f"{reading.file.path} ({counted(reading.file.rows, 'row')})" for reading in readings.values())
    parts = ", ".join(f"{len(splits[part]):,} {part}" for part in PARTS)
    left = sum(len(reading.left_out) for reading in readings.values())
    labels = readings["train"].labels
    return (
        f"read {files}: {parts}"
        + (f"; {left:,} left out" if left else "")
        + (f"; {counted(len(labels), 'label')}" if labels else "")
    )


def _remembered(one: Earlier) -> str:
    left = f"; {one.left_out:,} left out" if one.left_out else ""
    asked = f"{counted(len(one.examples), 'row')} asked before and after, by {one.task.primary}"
    return f"what it should not forget: {one.name}: {asked}{left}"


def _sharing(model: Model) -> str:
    return "shared beginnings are computed once" if model.shared else f"unshared, because {model.reason}"
