"""`luthier probe`: a finished run asked rows as real people might have written them, its base beside it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from luthier.data.read import ReadOptions, dress, read, undress
from luthier.errors import RecipeError
from luthier.evaluate import Progress, Task, merge_references
from luthier.evaluate.behaviour import chosen
from luthier.evaluate.behaviour.options import ProbeOptions
from luthier.evaluate.behaviour.probe import Dress, Plan, Probe, answering, judge, plan, replies
from luthier.methods import switched_off
from luthier.model.accept import open_model
from luthier.report import figures
from luthier.report.probe import write
from luthier.report.probe_json import as_json, case_json
from luthier.report.probe_words import sentences
from luthier.run.assistant import Assistant, load, recipe_of
from luthier.run.files import read_json, write_json, write_text
from luthier.run.folder import same_data
from luthier.run.prepare import read_splits
from luthier.run.show import Show
from luthier.types import Example, Json
from luthier.words import counted

ALL = "all"
"""Names the failure rate of all invariance tests together, where a gate is set."""


@dataclass(frozen=True, slots=True)
class Gate:
    """A failure rate that the tuned model may not surely exceed."""

    name: str
    rate: float


@dataclass(frozen=True, slots=True)
class Probed:
    """What was found, where it is written, and which gates failed."""

    found: Probe
    facts: dict[str, Json]
    folder: Path
    failed: tuple[str, ...]
    """A sentence each."""


def gates(words: Sequence[str], options: ProbeOptions) -> tuple[Gate, ...]:
    """Gates as written on the command line, NAME=RATE.

    Raises RecipeError for a name that is not asked and a rate that is no share.
    """
    known = [*chosen(options.only, options.without), ALL]
    made: list[Gate] = []
    for word in words:
        name, _, rate = word.rpartition("=")
        if name not in known:
            raise RecipeError(f"--gate {word}: write NAME=RATE, with a name of {', '.join(known)}")
        try:
            made.append(Gate(name, float(rate)))
        except ValueError:
            raise RecipeError(f"--gate {word}: {rate!r} is no number; give a share such as 0.1") from None
        if not 0 <= made[-1].rate < 1:
            raise RecipeError(f"--gate {word}: {rate} is no share in [0, 1)")
    return tuple(made)


def probe(
    run: Path,
    data: str | None,
    options: ProbeOptions,
    *,
    reading: ReadOptions | None = None,
    gated: Sequence[Gate] = (),
    against_base: bool = True,
    out: Path | None = None,
    show: Show,
) -> Probed:
    """Asks, judges, and writes probe.json, probe.jsonl and probe.html into `out`, by default RUN/probe.

    data: None takes the run's own test rows. reading: other columns than the run's own.
    Raises what reading and opening raise.
    """
    assistant = load(run)
    rows = _rows(run, assistant, data, reading)
    planned = plan(rows, _task(run, assistant, rows), options, model=assistant.tuned, dress=_dress(assistant))
    _tell(planned, against_base=against_base, show=show)
    found = _asked(planned, assistant, against_base=against_base, show=show)
    failed = tuple(why for gate in gated if (why := _failure(found, gate)) is not None)
    return _written(found, out or run / "probe", name=run.name, data=data or "the run's test rows", failed=failed)


def _written(found: Probe, folder: Path, *, name: str, data: str, failed: tuple[str, ...]) -> Probed:
    """Everything that is kept of a probe."""
    facts = as_json(found, name=name, data=data, sentences=sentences(found), failed=failed)
    cases = [json.dumps(case_json(one, found), ensure_ascii=False, allow_nan=False) for one in found.judged]
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "probe.jsonl", "".join(line + "\n" for line in cases))
    write_json(folder / "probe.json", facts)
    write(folder, found, name=name, failed=failed)
    return Probed(found, facts, folder, failed)


def reading(run: Path, input: str | None, output: str | None) -> ReadOptions | None:
    """The run's own way of reading, with other columns where they are named; None where none is."""
    if input is None and output is None:
        return None
    own = recipe_of(run).data
    return replace(own, limit=None, input=input or own.input, output=output or own.output)


