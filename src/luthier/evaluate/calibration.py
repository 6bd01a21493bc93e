"""How far the confidence of a choice can be trusted: `calibration` of report.json.

The probability of a label is its share of all labels' probability. Labels further below the best than the search's
margin were left out and count as 0; `left_out` says how much they can have had at most. A temperature is fitted on
validation rows and applied to test rows; nothing here is fitted on the rows it is judged on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, fsum

import numpy as np

from luthier.evaluate.chance import by_chance, trusted
from luthier.evaluate.measure import Evaluation, Row
from luthier.evaluate.tables import difference_json, interval_json
from luthier.metrics import calibration as measured
from luthier.metrics.calibration import Bins, Integers
from luthier.metrics.metric import ratio
from luthier.stats import Floats, Interval, Sample, clusters, interval, paired, wilson
from luthier.types import Json

COVERAGES = tuple(range(100, 0, -5))
"""Percent of rows answered at which the abstention curve is told."""


BINNED: dict[str, Callable[[Floats], Bins]] = {"ece": lambda _: Bins.equal(), "ece_adaptive": Bins.adaptive}
"""The calibration errors, by the bins of given confidences."""


@dataclass(frozen=True, slots=True, eq=False)
class Confident:
    """The rows of a choice as numbers."""

    logits: Floats
    """(n, c) log-probability of each label, minus infinity where it was left out."""
    gold: Integers
    """(n,)"""
    chances: Floats
    """(n, c) probabilities of labels, summing to 1."""
    temperature: float = 1.0

    @property
    def confidence(self) -> Floats:
        """(n,) probability of the answer."""
        found: Floats = self.chances.max(axis=1)
        return found

    @property
    def right(self) -> Floats:
        """(n,) 1 where the likeliest label is the right one."""
        found: Floats = (self.chances.argmax(axis=1) == self.gold).astype(np.float64)
        return found

    def at(self, temperature: float) -> Confident:
        """The same answers, surer below 1 and less sure above."""
        return Confident(self.logits, self.gold, measured.probabilities(self.logits, temperature), temperature)


def confident(rows: Sequence[Row], labels: Sequence[str]) -> Confident | None:
    """The rows' labels with their log-probabilities; None where a row has none, as text and older runs do.

    A right label that was left out counts as likely as the unlikeliest one that was not: its loss is at least that.
    """
    if not rows or not all(row.options for row in rows):
        return None
    column = {label: at for at, label in enumerate(labels)}
    logits = np.full((len(rows), len(labels)), -np.inf)
    gold = np.array([column[row.references[0]] for row in rows], dtype=np.int64)
    for line, right, row in zip(logits, gold, rows, strict=True):
        line[[column[label] for label in row.options]] = list(row.options.values())
        line[right] = line[right] if np.isfinite(line[right]) else min(row.options.values())
    return Confident(logits, gold, measured.probabilities(logits))


def calibration_json(
    base: Evaluation, tuned: Evaluation, validation: Evaluation | None = None
) -> dict[str, Json] | None:
    """`calibration` of report.json: base and tuned on the same rows, and tuned again at the temperature fitted on the
    validation rows; None unless both are choices whose labels' probabilities are known."""
    labels = tuned.task.labels
    before, after = confident(base.rows, labels), confident(tuned.rows, labels)
    if before is None or after is None:
        return None
    fitted = None if validation is None else confident(validation.rows, labels)
    found: dict[str, Json] = {
        "n": len(tuned.rows),
        "base": _side(base, before),
        "tuned": _side(tuned, after),
        "difference": _differences(tuned, before, after),
        "temperature": None,
    }
    if fitted is not None:
        found["temperature"] = _tempered(tuned, after, measured.temperature(fitted.logits, fitted.gold), fitted)
    return found


def _tempered(tuned: Evaluation, after: Confident, value: float, fitted: Confident) -> dict[str, Json]:
    cooled = after.at(value)
    return {
        "value": value,
        "fitted_on": len(fitted.gold),
        "tuned": _side(tuned, cooled),
        "difference": _differences(tuned, after, cooled),
    }


def _side(evaluation: Evaluation, found: Confident) -> dict[str, Json]:
    """Everything that is known of one model's confidence."""
    together = clusters([row.group for row in evaluation.rows])
    intervals = {
        name: interval(one, resamples=evaluation.resamples, rng=np.random.default_rng(evaluation.seed))
        for name, one in _samples(evaluation.rows, found).items()
    }
    for name in BINNED:
        intervals[name] = _widened(intervals[name])
    ranks = {"coverage_area": lambda weights: measured.coverage_area(found.confidence, found.right, weights)}
    marked = _in_scope(evaluation, found)
    if marked is not None:
        ranks["out_of_scope_auroc"] = lambda weights: measured.auroc(*marked, weights)
    intervals |= {name: _reweighted(value, together, evaluation) for name, value in ranks.items()}
    told: dict[str, Json] = {name: interval_json(one) for name, one in intervals.items()}
    chance = {
        name: by_chance(
            found.confidence,
            found.right,
            bins(found.confidence),
            together,
            draws=evaluation.resamples,
            rng=np.random.default_rng(evaluation.seed),
        )
        for name, bins in BINNED.items()
    }
    return {
        **told,
        "if_calibrated": {name: one.json() for name, one in chance.items()},
        "sentence": trusted(chance["ece"], sure=intervals["confidence"].value, right=intervals["accuracy"].value),
        "left_out": max(_left_out(row) for row in evaluation.rows),
        "reliability": _reliability(found),
        "abstention": _abstention(found),
    }


