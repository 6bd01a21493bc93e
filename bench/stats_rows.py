"""Rows made of nothing, with what is true of them known: groups of unequal size, skewed scores, corpus metrics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.metrics.label import MacroF1
from luthier.metrics.metric import ratio
from luthier.stats import Floats, Sample

Ints: TypeAlias = NDArray[np.int64]
Random: TypeAlias = np.random.Generator

CLASSES = 5
SHARES = np.array([0.4, 0.25, 0.2, 0.1, 0.05])
"""Of the labels."""
WRONG = np.array([0.24, 0.38, 0.48, 0.62, 0.86])
"""Share of each label's rows that are given another label, all others alike."""


def mean(totals: Floats) -> Floats:
    """Totals (b, 2) -> (b,)."""
    return ratio(totals[:, 0], totals[:, 1])


def bleu_like(totals: Floats) -> Floats:
    """Totals (b, 10), of matched and of all n-grams, of answer and reference length -> (b,): BLEU's formula."""
    matched, held = np.maximum(totals[:, :4], 1e-9), totals[:, 4:8]
    brevity = np.exp(np.minimum(0.0, 1 - totals[:, 9] / totals[:, 8]))
    found: Floats = brevity * np.exp(np.log(matched / held).mean(axis=1))
    return found


def grouped(rng: Random, groups: int) -> Ints:
    """(n,) which of so many groups each row is of: 60 have some 200 rows, and a tenth of them a quarter of the rows."""
    return np.repeat(np.arange(groups), 1 + rng.poisson(np.exp(rng.normal(0.5, 0.8, groups))))


def of_rows(values: Floats, together: Ints | None = None) -> Sample:
    """The mean of row values (n,)."""
    return Sample(np.column_stack((values, np.ones(len(values)))), mean, together)


Pair: TypeAlias = tuple[Floats, Floats]


def alike(rng: Random, group: Ints) -> Pair:
    """Right or wrong; the same chance for both models in every group."""
    chance = (1 / (1 + np.exp(-rng.normal(1.0, 1.2, group.max() + 1))))[group]
    return (rng.random(len(group)) < chance) * 1.0, (rng.random(len(group)) < chance) * 1.0


def uneven(rng: Random, group: Ints) -> Pair:
    """Right or wrong; the tuned model gains a little in most groups and loses much in the others."""
    gain = np.where(rng.random(group.max() + 1) < 0.2, -0.4, 0.1)[group]
    return (rng.random(len(group)) < 0.7) * 1.0, (rng.random(len(group)) < 0.7 + gain) * 1.0


def graded(rng: Random, group: Ints) -> Pair:
    """A skewed number a row, such as a loss, with what a group's rows have in common."""
    common = rng.normal(0, 0.5, group.max() + 1)[group]
    base = rng.gamma(2, 1, len(group))
    return base, base / 2 + rng.gamma(2, 0.5, len(group)) + common


NULLS: dict[str, tuple[str, Callable[[Random, Ints], Pair]]] = {
    "alike": ("right or wrong, no difference in any group", alike),
    "uneven": ("right or wrong, small gains in most groups and large losses in few", uneven),
    "graded": ("a skewed number a row", graded),
}
"""No difference on the whole, each in its own way."""


@dataclass(frozen=True, slots=True)
class World:
    """A kind of rows whose score is known."""

    title: str
    draw: Callable[[Random], Sample]
    truth: float


def proportion(chance: float, rows: int) -> World:
    """Right or wrong, every row by itself."""

    def draw(rng: Random) -> Sample:
        return of_rows((rng.random(rows) < chance) * 1.0)

    return World(f"{chance:.0%} right, {rows} rows".replace("%", " %"), draw, chance)


def grouped_proportion(spread: float, level: float, groups: int) -> World:
    """Right or wrong in groups, some of which are easier than others."""

    def draw(rng: Random) -> Sample:
        group = grouped(rng, groups)
        chance = (1 / (1 + np.exp(-rng.normal(level, spread, groups))))[group]
        return of_rows((rng.random(len(group)) < chance) * 1.0, group)

    points, weights = np.polynomial.hermite_e.hermegauss(80)
    truth = float((weights / (1 + np.exp(-(level + spread * points)))).sum() / weights.sum())
    return World(f"{truth:.0%} right, {groups} groups of unequal size".replace("%", " %"), draw, truth)


def skewed(rows: int) -> World:
    """Exponential row values, whose skewness is 2."""
    return World(f"mean of an exponential row metric, {rows} rows", lambda r: of_rows(r.exponential(size=rows)), 1.0)


def very_skewed(rows: int) -> World:
    """Log-normal row values, whose skewness is 3.7."""
    truth = float(np.exp(0.32))
    return World(f"mean of a log-normal row metric, {rows} rows", lambda r: of_rows(r.lognormal(0, 0.8, rows)), truth)


def corpus(rows: int) -> World:
    """A ratio of sums of sums: BLEU's formula over answers of unequal length and quality."""
    large = sum(_ngrams(np.random.default_rng(99 + at), 100_000).sum(axis=0) for at in range(20))
    truth = float(bleu_like(np.asarray(large)[None])[0])
    return World(f"BLEU's formula, {rows} rows", lambda rng: Sample(_ngrams(rng, rows), bleu_like), truth)


def macro_f1(rows: int) -> World:
    """Macro-F1 over five classes, the rarest a twentieth of the rows."""
    joint = SHARES[:, None] * _confusion()
    totals = np.concatenate((np.diag(joint), joint.sum(axis=0), SHARES))
    truth = float(MacroF1().score(totals[None])[0])
    return World(f"macro-F1 of 5 classes, {rows} rows", lambda rng: _labels(rng, rows), truth)


def _ngrams(rng: Random, rows: int) -> Floats:
    length = 5 + rng.poisson(rng.gamma(3, 4, rows))
    quality = rng.beta(4, 2, rows)
    held = [length - at for at in range(4)]
    matched = [rng.binomial(held[at], quality ** (1 + 0.7 * at)) for at in range(4)]
    reference = np.maximum(1, length + rng.integers(-2, 4, rows))
    return np.column_stack((*matched, *held, length, reference)).astype(np.float64)


def _confusion() -> Floats:
    """(c, c): the chance of each answer to each label."""
    found = np.repeat(WRONG[:, None] / (CLASSES - 1), CLASSES, axis=1)
    np.fill_diagonal(found, 1 - WRONG)
    return found


def _labels(rng: Random, rows: int) -> Sample:
    gold = rng.choice(CLASSES, size=rows, p=SHARES)
    said = (_confusion()[gold].cumsum(axis=1) < rng.random(rows)[:, None]).sum(axis=1).clip(0, CLASSES - 1)
    one = np.eye(CLASSES)
    return Sample(np.column_stack((one[gold] * (gold == said)[:, None], one[said], one[gold])), MacroF1().score)
