"""What can be had without a language model: the bar that a tuned one must beat, in seconds and with intervals.

Measured on the test rows, else on validation, else on folds of training. Not here: any neural network.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from luthier.checks.check import Corpus, Table, number
from luthier.checks.classify import FOLDS, clipped, decisions, folds, prompt_text, wording
from luthier.checks.preference import pair, said
from luthier.data.split import PARTS
from luthier.metrics import named
from luthier.metrics.numeric import MARK
from luthier.metrics.regression import number_in
from luthier.stats import Sample, clusters, interval
from luthier.types import Example

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

TITLE = "Baselines"
"""Of the table."""
RESAMPLES = 1000
ASKED = 2000
"""Held-out rows at most whose text answers are compared: chrF and ROUGE take a millisecond each."""
_STEP = 200
"""Rows compared with all of training at a time."""
_EASE = 0.1
"""C of the Bradley-Terry model; chosen on folds of HH harmless, where 0.01 to 1 give 0.631 to 0.642."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """How far one simple way of answering gets."""

    name: str
    metric: str
    """A name in `luthier.metrics.metrics`; of pairs `accuracy` is the share in which the chosen side is preferred."""
    value: float
    low: float
    """Of the interval at 95 %."""
    high: float
    n: int
    """Rows it was measured on."""
    part: str
    """`test`, `validation`, or `train` for folds of it."""


@dataclass(frozen=True, slots=True, eq=False)
class _Trial:
    """Which rows are learned from and which are asked; rows of training are asked of the other folds."""

    part: str
    known: Ints
    """Places of training rows."""
    asked: Ints
    """Places of the rows that are asked: some of `known` where there are no others."""

    def rounds(self, corpus: Corpus, labels: Ints) -> Iterator[tuple[Ints, Ints]]:
        """Indexes into `known` and into `asked`: what is learned from and what is asked, once or by folds."""
        if self.part != "train":
            yield np.arange(len(self.known)), np.arange(len(self.asked))
            return
        fold = folds(corpus.keys[self.known], labels)
        own = fold[np.searchsorted(self.known, self.asked)]
        for held in range(FOLDS):
            if (own == held).any() and (fold != held).any():
                yield np.flatnonzero(fold != held), np.flatnonzero(own == held)


def baselines(corpus: Corpus) -> tuple[Baseline, ...]:
    """For labels the commonest one and a linear SVM over TF-IDF; for numbers the best constant and a ridge over TF-IDF;
    for pairs the shorter side and Bradley-Terry over n-grams; for text the answer to the nearest prompt. Empty where
    there is nothing to learn from or to ask.

    At most `options.sample` rows are learned from and asked, ASKED for text.
    """
    rows = corpus.rows
    if not rows or not len(corpus.of("train")):
        return ()
    if corpus.numbers:
        return _of_numbers(corpus)
    if all(pair(row) is not None for row in rows):
        return _of_pairs(corpus)
    if all(row.label is not None for row in rows):
        return _of_labels(corpus)
    return _of_texts(corpus)


def bar(corpus: Corpus) -> Iterator[Table]:
    """The baselines as a table."""
    if found := baselines(corpus):
        where = f"the {FOLDS} folds of the training rows" if found[0].part == "train" else f"the {found[0].part} rows"
        yield Table(
            title=TITLE,
            columns=("way", "metric", "value", "low", "high", "rows"),
            rows=tuple((one.name, one.metric, one.value, one.low, one.high, one.n) for one in found),
            note=f"What a tuned model must beat, with 95 % intervals, on {where}.",
        )


def _trial(corpus: Corpus) -> _Trial:
    known = np.array(corpus.sampled(corpus.of("train")), np.int64)
    part = next((part for part in reversed(PARTS[1:]) if len(corpus.of(part))), "train")
    asked = known if part == "train" else np.array(corpus.sampled(corpus.of(part)), np.int64)
    return _Trial(part, known, asked)


def _few(corpus: Corpus, trial: _Trial) -> _Trial:
    """The trial with one asked row a prompt, at most ASKED."""
    first = {_prompt(corpus.rows[at]): int(at) for at in trial.asked[::-1]}
    drawn = sorted(first.values(), key=lambda at: number(f"{corpus.options.seed} {corpus.rows[at].id}"))[:ASKED]
    return replace(trial, asked=np.array(sorted(drawn), np.int64))


def _of_labels(corpus: Corpus) -> tuple[Baseline, ...]:
    trial = _trial(corpus)
    names = sorted({corpus.rows[at].label or "" for at in trial.known})
    index = {name: at for at, name in enumerate(names)}
    labels = np.array([index[corpus.rows[at].label or ""] for at in trial.known], np.int64)
    texts = [prompt_text(corpus.rows[at]) for at in trial.known]
    known, asked = wording(texts, [prompt_text(corpus.rows[at]) for at in trial.asked])
    commonest = np.full(len(trial.asked), -1, np.int64)
    linear = commonest.copy()
    for learn, ask in trial.rounds(corpus, labels):
        commonest[ask] = np.bincount(labels[learn]).argmax()
        distance = decisions(known[learn], labels[learn], asked[ask], classes=len(names))
        linear[ask] = distance.argmax(axis=1)
    right = [(corpus.rows[at].label or "",) for at in trial.asked]
    found: list[Baseline] = []
    for way, given in {"majority": commonest, "TF-IDF + linear SVM": linear}.items():
        answers = [names[at] if at >= 0 else "" for at in given]
        found += _measured(corpus, trial, way, answers, right, ("accuracy", "macro_f1"))
    return tuple(found)


def _of_numbers(corpus: Corpus) -> tuple[Baseline, ...]:
    """The constant that does best, and a ridge regression over TF-IDF; rows without a number are left out.

    The median has the smallest absolute error of all constants and the mean the smallest squared one, so each is
    measured by what it is best at: the bar is no lower than it need be.
    """
    every = _trial(corpus)
    trial = replace(every, known=_with_number(corpus, every.known), asked=_with_number(corpus, every.asked))
    if not (len(trial.known) and len(trial.asked)):
        return ()
    numbers = np.array([number_in(corpus.rows[at].answer) for at in trial.known], np.float64)
    texts = [prompt_text(corpus.rows[at]) for at in trial.known]
    known, asked = wording(texts, [prompt_text(corpus.rows[at]) for at in trial.asked])
    median, mean, ridge = (np.full(len(trial.asked), np.median(numbers)) for _ in range(3))
    for learn, ask in trial.rounds(corpus, np.zeros(len(trial.known), np.int64)):
        median[ask], mean[ask] = np.median(numbers[learn]), numbers[learn].mean()
        ridge[ask] = _ridge(known[learn], numbers[learn], asked[ask])
    right = [(corpus.rows[at].answer,) for at in trial.asked]
    ways = (("always the median", median, ("mae",)), ("always the mean", mean, ("rmse", "r2")))
    return tuple(
        one
        for way, given, metrics in (*ways, ("TF-IDF + ridge", ridge, ("mae", "rmse", "r2")))
        for one in _measured(corpus, trial, way, [f"{value:.6f}" for value in given], right, metrics)
    )


def _with_number(corpus: Corpus, places: Ints) -> Ints:
    return np.array([at for at in places if number_in(corpus.rows[at].answer) is not None], np.int64)


def _ridge(known: csr_matrix, numbers: Floats, asked: csr_matrix) -> Floats:
    """(n, v), (n,) and (m, v) -> (m,): least squares with scikit-learn's usual penalty, chosen by no row."""
    from sklearn.linear_model import Ridge

    found: Floats = Ridge(random_state=0).fit(known, numbers).predict(asked)
    return found