def _rows(run: Path, assistant: Assistant, data: str | None, reading: ReadOptions | None) -> tuple[Example, ...]:
    """The rows as their file has them, without the recipe's own system message and instruction."""
    recipe = assistant.recipe.data
    if data is None:
        readings, splits = read_splits(recipe)
        same_data(run, {role: one.file for role, one in readings.items()})
        shown = readings["train"].labels
        bare = [replace(row, prompt=undress(row.prompt, recipe, shown)) for row in splits["test"]]
        return merge_references(bare)
    options = replace(reading or replace(recipe, limit=None), system=None, instruction=None)
    return merge_references(read(data, options, labels=assistant.labels or None).examples)


def _task(run: Path, assistant: Assistant, rows: Sequence[Example]) -> Task:
    """What the run was judged by, with every label that the rows bring besides."""
    made = read_json(run / "report.json")["task"]
    brought = {row.label for row in rows if row.label is not None} if assistant.labels else set()
    labels = tuple(sorted({*assistant.labels, *brought}))
    return Task(
        made["kind"],
        labels,
        tuple(made["metrics"]),
        made["primary"],
        assistant.max_new_tokens,
        headed=made.get("headed", False),
    )


def _dress(assistant: Assistant) -> Dress:
    options, labels = assistant.recipe.data, assistant.shown_labels or None
    return lambda prompt: dress(prompt, options, labels)


def _tell(planned: Plan, *, against_base: bool, show: Show) -> None:
    """How much is to be asked, and what cannot be."""
    drawn = counted(len(planned.rows), "row")
    some = f"{drawn} of {planned.of:,}" if len(planned.rows) < planned.of else drawn
    compared = planned.compared
    base = f"; {compared.questions:,} of the base, on {counted(len(compared.rows), 'row')}" if against_base else ""
    changes = counted(len(planned.perturbations), "perturbation")
    show.say(f"{some}, {changes}: {counted(planned.questions, 'question')} of the tuned model{base}")
    if planned.unasked:
        row, name, why = planned.unasked[0]
        what = f"{row}, {name}" if name else row
        show.say(f"{counted(len(planned.unasked), 'question')} cannot be asked; the first: {what}: {why}")


def _asked(planned: Plan, assistant: Assistant, *, against_base: bool, show: Show) -> Probe:
    """Both models' answers, judged."""
    budget, recipe = assistant.recipe.evaluate.token_budget, assistant.recipe
    with show.stages():
        tuned = replies(planned, answering(assistant.tuned, planned.task, budget=budget), _progress("tuned", show))
        if not against_base:
            return judge(planned, tuned)
        removable = recipe.method.removable
        with switched_off(assistant.tuned.network) if removable else nullcontext():
            model = assistant.tuned if removable else open_model(recipe.model)
            base = replies(planned.compared, answering(model, planned.task, budget=budget), _progress("base", show))
    return judge(planned, tuned, base)


def _progress(title: str, show: Show) -> Progress:
    return lambda stage, done, total: show.stage(f"{title}: {stage}", done, total)


def _failure(found: Probe, gate: Gate) -> str | None:
    """Why a gate fails, or None: surely above its rate, or never judged."""
    line = next((one for one in found.lines if one.name == gate.name), None)
    rate = found.tuned if line is None else line.tuned
    if rate.interval is None:
        return f"{gate.name}: no row could be judged, so its gate holds nothing; name other rows, or leave the gate out"
    if rate.interval.low <= gate.rate:
        return None
    value, low, high = (figures.percent(one) for one in (rate.interval.value, rate.interval.low, rate.interval.high))
    return (
        f"{gate.name}: {value} of {counted(rate.n, 'answer')} failed (95 % interval {low} to {high}), "
        f"surely more than {figures.percent(gate.rate)}"
    )