def _samples(rows: Sequence[Row], found: Confident) -> dict[str, Sample]:
    """What adds up over rows."""
    together = clusters([row.group for row in rows])
    confidence, right = found.confidence, found.right
    means = {
        "confidence": confidence,
        "accuracy": right,
        "brier": measured.brier(found.chances, found.gold),
        "log_loss": measured.log_loss(found.logits, found.gold, found.temperature),
    }
    return {
        **{
            name: Sample(bins(confidence).statistics(confidence, right), Bins.error, together)
            for name, bins in BINNED.items()
        },
        **{name: Sample(np.column_stack((one, np.ones(len(one)))), _mean, together) for name, one in means.items()},
    }


def _differences(tuned: Evaluation, before: Confident, after: Confident) -> dict[str, Json]:
    """After minus before on the same rows, of what has the same shape in both."""
    one, other = _samples(tuned.rows, before), _samples(tuned.rows, after)
    return {
        name: difference_json(
            paired(one[name], other[name], resamples=tuned.resamples, rng=np.random.default_rng(tuned.seed))
        )
        for name in ("ece", "brier", "log_loss")
    }


def _widened(found: Interval) -> Interval:
    """The percentiles and their mirror image at the value together, not below 0.

    Resampled rows scatter more within their bins, so that the error of a resample is too large on average, and the
    percentiles alone miss a small error nearly always.
    """
    value = found.value
    low, high = min(found.low, 2 * value - found.high), max(found.high, 2 * value - found.low)
    return Interval(value, max(0.0, min(value, low)), max(value, high))


def _reweighted(score: Callable[[Floats], Floats], together: Integers | None, evaluation: Evaluation) -> Interval:
    """A score that depends on ranks with its interval, by a percentile bootstrap of whole groups."""
    n, rng = len(evaluation.rows), np.random.default_rng(evaluation.seed)
    index = np.arange(n) if together is None else together
    count = int(index.max()) + 1
    found = [score(_drawn(size, count, rng)[:, index]) for size in _parts(evaluation.resamples)]
    low, high = np.quantile(np.concatenate(found), (0.025, 0.975))
    return Interval(float(score(np.ones((1, n)))[0]), float(low), float(high))


def _drawn(size: int, count: int, rng: np.random.Generator) -> Floats:
    """(size, count) how often each of `count` groups is drawn with replacement."""
    drawn = [np.bincount(rng.integers(count, size=count), minlength=count) for _ in range(size)]
    return np.array(drawn, dtype=np.float64)


def _parts(draws: int, size: int = 100) -> list[int]:
    return [size] * (draws // size) + ([draws % size] if draws % size else [])


def _in_scope(evaluation: Evaluation, found: Confident) -> tuple[Floats, Floats] | None:
    """How sure the model is that a label within the scope is meant, and whether one is; None where no row is marked."""
    outside = evaluation.task.out_of_scope
    if outside is None or outside not in evaluation.task.labels:
        return None
    at = evaluation.task.labels.index(outside)
    inside = (found.gold != at).astype(np.float64)
    if not 0 < inside.sum() < len(inside):
        return None
    return np.delete(found.chances, at, axis=1).max(axis=1), inside


def _reliability(found: Confident) -> list[Json]:
    """The bins that hold rows: what was believed, and what was right."""
    bins, confidence, right = Bins.equal(), found.confidence, found.right
    place, bounds = bins.place(confidence), [0.0, *bins.edges.tolist(), 1.0]
    table: list[Json] = []
    for at in np.unique(place).tolist():
        here = place == at
        n = int(here.sum())
        accuracy: dict[str, Json] = interval_json(wilson(int(right[here].sum()), n))
        mean = float(confidence[here].mean())
        table.append({"from": bounds[at], "to": bounds[at + 1], "n": n, "confidence": mean, "accuracy": accuracy})
    return table


def _abstention(found: Confident) -> list[Json]:
    """Accuracy on the surest rows, and how sure one must be to be among them; equal confidences come in together."""
    share, accuracy = measured.coverage(found.confidence, found.right)
    least = -np.unique(-found.confidence)
    table: list[Json] = []
    for at in dict.fromkeys(int(np.searchsorted(share, percent / 100 - 1e-9)) for percent in COVERAGES):
        n = round(float(share[at]) * len(found.gold))
        right: dict[str, Json] = interval_json(wilson(round(float(accuracy[at]) * n), n))
        table.append({"coverage": float(share[at]), "least": float(least[at]), "n": n, "accuracy": right})
    return table


def _left_out(row: Row) -> float:
    """The largest share of all labels' probability that the ones left out can have."""
    held = fsum(exp(value) for value in row.options.values())
    return (row.left_out or 0.0) / (held + (row.left_out or 0.0)) if held else 1.0


def _mean(totals: Floats) -> Floats:
    return ratio(totals[:, 0], totals[:, 1])
