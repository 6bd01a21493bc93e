"""What belongs to each of the compared runs, a column a run: settings, cost, course, and what each found of itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from luthier.report.compared import Side
from luthier.report.figures import NOTHING, count, duration, energy, memory, number, places, span
from luthier.report.records import Interval
from luthier.report.view import pairs


@dataclass(frozen=True, slots=True)
class Line:
    """A name with a text for each run."""

    name: str
    values: tuple[str, ...]


def differing_settings(sides: Sequence[Side]) -> tuple[Line, ...]:
    """Settings, files and packages that are not the same in all runs; where a run lacks one it has a dash."""
    columns = [_settings(side) for side in sides]
    known = dict.fromkeys(name for column in columns for name in column)
    lines = [Line(name, tuple(column.get(name, "–") for column in columns)) for name in known]
    return tuple(line for line in lines if len(set(line.values)) > 1)


def _settings(side: Side) -> dict[str, str]:
    recipe = yaml.safe_load(side.run.recipe)
    told = {pair.name: pair.value for pair in pairs(recipe if isinstance(recipe, dict) else {})}
    told.pop("run", None)
    files = {f"{file.role} file, SHA-256": file.sha256[:12] for file in side.run.data.files}
    around = {pair.name: pair.value for pair in pairs(side.run.environment or {})}
    return {**told, **files, **around}


def cost(sides: Sequence[Side]) -> tuple[Line, ...]:
    """What each run took."""
    reports = [side.run.report for side in sides]
    took = [report.cost.took for report in reports]
    return (
        Line("time", tuple(duration(one.seconds) for one in took)),
        Line("energy", tuple(energy(one.energy_wh) for one in took)),
        Line("peak memory", tuple(memory(one.peak_bytes) for one in took)),
        Line("tokens computed", tuple(count(sum(step.distinct for step in side.run.steps)) for side in sides)),
        Line("steps", tuple(count(report.steps) for report in reports)),
        Line("kept checkpoint's step", tuple(count(report.best_step) for report in reports)),
        Line("weights trained", tuple(count(report.model.trainable) for report in reports)),
    )


def course(sides: Sequence[Side]) -> tuple[Line, ...]:
    """Validation at the checkpoint that was kept; nothing of runs that kept no such figures."""
    reports = [side.run.report for side in sides]
    known = [report.validation for report in reports]
    lines = (
        Line("validation rows", tuple(count(one.n if one else None) for one in known)),
        Line("validation loss", tuple(_measured(one.metrics.get("loss") if one else None) for one in known)),
        Line("loss on training rows", tuple(number(one.train.loss if one and one.train else None) for one in known)),
        Line("gap", tuple(_measured(one.gap if one else None) for one in known)),
        Line("evaluations", tuple(count(report.looks.made if report.looks else None) for report in reports)),
    )
    return lines if any(known) else ()


def _measured(one: Interval | None) -> str:
    if one is None:
        return NOTHING
    decimals = places(one.value, one.low, one.high)
    return f"{number(one.value, decimals)} {span(one.low, one.high, decimals)}".strip()


def own_words(side: Side) -> list[tuple[str, str, str]]:
    """(run, what, sentence): its verdict, what it forgot, and its warnings."""
    report = side.run.report
    told = [(side.name, "verdict", report.verdict.sentence)]
    if report.forgetting is not None:
        word = "forgot" if report.forgetting.word == "forgot" else "lost nothing seen"
        told.append((side.name, word, report.forgetting.sentence))
    return [*told, *((side.name, one.name, f"{one.sentence} {one.remedy}") for one in report.warnings)]