def _of_texts(corpus: Corpus) -> tuple[Baseline, ...]:
    """The answer of the training row whose prompt is nearest by TF-IDF, in another fold where training is asked."""
    trial = _few(corpus, _trial(corpus))
    texts = [prompt_text(corpus.rows[at]) for at in trial.known]
    known, asked = wording(texts, [prompt_text(corpus.rows[at]) for at in trial.asked])
    answers = [""] * len(trial.asked)
    for learn, ask in trial.rounds(corpus, np.zeros(len(trial.known), np.int64)):
        for at, near in zip(ask, _nearest(known[learn], asked[ask]), strict=True):
            answers[at] = corpus.rows[trial.known[learn[near]]].answer
    right = _references(corpus, trial)
    numeric = all(MARK in text for texts in right for text in texts)
    metrics = ("numeric",) if numeric else ("exact", "chrf", "rougeL")
    return tuple(_measured(corpus, trial, "nearest neighbour's answer", answers, right, metrics))


def _nearest(known: csr_matrix, asked: csr_matrix) -> Ints:
    """(n, v) and (m, v), lines of one length -> (m,) the line of `known` with the largest product, first of equals."""
    found = np.zeros(asked.shape[0], np.int64)
    turned = known.T.tocsr()
    for start in range(0, asked.shape[0], _STEP):
        product = (asked[start : start + _STEP] @ turned).toarray()
        found[start : start + _STEP] = product.argmax(axis=1)
    return found


