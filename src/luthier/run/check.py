"""`luthier check`: the rows of a recipe audited before a minute is spent on them, told, shown and, if asked, mended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from luthier.checks import Corpus, checks
from luthier.checks.audit import Audit, audit, ranked
from luthier.checks.baselines import TITLE as BASELINES
from luthier.checks.unreadable import unreadable
from luthier.data.read import Reading, dress
from luthier.data.split import PARTS
from luthier.errors import DataError, RecipeError, RunError
from luthier.evaluate import lower_is_better
from luthier.evaluate.loss import losses as row_losses
from luthier.evaluate.question import ask
from luthier.methods.tuned import open_tuned
from luthier.model.forward import evaluating
from luthier.model.load import load_tokenizer
from luthier.recipe import Recipe
from luthier.report.audit import as_json, sentence
from luthier.report.audit import write as write_page
from luthier.report.texts import sentence as shortened
from luthier.run.assistant import recipe_of
from luthier.run.audit import corpus_of
from luthier.run.files import read_json, write_json, write_text
from luthier.run.mend import Fixed, MendOptions, Source, plan, refuse_loss, write
from luthier.run.mend.told import told as told_fixed
from luthier.run.prepare import read_splits
from luthier.run.proved import proved
from luthier.run.show import Show
from luthier.types import Issue, Json
from luthier.words import counted

SHOWN = 1
"""Findings of one check told on the terminal."""
CLIP = 150
"""Characters of one of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """What an audit left behind."""

    found: Audit
    corpus: Corpus
    page: Path
    facts: Mapping[str, Json]
    fixed: Fixed | None

    @property
    def passed(self) -> bool:
        """Whether no gate finds anything: in the mended rows where there are any, else in those that were read."""
        return not (self.found.failed if self.fixed is None else self.fixed.stops)


def check(
    recipe: Recipe,
    show: Show,
    *,
    out: Path,
    model: bool = False,
    fast: bool = False,
    mended: Path | None = None,
    mend: MendOptions | None = None,
    losses: Callable[[Corpus], Mapping[str, float]] | None = None,
) -> Checked:
    """Audits all rows that the recipe's files hold, and writes `issues.jsonl`, `audit.json` and `audit.html` to `out`.

    model: also by the model's tokenizer. fast: leave out checks that build a model of the rows. mended: folder for
    the mended files. mend: what is mended there beside what the checks find. losses: a tuned model's own, by row.
    A row that cannot be read is a finding here, not an error. Raises DataError where a file as a whole cannot be read;
    RunError, before the audit, where mended files would replace what no mending wrote.
    """
    mend = mend or MendOptions()
    if mended is not None and recipe.data.limit is not None:
        raise RecipeError("--fix: mends whole files; leave out data.limit, or cut the file first")
    _refuse_file(out)
    with show.stages():
        show.stage("reading", 0, 1)
        readings, corpus = _read(recipe)
        show.stage("reading", 1, 1)
        if mended is not None:
            refuse_loss(_sources(readings), mended, PARTS if mend.split is not None else None)
        corpus = replace(corpus, progress=show.stage)
        if model:
            tokenizer, longest = load_tokenizer(recipe.model)
            corpus = replace(corpus, tokenizer=tokenizer, max_length=longest)
        if losses is not None:
            corpus = replace(corpus, losses=losses(corpus))
        found = proved(audit(corpus, fast=fast), corpus, recipe.data.learn)
    _refuse_idle(recipe.checks.gates, found)
    bad = [issue for reading in readings.values() for issue in unreadable(reading)]
    found = replace(found, issues=ranked((*found.issues, *bad)), gates=("unreadable", *found.gates))
    fixed = _fix(found, corpus, readings, recipe, mended, mend) if mended and not found.interrupted else None
    if mended and found.interrupted:
        show.say("stopped before every check was run, so no mended files were written")
    return _written(out, found, corpus, [reading.file.path for reading in readings.values()], fixed)


def _read(recipe: Recipe) -> tuple[Mapping[str, Reading], Corpus]:
    """All rows of the recipe's files, none drawn from one for another; rows that cannot be read left out."""
    data = replace(
        recipe.data,
        skip_bad_rows=True,
        validation=recipe.data.validation if isinstance(recipe.data.validation, str) else 0.0,
        test=recipe.data.test if isinstance(recipe.data.test, str) else 0.0,
    )
    readings, splits = read_splits(data)
    return readings, corpus_of(replace(recipe, data=data), splits, readings["train"].labels)


def _written(out: Path, found: Audit, corpus: Corpus, files: Sequence[str], fixed: Fixed | None) -> Checked:
    """The audit's own files."""
    out.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps(asdict(issue), ensure_ascii=False) + "\n" for issue in found.issues)
    write_text(out / "issues.jsonl", lines)
    facts = as_json(found, corpus, files)
    write_json(out / "audit.json", facts)
    return Checked(found, corpus, write_page(out, found, corpus, files), facts, fixed)


