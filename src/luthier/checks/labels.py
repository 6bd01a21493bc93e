"""Labels that are probably wrong: confident learning over two models of the words, each asked about rows it never saw.

A linear SVM over TF-IDF knows which words tell labels apart; the neighbours by static embeddings know which rows say
the same. Their mistakes differ. Not here: whose label is right, which people decide; and any trained language model,
but for the losses of one that stand in `Corpus.losses`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.checks.check import Corpus
from luthier.checks.classify import FOLDS, decisions, folds, prompt_text, wording
from luthier.checks.meaning import embedded
from luthier.checks.text import broken
from luthier.stats import Floats
from luthier.types import Issue

Features: TypeAlias = NDArray[np.float32]
"""(n, v) one line a text; sparse where they are counts of words."""

FEWEST = 5
"""Different prompts a label needs, one for each fold; the rows of rarer ones are not judged."""
NEIGHBOURS = 20
"""Rows that vote."""
LINEAR = 2.0
"""What the linear model counts for beside the neighbours, each in units of its own spread."""
ALONE = 0.25
"""What an unlikely label counts for by itself, beside another being likelier; raises precision at uniform flips from
0.911 to 0.919 and lowers it at flips to the nearest label from 0.73 to 0.71 (banking77)."""
SURE = 10.0
"""Nats that a tuned model's surprise counts for at most."""
_WARMTH = 0.1
"""Cosine by which a neighbour's vote falls to 1 / e."""
_STEP = 1000
"""Rows compared with all others at a time."""


TRUSTED = 0.7
"""Agreement from which a doubt is worth a flag."""


@dataclass(frozen=True, slots=True, eq=False)
class Suspicions:
    """What is to be thought of the label of each of n training rows."""

    places: NDArray[np.int64]
    """(n,) rows of the corpus."""
    labels: tuple[str, ...]
    """c labels, sorted."""
    given: NDArray[np.int64]
    """(n,) the label that is written."""
    likelier: NDArray[np.int64]
    """(n,) the likeliest of all other labels."""
    probabilities: Floats
    """(n, c) by models that saw neither the row nor another with its prompt."""
    score: Floats
    """(n,) the higher, the more likely wrong; above 0 mostly where another label is likelier."""
    wrong: int
    """Rows with a wrong label, by confident learning."""
    witness: NDArray[np.int64]
    """(n,) the row of the corpus nearest in meaning that has the likelier label."""

    @property
    def agreement(self) -> float:
        """Share of the labels that the judges find likeliest themselves."""
        return float((self.probabilities.argmax(axis=1) == self.given).mean())

    @property
    def worst(self) -> NDArray[np.int64]:
        """(k,) indexes of rows for which another label is likelier, worst first; equals by place."""
        ranked = np.argsort(-self.score, kind="stable")
        rows = np.arange(len(self.given))
        doubted = self.probabilities[rows, self.likelier] > self.probabilities[rows, self.given]
        return ranked[doubted[ranked]]


def label_error(corpus: Corpus) -> Iterator[Issue]:
    """One Issue for each training row for which another label is likelier; its first example is the row, its second the
    nearest that has that label.

    Flagged are as many of the worst as confident learning says are wrong; none where the judges agree with fewer than
    TRUSTED of the labels, since they are then likelier to be wrong than the labels.
    """
    found = suspicions(corpus)
    if found is None:
        return
    low, high = float(found.score.min()), float(found.score.max())
    trusted = found.agreement >= TRUSTED
    for rank, at in enumerate(found.worst):
        yield Issue(
            check="label_error",
            examples=tuple(corpus.rows[place].id for place in (found.places[at], found.witness[at])),
            severity=(0.7 if trusted else 0.3) * (float(found.score[at]) - low) / (high - low),
            flagged=trusted and rank < found.wrong,
            why=_why(corpus, found, int(at)),
            remedy="read both rows; mend the label if the other fits better, leave it if the row is a true exception",
        )


def suspicions(corpus: Corpus) -> Suspicions | None:
    """Every training row judged, or at most `options.sample` of them; None where there are no labels to compare."""
    from scipy.special import softmax

    places = judged_places(corpus)
    names = sorted({corpus.rows[at].label or "" for at in places})
    if len(names) < 2:
        return None
    column = {name: at for at, name in enumerate(names)}
    given = np.array([column[corpus.rows[at].label or ""] for at in places])
    texts = [prompt_text(corpus.rows[at]) for at in places]
    fold = folds(corpus.keys[places], given)
    (words,) = wording(texts)
    meaning, _ = embedded(texts)
    linear = partial(decisions, classes=len(names), ease=0.3)
    judged = LINEAR * _spread(_held_out(linear, words, given, fold, corpus, "labels by their words"))
    judged += _spread(_held_out(partial(_vote, classes=len(names)), meaning, given, fold, corpus, "labels by meaning"))
    judged *= _sharpness(judged, given)
    rows = np.arange(len(given))
    judged[rows, given] -= _surprise(corpus, places)
    others = judged.copy()
    others[rows, given] = -np.inf
    likelier = others.argmax(axis=1)
    score = others[rows, likelier] - (1 + ALONE) * judged[rows, given]
    chances = softmax(judged, axis=1)
    witness = np.array(places)[_nearest(meaning, given, likelier)]
    return Suspicions(np.array(places), tuple(names), given, likelier, chances, score, _wrong(given, chances), witness)


