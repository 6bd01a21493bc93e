"""Before beside after: each measure with paired intervals, what is called lost, and whether a budget was overdrawn.

A loss is called one only where it is seen (the 95 % interval excludes 0, and the test agrees, though it is one of
several: Holm) and is worth a word: a hundredth of the measure's scale, or of the base's bits per byte, which tell
differences far below that. How far the model went from its base is told beside them and is no loss by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from luthier.evaluate.forgetting.distance import Drift
from luthier.evaluate.forgetting.marking import right
from luthier.evaluate.forgetting.measure import Reading
from luthier.evaluate.forgetting.texts import TEXTS, questions
from luthier.evaluate.measure import Evaluation
from luthier.evaluate.task import LOSSES
from luthier.evaluate.verdict import differences
from luthier.metrics import named
from luthier.metrics.metric import ratio
from luthier.stats import Difference, Floats, Interval, Sample, family, interval, paired

Word: TypeAlias = Literal["lost", "gained", "no loss seen"]

WORTH_A_WORD = 0.01
"""Share of the scale from which on a difference that is seen is called a loss or a gain."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One thing that was measured before and after."""

    name: str
    """For people: `general questions`, `prose`, the name of a file."""
    kind: Literal["probe", "text", "file", "divergence"]
    metric: str
    """`accuracy`, `bits_per_byte`, a file's deciding metric, `kl` (nats a token)."""
    n: int
    of: str
    """What n counts: questions, passages, rows, texts."""
    base: Interval
    tuned: Interval
    difference: Difference | None
    """None for a divergence, which is a difference already."""
    scale: float | None
    """What a difference is measured against: the metric's best value, the base's bits per byte; None where neither."""
    higher_is_better: bool
    p_family: float | None = None
    """The difference's p among all measures that are told with it (`together`); None of one that stands alone."""

    @property
    def p(self) -> float:
        """What the claim of a difference rests on; 1 where there is none."""
        if self.difference is None:
            return 1.0
        return self.difference.p if self.p_family is None else self.p_family

    @property
    def seen(self) -> bool:
        """Whether there is a difference beyond chance."""
        return self.difference is not None and self.difference.seen_at(self.p)

    @property
    def drop(self) -> float | None:
        """The loss as a share of the scale; below 0 for a gain."""
        if self.difference is None or not self.scale:
            return None
        return (-1 if self.higher_is_better else 1) * self.difference.value / self.scale

    @property
    def word(self) -> Word:
        """What is claimed."""
        if self.drop is None or not self.seen or abs(self.drop) < WORTH_A_WORD:
            return "no loss seen"
        return "lost" if self.drop > 0 else "gained"

    def over(self, max_drop: float | None) -> bool:
        """Whether the loss is seen and larger than a recipe allows: of answers, not of bits per byte."""
        if max_drop is None or self.kind not in ("probe", "file") or self.drop is None:
            return False
        return self.seen and self.drop > max_drop


def together(measures: Sequence[Measure]) -> list[Measure]:
    """The measures of one run, whose losses are claimed at once: p of each among all of them (Holm)."""
    raised = family({at: one.difference for at, one in enumerate(measures) if one.difference is not None})
    return [replace(one, p_family=raised.get(at)) for at, one in enumerate(measures)]


def probe(before: Mapping[str, str], after: Mapping[str, str], *, resamples: int, seed: int) -> Measure | None:
    """The general questions that both were asked, by their answers; None where there are none."""
    asked = [one for one in questions() if one.question in before and one.question in after]
    if not asked:
        return None
    marks = [np.array([right(one, said[one.question]) for one in asked], np.float64) for said in (before, after)]
    base, tuned = (Sample(np.column_stack((mark, np.ones(len(mark)))), _ratio) for mark in marks)
    return _measure(
        "general questions", "probe", "accuracy", (base, tuned), "questions", True, 1.0, resamples=resamples, seed=seed
    )


def by_kind(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, tuple[int, int, int]]:
    """For each kind of general question: how many were asked, right before and right after."""
    found: dict[str, tuple[int, int, int]] = {}
    for one in questions():
        if one.question in before and one.question in after:
            n, base, tuned = found.get(one.kind, (0, 0, 0))
            marks = right(one, before[one.question]), right(one, after[one.question])
            found[one.kind] = n + 1, base + marks[0], tuned + marks[1]
    return found


def read(before: Sequence[Reading], after: Sequence[Reading], *, resamples: int, seed: int) -> list[Measure]:
    """Bits per byte of each text, passage by passage."""
    found = []
    for kind in TEXTS:
        sides = [
            np.array([(one.nats / np.log(2), one.bytes) for one in side if one.kind == kind and one.bytes], np.float64)
            for side in (before, after)
        ]
        if not len(sides[0]):
            continue
        base, tuned = (Sample(side, _ratio) for side in sides)
        scale = base.value
        found.append(
            _measure(
                kind, "text", "bits_per_byte", (base, tuned), "passages", False, scale, resamples=resamples, seed=seed
            )
        )
    return found


def drifted(found: Sequence[Drift], *, resamples: int, seed: int) -> list[Measure]:
    """Nats a token away from the base, over general prompts and over the base's own text."""
    names = {"prompts": "divergence on general prompts", "own": "divergence on the base's own text"}
    measures = []
    for kind, name in names.items():
        sums = np.array([(one.nats, one.tokens) for one in found if one.kind == kind], np.float64)
        if not len(sums):
            continue
        value = interval(Sample(sums, _ratio), resamples=resamples, rng=np.random.default_rng(seed))
        measures.append(
            Measure(name, "divergence", "kl", len(sums), "texts", Interval(0, 0, 0), value, None, None, False)
        )
    return measures


def of_file(name: str, base: Evaluation, tuned: Evaluation) -> Measure:
    """A named file by its task's deciding metric."""
    metric = tuned.task.primary
    loses = metric in LOSSES
    return Measure(
        name,
        "file",
        metric,
        len(tuned.rows),
        "rows",
        base.primary,
        tuned.primary,
        differences(base, tuned, only=metric)[metric],
        None if loses else named(metric).top,
        not loses,
    )


def _measure(
    name: str,
    kind: Literal["probe", "text"],
    metric: str,
    samples: tuple[Sample, Sample],
    of: str,
    higher_is_better: bool,
    scale: float,
    *,
    resamples: int,
    seed: int,
) -> Measure:
    base, tuned = (interval(one, resamples=resamples, rng=np.random.default_rng(seed)) for one in samples)
    difference = paired(*samples, resamples=resamples, rng=np.random.default_rng(seed))
    n = len(samples[0].statistics)
    return Measure(name, kind, metric, n, of, base, tuned, difference, scale, higher_is_better)


def _ratio(totals: Floats) -> Floats:
    return ratio(totals[:, 0], totals[:, 1])
