"""The rows to which compared runs did not answer equally well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luthier.report.compared import Compared, Side
from luthier.report.figures import number


@dataclass(frozen=True, slots=True)
class Disagreement:
    """A row to which the runs did not answer equally well."""

    id: str
    question: str
    reference: tuple[str, ...]
    answers: tuple[tuple[str, str, str, str], ...]
    """(run, style, score, text)"""


def disagreements(found: Compared, styles: Sequence[str]) -> tuple[Disagreement, ...]:
    """The rows whose scores differ, the widest apart first."""
    first = next(iter(found.sides))
    score = _score(first, found.primary, found.shared)
    if score is None:
        return ()
    apart = {name: [side.rows[name].scores.get(score, 0.0) for side in found.sides] for name in found.shared}
    wide = sorted(
        (name for name, each in apart.items() if max(each) > min(each)), key=lambda name: -_range(apart[name])
    )
    return tuple(_disagreement(found.sides, styles, name, apart[name]) for name in wide)


def _range(scores: Sequence[float]) -> float:
    return max(scores) - min(scores)


def _score(side: Side, primary: str, shared: Sequence[str]) -> str | None:
    """The metric that decides, where single rows have it; else the first they have."""
    scores: Mapping[str, float] = side.rows[shared[0]].scores
    return primary if primary in scores else next(iter(scores), None)


def _disagreement(sides: Sequence[Side], styles: Sequence[str], name: str, scores: Sequence[float]) -> Disagreement:
    row = sides[0].rows[name]
    answers = tuple(
        (side.name, style, number(score, 2), side.rows[name].text)
        for side, style, score in zip(sides, styles, scores, strict=True)
    )
    return Disagreement(name, row.question, row.references, answers)