class _Judge(Protocol):
    """(n, v) known, (n,) labels, (m, v) asked -> (m, c), the higher the likelier."""

    def __call__(self, known: Features, labels: NDArray[np.int64], asked: Features, /) -> Floats: ...


def judged_places(corpus: Corpus) -> list[int]:
    """Places of training rows whose text can be read and whose label stands with at least FEWEST different prompts."""
    labelled = [at for at in corpus.of("train") if corpus.rows[at].label is not None and not broken(corpus.rows[at])]
    prompts: dict[str, set[int]] = {}
    sampled = corpus.sampled(labelled)
    for at in sampled:
        prompts.setdefault(corpus.rows[at].label or "", set()).add(int(corpus.keys[at]))
    return [at for at in sampled if len(prompts[corpus.rows[at].label or ""]) >= FEWEST]


def _held_out(
    judge: _Judge, features: Features, given: NDArray[np.int64], fold: NDArray[np.int64], corpus: Corpus, what: str
) -> Floats:
    """(n, c): each row as judged by what the other folds taught."""
    found: Floats | None = None
    for held in corpus.each(range(FOLDS), what):
        asked = fold == held
        part = judge(features[~asked], given[~asked], features[asked])
        found = np.zeros((len(given), part.shape[1])) if found is None else found
        found[asked] = part
    assert found is not None, f"{FOLDS} folds"
    return found


def _vote(known: Features, labels: NDArray[np.int64], asked: Features, /, *, classes: int) -> Floats:
    """(m, c): logarithm of each label's share among the nearest rows, nearer ones counting more."""
    count = min(NEIGHBOURS, len(known))
    found = np.empty((len(asked), classes))
    for start in range(0, len(asked), _STEP):
        cosine = asked[start : start + _STEP] @ known.T
        near = np.argpartition(-cosine, count - 1, axis=1)[:, :count]
        weight = np.exp((np.take_along_axis(cosine, near, 1) - 1) / _WARMTH)
        votes = np.zeros((len(cosine), classes))
        np.add.at(votes, (np.arange(len(cosine))[:, None], labels[near]), weight)
        found[start : start + _STEP] = votes / votes.sum(axis=1, keepdims=True)
    return np.log(found + 1e-3)


def _nearest(meaning: Features, given: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) for each row the index of the nearest one whose given label is the wanted one."""
    found = np.zeros(len(given), np.int64)
    for label in np.unique(wanted):
        asked, having = np.flatnonzero(wanted == label), np.flatnonzero(given == label)
        for start in range(0, len(asked), _STEP):
            some = asked[start : start + _STEP]
            found[some] = having[np.argmax(meaning[some] @ meaning[having].T, axis=1)]
    return found


def _spread(judged: Floats) -> Floats:
    """Each row's judgements around their mean, in units of the spread of all."""
    around = judged - judged.mean(axis=1, keepdims=True)
    found: Floats = around / (around.std() or 1.0)
    return found


def _sharpness(judged: Floats, given: NDArray[np.int64]) -> float:
    """What the judgements (n, c) are multiplied by to be logarithms of chances, under which the given labels are
    likeliest if one in twenty is anyhow wrong.

    Source: temperature scaling, Guo et al. 2017, arXiv:1706.04599.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import softmax

    rows, classes = np.arange(len(given)), judged.shape[1]

    def surprise(sharpness: float) -> float:
        right = softmax(judged * np.exp(sharpness), axis=1)[rows, given]
        return float(-np.log(0.95 * right + 0.05 / classes).mean())

    return float(np.exp(minimize_scalar(surprise, bounds=(-3, 4), method="bounded").x))


def _wrong(given: NDArray[np.int64], probabilities: Floats) -> int:
    """How many labels are wrong. Source: confident learning, Northcutt et al. 2021, arXiv:1911.00068."""
    from cleanlab.count import num_label_issues

    return int(num_label_issues(given, probabilities))


def _surprise(corpus: Corpus, places: Sequence[int]) -> Floats:
    """(n,) nats by which a tuned model is more surprised by a row's label than by the middle one; 0 without a model.

    At most SURE, so that it counts beside the words and does not replace them; a model that has learned a wrong label
    by heart says nothing.
    """
    losses = np.array([corpus.losses.get(corpus.rows[at].id, np.nan) for at in places])
    known = np.isfinite(losses)
    if known.sum() < FEWEST:
        return np.zeros(len(losses))
    return np.where(known, np.clip(losses - np.median(losses[known]), 0, SURE), 0.0)


def _why(corpus: Corpus, found: Suspicions, at: int) -> str:
    name = corpus.rows[found.places[at]].id
    given, other = found.given[at], found.likelier[at]
    chances = found.probabilities[at]
    loss = corpus.losses.get(name)
    beside = f"; the tuned model finds the label {_percent(np.exp(-loss))} likely" if loss is not None else ""
    total = len(corpus.of("train"))
    of = f" of {total:,}" if len(found.places) < total else ""
    return (
        f"{name} is labelled {found.labels[given]!r} ({_percent(chances[given])} likely), but {found.labels[other]!r} "
        f"({_percent(chances[other])}) by models of {len(found.places):,}{of} training rows that had not seen "
        f"it{beside}"
    )


def _percent(chance: float) -> str:
    return "under 0.1 %" if chance < 0.001 else f"{100 * chance:.1f} %"
