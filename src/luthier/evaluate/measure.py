"""From rows to numbers: every metric of a task with its interval. The rows alone decide; no model is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, fsum, inf, log

import numpy as np

from luthier.errors import DataError
from luthier.evaluate.task import PREFERENCES, Task
from luthier.metrics import named
from luthier.metrics.metric import ratio
from luthier.stats import Floats, Interval, Sample, clusters, interval


@dataclass(frozen=True, slots=True)
class Row:
    """A question, the right answers, and what a model said."""

    id: str
    question: str
    references: tuple[str, ...]
    label: str | None
    group: str | None
    tokens: float
    """Weight of the reference's learned tokens: what its loss counts for."""
    text: str
    """What the model said."""
    logprob: float | None
    """Log-probability of a chosen label with its end of turn; None for generated text."""
    scores: Mapping[str, float]
    """Metrics that mean something for one row, and `loss`: nats a token of the references."""
    bytes: float = 0.0
    """Of the references' text in UTF-8, weighted as `tokens` are: what bits per byte are counted by."""
    finished: bool | None = None
    """Whether a generated answer ended by itself; None for a choice, and in files of older runs."""
    options: Mapping[str, float] = field(default_factory=dict)
    """Log-probability of each label near the chosen one, likeliest first; empty where only the best was looked for."""
    left_out: float | None = None
    """Probability that all other labels together have at most."""

    @property
    def confidence(self) -> float | None:
        """Probability of the chosen label among all labels; None where it is not known."""
        if not self.options:
            return None
        best = max(self.options.values())
        return 1 / fsum(exp(value - best) for value in self.options.values())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """How one model did on some rows."""

    task: Task
    rows: tuple[Row, ...]
    metrics: Mapping[str, Interval]
    """The task's metrics in its order, then what is measured always: loss (nats a token), perplexity, bits a byte of
    the references, which compares models of different tokenizers; for text the share of answers that ended."""
    signatures: Mapping[str, str]
    """How BLEU and chrF were computed, as others publish it."""
    unfinished: int = 0
    """Generated answers that were cut off at the task's most tokens."""
    resamples: int = 2000
    seed: int = 0

    @property
    def primary(self) -> Interval:
        """The metric that decides."""
        return self.metrics[self.task.primary]


def evaluation(
    rows: Sequence[Row], task: Task, *, unfinished: int = 0, resamples: int = 2000, seed: int = 0
) -> Evaluation:
    """Measures rows; the same rows give the same numbers, whether they come from a model or from a file.

    Raises DataError if there are no rows.
    """
    if not rows:
        raise DataError("there are no rows to measure; check the split and what was left out")
    found = {
        name: interval(one, resamples=resamples, rng=np.random.default_rng(seed))
        for name, one in samples(rows, task).items()
    }
    references = [row.references for row in rows]
    signed = {name: named(name).signature(references) for name in task.metrics if name not in PREFERENCES}
    signatures = {name: text for name, text in signed.items() if text}
    return Evaluation(task, tuple(rows), found, signatures, unfinished, resamples, seed)


def samples(rows: Sequence[Row], task: Task, *, only: str | None = None) -> dict[str, Sample]:
    """What each metric of the task, the loss and the perplexity measured on the rows, or `only` one of them."""
    together = clusters([row.group for row in rows])
    texts, references = [row.text for row in rows], [row.references for row in rows]
    found: dict[str, Sample] = {}
    for name in task.metrics if only is None else {only} & set(task.metrics):
        if name in PREFERENCES:
            wins = np.array([(row.scores[name], 1.0) for row in rows])
            found[name] = Sample(wins, _share, together, (0.0, 1.0))
            continue
        metric = named(name)
        scale = (metric.bottom, metric.top)
        found[name] = Sample(metric.statistics(texts, references), metric.score, together, scale)
    if task.kind == "number":  # a squared error and the nats of a written number are no two of a kind
        return found
    losses = np.array([(row.scores["loss"] * row.tokens, row.tokens) for row in rows])
    found["loss"] = Sample(losses, _share, together, (0.0, inf))
    found["perplexity"] = Sample(losses, _perplexity, together, (1.0, inf))
    if all(row.bytes > 0 for row in rows):
        bits = np.array([(row.scores["loss"] * row.tokens / log(2), row.bytes) for row in rows])
        found["bits_per_byte"] = Sample(bits, _share, together, (0.0, inf))
    if task.kind == "text" and all(row.finished is not None for row in rows):
        ended = np.array([(float(row.finished is True), 1.0) for row in rows])
        found["stop_rate"] = Sample(ended, _share, together, (0.0, 1.0))
    return found if only is None else {only: found[only]}


def class_samples(rows: Sequence[Row]) -> dict[str, Sample]:
    """The F1 of each label that is a reference, by name."""
    together = clusters([row.group for row in rows])
    gold, said = [row.references[0] for row in rows], [row.text for row in rows]
    found: dict[str, Sample] = {}
    for label in sorted(set(gold)):
        given, had = (np.array([one == label for one in column], dtype=np.float64) for column in (said, gold))
        found[label] = Sample(np.column_stack((2 * given * had, given + had)), _share, together, (0.0, 1.0))
    return found


def row_scores(texts: Sequence[str], references: Sequence[Sequence[str]], task: Task) -> list[dict[str, float]]:
    """For each row, the metrics of the task that mean something for a single one."""
    judging = [name for name in task.metrics if name not in PREFERENCES]
    single = {name: named(name) for name in judging if named(name).by_row}
    columns = {name: one.score(one.statistics(texts, references)) for name, one in single.items()}
    return [{name: float(column[at]) for name, column in columns.items()} for at in range(len(texts))]


def _share(totals: Floats) -> Floats:
    return ratio(totals[:, 0], totals[:, 1])


def _perplexity(totals: Floats) -> Floats:
    with np.errstate(over="ignore"):
        found: Floats = np.exp(_share(totals))
    return found
