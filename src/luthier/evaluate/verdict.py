"""Base beside tuned on the same rows: better, worse, no difference, or too few rows to tell, as a sentence."""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf
from typing import Literal, TypeAlias

import numpy as np

from luthier.errors import ShapeError
from luthier.evaluate.measure import Evaluation, class_samples, samples
from luthier.evaluate.task import lower_is_better
from luthier.metrics import metrics
from luthier.metrics.regression import Regression, number_in
from luthier.stats import FEWEST, Difference, Interval, clusters, paired_all, rows_needed, smallest_visible
from luthier.words import counted, spelled

Word: TypeAlias = Literal["better", "worse", "no difference", "not enough rows to tell"]
"""No difference is said only where the two came out equal on every row, of which there are FEWEST or more."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether tuning helped, by the metric that decides."""

    word: Word
    metric: str
    base: Interval
    tuned: Interval
    difference: Difference
    n: int
    """Rows compared."""
    rows_needed: int | None
    """Rows that would show a difference of this size in 4 of 5 tries; None where it is seen already, or is 0."""
    sentence: str


def compare(base: Evaluation, tuned: Evaluation) -> Verdict:
    """The verdict on two evaluations of the same rows by the same task.

    Better and worse are said only when the paired 95 % interval excludes 0 and the paired test agrees (p < 0.05).
    Raises ShapeError if the rows or tasks differ.
    """
    name, n = tuned.task.primary, len(tuned.rows)
    difference = differences(base, tuned, only=name)[name]
    needed = None if difference.seen or isinf(difference.low) else rows_needed(difference, n)
    word = _word(difference, name, groups=_groups(tuned))
    sentence = f"{_sentence(word, base, tuned, difference, needed)}{_unread(base, tuned)}"
    return Verdict(word, name, base.primary, tuned.primary, difference, n, needed, sentence)


def differences(base: Evaluation, tuned: Evaluation, *, only: str | None = None) -> dict[str, Difference]:
    """Tuned minus base of every metric, or of `only` one.

    Raises ShapeError if the rows or tasks differ.
    """
    _check(base, tuned)
    before, after = (samples(one.rows, one.task, only=only) for one in (base, tuned))
    return paired_all(before, after, resamples=tuned.resamples, rng=np.random.default_rng(tuned.seed))


def class_differences(base: Evaluation, tuned: Evaluation) -> dict[str, Difference]:
    """Tuned minus base of the F1 of each label that is a reference, by name.

    Raises ShapeError if the rows or tasks differ.
    """
    _check(base, tuned)
    before, after = (class_samples(one.rows) for one in (base, tuned))
    return paired_all(before, after, resamples=tuned.resamples, rng=np.random.default_rng(tuned.seed))


def _check(base: Evaluation, tuned: Evaluation) -> None:
    if base.task != tuned.task:
        raise ShapeError(f"base was asked {base.task}, tuned {tuned.task}; evaluate both with one task")
    for one, other in zip(base.rows, tuned.rows, strict=False):
        if (one.id, one.references) != (other.id, other.references):
            raise ShapeError(f"base has row {one.id} where tuned has {other.id}; evaluate both on the same rows")
    if len(base.rows) != len(tuned.rows):
        raise ShapeError(f"base has {len(base.rows)} rows, tuned {len(tuned.rows)}; evaluate both on the same rows")


def _word(difference: Difference, metric: str, *, groups: int) -> Word:
    if not difference.differing and groups >= FEWEST:
        return "no difference"
    if not difference.seen:
        return "not enough rows to tell"
    return "better" if (difference.value > 0) != lower_is_better(metric) else "worse"


def _sentence(word: Word, base: Evaluation, tuned: Evaluation, found: Difference, needed: int | None) -> str:
    name, n = tuned.task.primary, len(tuned.rows)
    before, after = amount(base.primary.value, name), amount(tuned.primary.value, name)
    facts = f"{spelled(name)} {before} before tuning and {after} after it, on {_rows(tuned)}"
    size = f"difference {change(found.value, name)}, {_span(found, name)}, {_p(found.p)}"
    if word == "no difference":
        facts = f"{spelled(name)} {before} before tuning and after it"
        return f"No difference: {facts}; the two came out equal on all {_rows(tuned)}."
    if word != "not enough rows to tell":
        return f"The tuned model is {word}: {facts} ({size})."
    if isinf(found.low) or not found.differing:
        groups = _groups(tuned)
        one = "row" if groups == n else "group"
        few = f"One {one} says" if groups == 1 else f"{groups} {one}s say"
        return f"Not enough rows to tell: {facts}. {few} nothing of others; it takes {FEWEST} at the least."
    visible = change(smallest_visible(found, n, n), name).lstrip("+")
    both = " Better takes an interval without 0 and p < 0.05, both." if found.low > 0 or found.high < 0 else ""
    return f"Not enough rows to tell: {facts} ({size}).{both} {_advice(needed, n, visible)}"


def _unread(base: Evaluation, tuned: Evaluation) -> str:
    """What became of answers that hold no number, where numbers are judged by their distance."""
    if not isinstance(metrics.get(tuned.task.primary), Regression):
        return ""
    silent = [sum(number_in(row.text) is None for row in one.rows) for one in (base, tuned)]
    if not any(silent):
        return ""
    before, after = silent
    return (
        f" No number was in {before:,} of the answers before tuning and {after:,} after it; "
        "such an answer counts as 0 would, and as off by 1 at least."
        + (" Better than that says little: what a simple method reaches is the bar." if before > after else "")
    )


def _advice(needed: int | None, n: int, visible: str) -> str:
    if needed is None:
        return f"The two came out equal; {n:,} rows show differences from about {visible} on."
    return (
        f"A difference of this size would take about {needed:,} rows; {n:,} show differences from about {visible} on."
    )


def _span(found: Difference, name: str) -> str:
    return f"95 % interval {change(found.low, name).removesuffix(' points')} to {change(found.high, name)}"


def _rows(tuned: Evaluation) -> str:
    alone = clusters([row.group for row in tuned.rows]) is None
    grouped = "" if alone else f" in {counted(_groups(tuned), 'group')}"
    return f"{counted(len(tuned.rows), 'row')}{grouped}"


def _groups(tuned: Evaluation) -> int:
    """Rows that stand alone, and groups of those that do not."""
    index = clusters([row.group for row in tuned.rows])
    return len(tuned.rows) if index is None else int(index.max()) + 1


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def amount(value: float, metric: str) -> str:
    """A metric's value for people: a percentage for one that ends at 1, else a plain number."""
    return f"{value:.1%}".replace("%", " %") if _is_share(metric) else f"{value:.3g}"


def change(value: float, metric: str) -> str:
    """A difference for people, with its sign: in percentage points for a metric that ends at 1."""
    return f"{100 * value:+.1f} points" if _is_share(metric) else f"{value:+.3g}"


def _is_share(metric: str) -> bool:
    return not lower_is_better(metric) and (metric not in metrics or metrics[metric].top == 1)