def _refuse_file(out: Path) -> None:
    """Raises RunError, before the audit, where its folder cannot be one."""
    if not all(one.is_dir() for one in (out, *out.parents) if one.exists()):
        raise RunError(f"{out}: is a file or lies in one; name another folder with --out")


def _refuse_idle(gates: Sequence[str], found: Audit) -> None:
    """Raises RecipeError for a gate that was named and not run: what nobody looked for would pass."""
    idle = [f"{name} ({found.skipped[name]})" for name in gates if name in found.skipped]
    if idle and not found.interrupted:
        raise RecipeError(f"checks.gates: not run, and so no gate: {', '.join(idle)}; take one of the two back")


def _sources(readings: Mapping[str, Reading]) -> dict[str, Source]:
    return {
        role: Source(reading.file.path, reading.examples[0].id.rpartition(":")[0], reading.file.sha256)
        for role, reading in readings.items()
    }


def _fix(
    found: Audit, corpus: Corpus, readings: Mapping[str, Reading], recipe: Recipe, folder: Path, options: MendOptions
) -> Fixed:
    lost = [row for reading in readings.values() for row in reading.left_out]
    if spoilt := [row for row in lost if "data.encoding=" in row.reason]:
        why = f"{counted(len(spoilt), 'row')} would be lost to a wrong encoding, first {spoilt[0].id}"
        raise DataError(f"--fix: {why}: {spoilt[0].reason}")
    done = plan(corpus, found, options, unreadable=lost)
    return write(_sources(readings), folder, done, recipe.data)


def losses_of(run: Path) -> Callable[[Corpus], Mapping[str, float]]:
    """How badly a run's tuned model foresees each row's answer: the nats of its learned tokens."""

    def losses(corpus: Corpus) -> Mapping[str, float]:
        recipe, model = recipe_of(run), open_tuned(run)
        labels = read_json(run / "data.json").get("shown_labels")
        rows = [replace(row, prompt=dress(row.prompt, recipe.data, labels)) for row in corpus.rows]
        questions = ask(rows, model.tokenizer, longest=model.max_length)
        with evaluating(model):
            found = row_losses(model, questions, budget=recipe.evaluate.token_budget, progress=corpus.progress)
        return {row.id: one.total for row, one in zip(rows, found, strict=True)}

    return losses


def told(done: Checked) -> RenderableType:
    """The outcome for a terminal: by check, worst first, a few findings each."""
    found = done.found
    colour = "bold red" if found.failed else "bold green"
    parts: list[RenderableType] = [Text(sentence(found), style=colour), Text()]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("check", "flagged", "worst"):
        table.add_column(name, justify="left" if name == "check" else "right", no_wrap=True)
    table.add_column("for instance", overflow="fold")
    for name in dict.fromkeys(issue.check for issue in _by_weight(found)):
        some = [issue for issue in found.issues if issue.check == name]
        flagged = sum(issue.flagged for issue in some)
        gate = bool(flagged) and name in found.gates
        named = Text.assemble(name.replace("_", " "), (" gate" if gate else "", "red"))
        examples = Text("\n".join(shortened(issue.why, CLIP) for issue in some[:SHOWN]))
        table.add_row(named, f"{flagged:,}", f"{max(issue.severity for issue in some):.2f}", examples)
    parts += [table, Text()] if found.issues else []
    reasons = dict.fromkeys(why for why in found.skipped.values() if why != "silenced")
    for reason in reasons:
        names = ", ".join(name.replace("_", " ") for name, why in found.skipped.items() if why == reason)
        parts.append(Text(f"not run ({reason}): {names}", style="dim"))
    parts += told_fixed(done.fixed) if done.fixed is not None else [Text(line) for line in _next(done)]
    return Group(*parts, Text.assemble(("audit   ", "dim"), str(done.page)))


def _next(done: Checked) -> Iterator[str]:
    """What to do with the findings, and what a tuned model must beat."""
    flagged = {issue.check for issue in done.found.issues if issue.flagged}
    by_itself = {name for name, one in checks.items() if one.drop or one.rewrite or one.spare} | {"unreadable"}
    if done.found.issues:
        fix = "add --fix FOLDER to mend what needs no person; " if flagged & by_itself else ""
        yield f"next: {fix}{done.page.name} shows each finding with its remedy"
    for table in done.found.tables:
        if table.title == BASELINES and table.rows:
            metric = table.rows[0][1]
            best = min if lower_is_better(str(metric)) else max
            way, _, value, low, high, _ = best((row for row in table.rows if row[1] == metric), key=_value)
            yield f"the bar without a language model: {way}, {metric} {value:.3f} [{low:.3f}, {high:.3f}]"


def _value(baseline: Sequence[Json]) -> float:
    value = baseline[2]
    return value if isinstance(value, float) else float("-inf")


def _by_weight(found: Audit) -> list[Issue]:
    return sorted(
        found.issues, key=lambda one: (not (one.flagged and one.check in found.gates), not one.flagged, -one.severity)
    )
