"""A model, and its base beside it, asked rows as they stand and as they were perturbed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from luthier.data.render import prompt_tokens
from luthier.errors import DataError
from luthier.evaluate.behaviour import chosen
from luthier.evaluate.behaviour.answers import Said, judged_by, said
from luthier.evaluate.behaviour.cases import Case, cases, wish
from luthier.evaluate.behaviour.judge import Outcome, outcome
from luthier.evaluate.behaviour.options import ProbeOptions
from luthier.evaluate.behaviour.perturbation import Perturbation
from luthier.evaluate.behaviour.rates import Judged, Line, Rate, difference, lines, of_base, of_tuned, rate
from luthier.evaluate.behaviour.slices import Cut, check_columns, cuts
from luthier.evaluate.question import Progress
from luthier.evaluate.subset import sample
from luthier.evaluate.task import Task
from luthier.metrics import named
from luthier.model.load import Model
from luthier.stats import Difference
from luthier.types import Example, Message

Dress: TypeAlias = Callable[[tuple[Message, ...]], tuple[Message, ...]]
"""A bare prompt to the one that the model is asked: with the run's system message and instruction."""
Answering: TypeAlias = Callable[[Sequence[Example], Progress], list[Said]]
"""One model: examples to what it says to each."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be asked."""

    task: Task
    options: ProbeOptions
    perturbations: Mapping[str, Perturbation]
    rows: tuple[Example, ...]
    """Those that are probed, bare."""
    of: int
    """Rows they were drawn from."""
    cases: tuple[Case, ...]
    unasked: tuple[tuple[str, str, str], ...]
    """(row, perturbation or nothing, why) of what cannot be asked."""
    dress: Dress

    @property
    def questions(self) -> int:
        """Prompts that the tuned model is asked."""
        return len(self.rows) + len(self.cases)

    @property
    def compared(self) -> Plan:
        """What the base is asked, too: the same changes of the first of these rows."""
        options = self.options
        rows = sample(self.rows, options.base_rows or len(self.rows), seed=options.seed)
        kept = {row.id for row in rows}
        return replace(self, rows=rows, cases=tuple(case for case in self.cases if case.row.id in kept))


@dataclass(frozen=True, slots=True)
class Probe:
    """What came of it."""

    plan: Plan
    judged: tuple[Judged, ...]
    """Every case."""
    lines: tuple[Line, ...]
    """Every perturbation."""
    tuned: Rate
    """Over all invariance tests together."""
    base: Rate | None
    difference: Difference | None
    """Of the two, paired by row."""
    cuts: tuple[Cut, ...]


def plan(rows: Sequence[Example], task: Task, options: ProbeOptions, *, model: Model, dress: Dress) -> Plan:
    """Draws the rows, changes them, and leaves out by name what does not fit the model.

    rows: bare, as their file has them. Raises RecipeError for names that are no perturbations, DataError where no row
    can be asked or a column to slice by is missing.
    """
    perturbations = chosen(options.only, options.without)
    judged_by(task)
    drawn = sample(rows, options.rows or len(rows), seed=options.seed)
    check_columns(drawn, options.slices)
    refused = {row.id: why for row in drawn if (why := _unfit(row, task, model, dress)) is not None}
    kept = tuple(row for row in drawn if row.id not in refused)
    if not kept:
        raise DataError(f"no row can be probed; the first: {next(iter(refused.items()), ('there are none', ''))}")
    made = cases(kept, perturbations, labels=task.labels, seed=options.seed)
    unfit = {at: why for at, one in enumerate(made) if (why := _unfit(one.example, task, model, dress)) is not None}
    unasked = [(row, "", why) for row, why in refused.items()]
    unasked += [(made[at].row.id, made[at].name, why) for at, why in unfit.items()]
    fit = tuple(one for at, one in enumerate(made) if at not in unfit)
    return Plan(task, options, perturbations, kept, len(rows), fit, tuple(unasked), dress)


def answering(model: Model, task: Task, *, budget: int) -> Answering:
    """A model as what answers."""
    return lambda examples, progress: said(model, examples, task, budget=budget, progress=progress)


def replies(planned: Plan, answer: Answering, progress: Progress) -> list[Said]:
    """One model's answers to the rows as they stand, then to the cases."""
    asked = [*planned.rows, *(one.example for one in planned.cases)]
    return answer([replace(one, prompt=planned.dress(one.prompt)) for one in asked], progress)


def judge(planned: Plan, tuned: Sequence[Said], base: Sequence[Said] | None = None) -> Probe:
    """Judges what `replies` gave: of the tuned model to the plan, of its base to what is `compared` of it."""
    after = _outcomes(planned, tuned)
    before = {} if base is None else _outcomes(planned.compared, base)
    found = tuple(
        Judged(case, after[case.row.id, case.name], before.get((case.row.id, case.name))) for case in planned.cases
    )
    seed = planned.options.seed
    invariant = [one for one in found if planned.perturbations[one.case.name].expects == "same"]
    return Probe(
        plan=planned,
        judged=found,
        lines=lines(found, planned.perturbations, seed=seed),
        tuned=rate(invariant, of_tuned, seed=seed),
        base=None if base is None else rate(invariant, of_base, seed=seed),
        difference=difference(invariant, seed=seed),
        cuts=cuts(found, planned.perturbations, planned.options.slices, seed=seed),
    )


def _outcomes(planned: Plan, said: Sequence[Said]) -> dict[tuple[str, str], Outcome]:
    """(row, perturbation) -> what came of it."""
    first = {row.id: one for row, one in zip(planned.rows, said, strict=False)}
    drop = planned.options.drop * named(judged_by(planned.task)).top
    choice = planned.task.kind == "choice"
    pairs = zip(planned.cases, said[len(planned.rows) :], strict=True)
    return {
        (case.row.id, case.name): outcome(
            planned.perturbations[case.name].expects, first[case.row.id], one, bait=case.bait, choice=choice, drop=drop
        )
        for case, one in pairs
    }


def _unfit(row: Example, task: Task, model: Model, dress: Dress) -> str | None:
    """Why the model cannot be asked, or None."""
    if wish(row) is None:
        return "no user message to change"
    try:
        length = len(prompt_tokens(replace(row, prompt=dress(row.prompt)), model.tokenizer))
    except DataError as error:
        return str(error)
    longest = model.max_length - task.max_new_tokens
    return None if length <= longest else f"{length} tokens, and the model has room for {longest}"
