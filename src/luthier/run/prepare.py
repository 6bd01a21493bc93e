"""From a recipe to rows that are proved fit to train on: read, split, check, open the model, render, prove.

Nothing is written here, so a dry run ends with what this returns.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from luthier.batch import cut as cut_to
from luthier.batch import pack
from luthier.checks import Corpus
from luthier.checks.audit import Audit
from luthier.checks.cut import cut
from luthier.checks.gate import prove
from luthier.data.ledger import LedgerRow, ledger
from luthier.data.mix import Mixture
from luthier.data.read import FileFacts, LeftOut, Reading, distinct_names, read
from luthier.data.render import render_all
from luthier.data.split import PARTS, SplitOptions, split
from luthier.errors import ModelError
from luthier.evaluate import Task, infer, merge_references, sample
from luthier.methods import Peft, keep_base
from luthier.methods.known import described
from luthier.methods.tuner import examine
from luthier.model.forward import evaluating, scored_rows
from luthier.model.leaf import attach_head
from luthier.model.load import Model
from luthier.recipe import DataOptions, Recipe
from luthier.run.audit import before_training, summed
from luthier.run.earlier import Earlier, read_earlier
from luthier.run.fitting import fitting, right_answers, whole, with_right
from luthier.run.headed import HeadFacts, has_head, head_facts, head_sequences, headed_task, judging
from luthier.run.mixed import Mixed, mixed_sequences, read_mixed, told_mixture
from luthier.run.parent import attached, begun, check_parent
from luthier.run.parent import told as told_parent
from luthier.run.replay import Replayed, replayed
from luthier.run.show import Show
from luthier.types import Example, Issue, TokenSequence
from luthier.words import counted

HEAD_ROWS = 96
"""Training rows whose states say by what a linear head reads."""


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
    """What is learned from, the main file's rows first; a sequence's group is its example."""
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
    mixed: tuple[Mixed, ...] = ()
    """The other tasks that are learned with it; their rows are in no split."""
    mixture: Mixture | None = None
    """How often each file is drawn, where there are several."""
    head: HeadFacts | None = None
    """What a linear head answers with, where one learns."""

    @property
    def issues(self) -> tuple[Issue, ...]:
        """All that is known to be wrong with the rows."""
        return (*self.cut, *self.audit.issues, *(issue for one in self.mixed for issue in one.audit.issues))

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


def prepare(
    recipe: Recipe, show: Show, *, folder: Path | None = None, taste: bool = False, model: Model | None = None
) -> Prepared:
    """Reads, splits, opens, renders and proves. Raises what each of these raises, with the row and the remedy.

    folder: a run that goes on, whose replay is read. taste: a few rows of replay stand for all that would be made.
    model: the recipe's, where it is open already.
    """
    check_parent(recipe)
    readings, splits, wrong = _rows(recipe, show)
    shown_labels = readings["train"].labels or ()
    with show.stages():
        corpus, audit = before_training(recipe, splits, shown_labels, show.stage)
    show.say(summed(audit))
    learned, pairs = right_answers(splits["train"])
    if pairs:
        show.say(f"{len(pairs):,} training rows are preference pairs: their chosen answers are learned, as `sft` does")
    model = _opened(recipe, model, show)
    rendered = list(render_all(learned, model.tokenizer, max_length=model.max_length, learn=recipe.data.learn))
    kept, fit = whole(learned, rendered, model)
    prove(kept, fit, model.tokenizer, stop=model.stop, learn=recipe.data.learn)
    judged, too_long = fitting(splits, model)
    earlier = read_earlier(recipe, model)
    for one in earlier:
        show.say(_remembered(one))
    left_out = [*too_long, *wrong, *(left for reading in readings.values() for left in reading.left_out)]
    by_id = {example.id: row for example, row in zip(learned, rendered, strict=True)}
    asked = {part: splits[part] for part in ("validation", "test")}
    asked |= {f"forgetting.files {one.name}": one.examples for one in earlier}
    mixed = read_mixed(recipe, model, asked, show)
    task = infer([e for part in PARTS for e in splits[part]], judging(recipe), tokenizer=model.tokenizer)
    task = headed_task(task, recipe)
    facts = head_facts(recipe, kept, [e for rows in judged.values() for e in rows], task) if has_head(recipe) else None
    own = [one.sequence for row in fit for one in row] if facts is None else head_sequences(kept, fit, facts)
    sequences, mixture = mixed_sequences(own, mixed, recipe)
    if mixture is not None:
        show.say(told_mixture(mixture, sequences))
    asked |= {f"test rows of {one.name}": one.asked for one in mixed}
    replay = replayed(recipe, model, asked, sequences, show, folder=folder, taste=taste)
    if replay is not None:
        show.say(replay.said)
    return Prepared(
        recipe=recipe,
        model=model,
        files=_files(readings, earlier, mixed),
        shown_labels=shown_labels,
        splits={**splits, **judged},
        sequences=sequences,
        replayed=replay,
        rows=(
            *ledger(splits, by_id, left_out),
            *(row for one in mixed for row in one.rows),
            *(replay.ledger if replay is not None else ()),
        ),
        corpus=corpus,
        audit=audit,
        cut=(*cut(rendered, max_length=model.max_length), *(_too_long(left) for left in too_long)),
        task=task,
        earlier=earlier,
        mixed=mixed,
        mixture=mixture,
        head=facts,
    )


def _rows(recipe: Recipe, show: Show) -> tuple[dict[str, Reading], dict[str, tuple[Example, ...]], list[LeftOut]]:
    """What was read, its splits, and the rows left out since they have a wrong answer alone; all of it told."""
    readings, splits = read_splits(recipe.data)
    splits, wrong = with_right(splits)
    show.say(_told(readings, splits))
    if wrong:
        show.say(
            f"{counted(len(wrong), 'row')} left out: the only answer is marked as wrong, and `sft` learns right ones"
        )
    return readings, splits, wrong


def _opened(recipe: Recipe, model: Model | None, show: Show) -> Model:
    """The model that the run begins with, told."""
    model = begun(recipe, model)
    if recipe.parent:
        show.say(told_parent(recipe))
    number = str(model.dtype).removeprefix("torch.")
    show.say(f"model {model.name} on {model.device.type} in {number}: {_sharing(model)}")
    return model


def _files(readings: Mapping[str, Reading], earlier: Sequence[Earlier], mixed: Sequence[Mixed]) -> dict[str, FileFacts]:
    """What was read, by role."""
    return {
        **{role: reading.file for role, reading in readings.items()},
        **{f"forgetting {at}": one.file for at, one in enumerate(earlier, start=1)},
        **{f"mixed {at} {role}": file for at, one in enumerate(mixed, start=1) for role, file in one.files.items()},
    }


def attach(prepared: Prepared, show: Show) -> None:
    """Readies the model for its first step: the method attached, and the base kept where the objective needs it.

    With layers of PEFT in it the model is asked again whether it may share; raises ModelError where it must and cannot.
    """
    recipe, model = prepared.recipe, prepared.model
    if not attached(recipe):
        recipe.method.attach(model.network, dtype=model.dtype, seed=recipe.train.seed)
    if isinstance(recipe.method, Peft) and model.shared:
        examine(model, recipe.method.trainable(model.network).values())
        show.say(f"peft:{recipe.method.kind} on it: {_sharing(model)}")
        if recipe.model.shared is True and not model.shared:
            raise ModelError(f"model.shared=true, but {model.reason}; leave it at auto to train unshared")
    if prepared.head is not None:
        width = int(model.network.config.get_text_config().hidden_size)
        head = attach_head(model.network, prepared.head.made(width))
        head.start(recipe.train.seed)
        with evaluating(model):
            head.read_by(_states(prepared))
    if said := _elsewhere(recipe):
        show.say(said)
    if "divergence" in recipe.objective.needs:
        keep_base(model, recipe.method, goes_on=bool(recipe.parent))


def _states(prepared: Prepared) -> Tensor:
    """The states that a head reads of some training rows, from all over the file: (u, d)."""
    some = prepared.sequences[:: max(1, len(prepared.sequences) // HEAD_ROWS)][:HEAD_ROWS]
    parts = cut_to(some, budget=prepared.recipe.train.token_budget)
    return torch.cat([scored_rows(prepared.model, pack(part))[0] for part in parts])


def _elsewhere(recipe: Recipe) -> str:
    """That a method starts elsewhere than the base; empty where it starts as that, or goes on from a run."""
    method = recipe.method
    if method.starts_as_base or recipe.parent:
        return ""
    if isinstance(method, Peft):
        return f"peft:{method.kind} may start elsewhere than the base: step 0 may not be the untuned model"
    return (
        f"{described(method)['name']} does not start as the base: what it puts beside it acts from the beginning, so "
        "step 0 is not the untuned model, which is what 'before tuning' asks"
    )


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
    test, asked = len(splits["test"]), len(merge_references(splits["test"]))
    return (
        f"read {files}: {parts}"
        + (f" (the test rows are {counted(asked, 'question')}, each asked once)" if asked < test else "")
        + (f"; {left:,} left out" if left else "")
        + (f"; {counted(len(labels), 'label')}" if labels else "")
    )


def _remembered(one: Earlier) -> str:
    left = f"; {one.left_out:,} left out" if one.left_out else ""
    asked = f"{counted(len(one.examples), 'row')} asked before and after, by {one.task.primary}"
    return f"what it should not forget: {one.name}: {asked}{left}"


def _sharing(model: Model) -> str:
    return "shared beginnings are computed once" if model.shared else f"unshared, because {model.reason}"