def _of_pairs(corpus: Corpus) -> tuple[Baseline, ...]:
    trial = _trial(corpus)
    sides = [_sides(corpus.rows[at]) for at in trial.asked]
    lengths = np.array([(len(chosen), len(rejected)) for chosen, rejected in sides])
    shorter = (lengths[:, 0] < lengths[:, 1]) + 0.5 * (lengths[:, 0] == lengths[:, 1])
    return (
        _rate(corpus, trial, "the shorter side wins", shorter),
        _rate(corpus, trial, "Bradley-Terry over n-grams", _bradley_terry(corpus, trial)),
    )


def _sides(row: Example) -> tuple[str, str]:
    found = pair(row)
    assert found is not None, row.id
    return said(found[0]), said(found[1])


def _bradley_terry(corpus: Corpus, trial: _Trial) -> NDArray[np.float64]:
    """(m,) 1 where the chosen side is the stronger, 1/2 where neither is: a logistic regression without intercept over
    what the n-grams of the two sides differ in.

    Source: Bradley & Terry 1952, with strengths linear in n-grams.
    """
    from scipy.sparse import vstack
    from sklearn.linear_model import LogisticRegression

    known, asked = _differences(corpus, trial)
    right = np.full(len(trial.asked), 0.5)
    for learn, ask in trial.rounds(corpus, np.zeros(len(trial.known), np.int64)):
        both = vstack((known[learn], -known[learn]))
        won = np.repeat((1, 0), len(learn))
        model = LogisticRegression(C=_EASE, fit_intercept=False, solver="liblinear", random_state=0).fit(both, won)
        strength = model.decision_function(asked[ask])
        right[ask] = (strength > 0) + 0.5 * (strength == 0)
    return right


def _differences(corpus: Corpus, trial: _Trial) -> tuple[csr_matrix, csr_matrix]:
    """(n, v) and (m, v): the chosen side's n-grams less the rejected one's, of known and of asked rows."""
    texts = [[clipped(side) or "." for at in places for side in _sides(corpus.rows[at])] for places in _both(trial)]
    known, asked = wording(*texts)
    return known[::2] - known[1::2], asked[::2] - asked[1::2]


def _both(trial: _Trial) -> tuple[Ints, Ints]:
    return trial.known, trial.asked


def _measured(
    corpus: Corpus,
    trial: _Trial,
    way: str,
    answers: Sequence[str],
    right: Sequence[Sequence[str]],
    metrics: Sequence[str],
) -> Iterator[Baseline]:
    """The answers under each metric; rows of one group are drawn together."""
    groups = clusters([corpus.rows[at].group for at in trial.asked])
    for name in metrics:
        metric = named(name)
        yield _baseline(corpus, trial, way, name, Sample(metric.statistics(answers, right), metric.score, groups))


def _references(corpus: Corpus, trial: _Trial) -> list[tuple[str, ...]]:
    """For each asked row every right answer to its prompt, from all rows of its split that ask it."""
    wanted = {_prompt(corpus.rows[at]): dict[str, None]() for at in trial.asked}
    for row in (corpus.rows[at] for at in corpus.of(trial.part)):
        if (texts := wanted.get(_prompt(row))) is not None:
            texts.update(dict.fromkeys(row.references or (row.answer,)))
    return [tuple(wanted[_prompt(corpus.rows[at])]) for at in trial.asked]


def _prompt(row: Example) -> tuple[str, ...]:
    return tuple(f"{turn.role} {turn.content}" for turn in row.prompt)


def _rate(corpus: Corpus, trial: _Trial, way: str, right: NDArray[np.float64]) -> Baseline:
    metric = named("accuracy")
    groups = clusters([corpus.rows[at].group for at in trial.asked])
    return _baseline(
        corpus, trial, way, "accuracy", Sample(np.column_stack((right, np.ones(len(right)))), metric.score, groups)
    )


def _baseline(corpus: Corpus, trial: _Trial, way: str, metric: str, sample: Sample) -> Baseline:
    found = interval(sample, resamples=RESAMPLES, rng=np.random.default_rng(corpus.options.seed))
    return Baseline(way, metric, found.value, found.low, found.high, len(sample.statistics), trial.part)
