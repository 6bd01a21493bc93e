"""The page of a probe: how often answers change, by what, and the worst cases side by side.

One HTML file like a run's report, and by the same rules. Not here: asking and judging.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from importlib.metadata import version
from pathlib import Path

from luthier.evaluate.behaviour.cases import wish
from luthier.evaluate.behaviour.judge import Outcome
from luthier.evaluate.behaviour.probe import Probe
from luthier.evaluate.behaviour.rates import Judged, Line, Rate
from luthier.report import figures
from luthier.report.page import environment, policy, static
from luthier.report.probe_words import failure, points, ranked, rate, sentences, span, sure
from luthier.words import counted

NAME = "probe.html"
WORST = 5
"""Failures of one perturbation that stand on the page; all are in probe.jsonl."""
_PIECE = re.compile(r"\s+|\S+")


@dataclass(frozen=True, slots=True)
class Fact:
    """A number at the top."""

    name: str
    value: str
    note: str


@dataclass(frozen=True, slots=True)
class Card:
    """A failure: the row as it stands and as it was changed, with each model's two answers."""

    judged: Judged
    original: str
    pieces: tuple[tuple[str, bool], ...]
    """The changed text in stretches, each new or as it was."""
    references: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """The failures of one perturbation, the worst first."""

    line: Line
    cards: tuple[Card, ...]
    total: int


def write(folder: Path, found: Probe, *, name: str, failed: Sequence[str]) -> Path:
    """Writes `probe.html` into a folder and returns its path; an older one is replaced whole or not at all."""
    page = render(found, name=name, failed=failed)
    target, unfinished = folder / NAME, folder / f".{NAME}.unfinished"
    unfinished.write_text(page, encoding="utf-8", newline="\n", errors="replace")
    os.replace(unfinished, target)
    return target


def render(found: Probe, *, name: str, failed: Sequence[str]) -> str:
    """The HTML of a probe."""
    style, script = static("report.css") + static("probe.css"), ""
    first, *rest = sentences(found)
    lines = ranked([line for line in found.lines if line.asked])
    return (
        environment()
        .get_template("probe.html.j2")
        .render(
            found=found,
            name=name,
            failed=failed,
            headline=first.replace(" %", "\N{NO-BREAK SPACE}%"),
            details=rest,
            facts=facts(found),
            invariant=[line for line in lines if line.perturbation.expects == "same"],
            directed=[line for line in lines if line.perturbation.expects != "same"],
            nowhere=[line for line in found.lines if not line.asked],
            failure=failure(found),
            groups=groups(found),
            choice=found.plan.task.kind == "choice",
            rate=rate,
            rate_span=span,
            points=points,
            sure=sure,
            version=version("luthier"),
            style=style,
            script=script,
            policy=policy(style, script),
        )
    )


def facts(found: Probe) -> tuple[Fact, ...]:
    """What stands at the top."""
    planned = found.plan
    whole = len(planned.rows) == planned.of
    evenly = ", labels in proportion" if any(row.label is not None for row in planned.rows) else ""
    return (
        Fact(
            "rows",
            f"{len(planned.rows):,}",
            "all of them" if whole else f"drawn of {planned.of:,}{evenly}",
        ),
        Fact("perturbed questions", f"{len(planned.cases):,}", counted(len(planned.perturbations), "perturbation")),
        _fact("tuned fails", found.tuned),
        _fact("base fails", found.base),
    )


def groups(found: Probe) -> tuple[Group, ...]:
    """Every perturbation with a failure of the tuned model, the most failures first."""
    made: list[Group] = []
    for line in ranked(found.lines):
        failures = [one for one in found.judged if one.case.name == line.name and one.tuned.failed]
        worst = sorted(failures, key=_gravity)[:WORST]
        if worst:
            made.append(Group(line, tuple(_card(one) for one in worst), len(failures)))
    return tuple(made)


def fresh(before: str, after: str) -> tuple[tuple[str, bool], ...]:
    """The text after a change in stretches, each new (True) or as it was."""
    had, has = _PIECE.findall(before), _PIECE.findall(after)
    blocks = SequenceMatcher(None, had, has, autojunk=False).get_opcodes()
    return tuple(("".join(has[start:stop]), kind != "equal") for kind, _, _, start, stop in blocks if stop > start)


def _fact(name: str, one: Rate | None) -> Fact:
    if one is None or one.interval is None:
        return Fact(name, figures.NOTHING, "not asked" if one is None else "nothing to tell")
    return Fact(name, rate(one, 1), f"{span(one.interval, 1)} of {one.n:,} invariance tests")


def _gravity(one: Judged) -> tuple[bool, bool, float, str]:
    """Right that became wrong first, then what the base withstood, then what the model is surest of."""
    return (
        not _harmed(one.tuned),
        one.base is not None and bool(one.base.failed),
        -one.tuned.after.logprob,
        one.case.row.id,
    )


def _harmed(one: Outcome) -> bool:
    return one.after.score < one.before.score


def _card(one: Judged) -> Card:
    original, changed = wish(one.case.row) or "", wish(one.case.example) or ""
    row = one.case.row
    return Card(one, original, fresh(original, changed), row.references or (row.answer,))
