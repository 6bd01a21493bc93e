"""Where the inputs are few, and held-out rows far from anything in training, by static word embeddings.

A row is far by two distances together: from the nearest training row (cosine), and from the middle of all of them in
units of their spread (Mahalanobis), which sees a foreign kind of text where nothing lies near anything. What is far is
read off the training rows themselves, each against the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.checks.balance import SHOWN, short
from luthier.checks.check import Corpus, Table
from luthier.checks.meaning import embedded
from luthier.stats import wilson
from luthier.types import Example, Issue, Json

WITHIN = 0.995
"""Share of the training rows that lie within the distance from which a row is far."""
EXPECTED = 0.01
"""Share of a split's far rows that its interval must exclude for the split as a whole to be from elsewhere."""
FEWEST = 100
"""Training prompts without which nothing is said."""
LOOKED_AT = 5_000
"""Rows of training that are clustered at most."""
CLUSTERS, SMALLEST = 50, 15
"""Clusters at most, and those of them that are shown."""
_CLIPPED = 4_000
_BLOCK = 512

Vectors: TypeAlias = NDArray[np.float32]
Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """The training row nearest to each of m rows."""

    row: Integers
    """(m,) which."""
    cosine: Floats
    """(m,)"""


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """The training rows as a cloud, and how far its rows lie from each other."""

    vectors: Vectors
    """(n, v) of length 1."""
    middle: Vectors
    """(v,)"""
    axes: Vectors
    """(v, v): what turns a step from the middle into units of the cloud's spread, half-way to a ball's."""
    usual: Floats
    """(2,) median of the two distances."""
    spread: Floats
    """(2,) from the median to the quantile WITHIN."""
    far: float
    """Score at the quantile WITHIN."""
    farthest: float
    """Score of the training row farthest from the others."""

    def scores(self, asked: Vectors, cosine: Floats) -> Floats:
        """(m, v) and the cosine of each row's nearest (m,) -> (m,): both distances, each over its own spread."""
        return _joined(np.stack((1 - cosine, self.off(asked))), self.usual, self.spread)

    def off(self, asked: Vectors) -> Floats:
        """(m,) squared Mahalanobis distance from the middle."""
        return _length((asked - self.middle) @ self.axes)


def far_from_training(corpus: Corpus) -> Iterator[Issue]:
    """Held-out rows farther from training than all but 1 in 200 of its rows are from the others; one Issue each.

    They are flagged where the split has more of them than chance would bring, and one Issue says so, or where a row
    lies beyond every training row.
    """
    train = _distinct(corpus)
    if len(train) < FEWEST or not (len(corpus.of("validation")) or len(corpus.of("test"))):
        return
    corpus.progress("distances", 0, len(corpus.rows))
    vectors = _vectors(corpus, train)
    cloud = known(vectors, _families([corpus.rows[at] for at in train]))
    for part in ("validation", "test"):
        if places := corpus.sampled(corpus.of(part)):
            yield from _far(corpus, part, places, train, cloud)


def clusters(corpus: Corpus) -> Iterator[Table]:
    """Kinds of input with the fewest rows of training, each by two of them: where more rows would add most."""
    if len(corpus.of("train")) < FEWEST or find_spec("wordllama") is None:
        return
    from sklearn.cluster import MiniBatchKMeans

    drawn = corpus.sampled(corpus.of("train"))
    places = np.array(drawn[:: -(-len(drawn) // LOOKED_AT)])
    vectors = _vectors(corpus, places.tolist())
    wanted = min(CLUSTERS, int((len(places) / 2) ** 0.5))
    model = MiniBatchKMeans(wanted, random_state=corpus.options.seed, n_init=3).fit(vectors)
    sizes = np.bincount(model.labels_, minlength=wanted)
    smallest = [at for at in np.argsort(sizes, kind="stable") if sizes[at]][:SMALLEST]
    sample = f", in a sample of {len(places):,} rows" if len(places) < len(corpus.of("train")) else ""
    yield Table(
        title="Kinds of input with few rows",
        columns=("inputs like", "and like", "commonest label", "rows"),
        rows=tuple(_cluster(corpus, places, vectors, model.labels_ == at) for at in smallest),
        note=f"The {len(smallest)} smallest of {int((sizes > 0).sum())} clusters by meaning{sample}; "
        f"the median has {np.median(sizes[sizes > 0]):.0f} rows. More rows of these would add most.",
        chart="bars",
    )


def known(vectors: Vectors, families: Integers) -> Known:
    """The cloud of n training rows; (n, v) and (n,), rows of one family not counting as each other's nearest."""
    n = len(vectors)
    middle = vectors.mean(axis=0)
    values, turn = np.linalg.eigh(np.cov((vectors - middle).T))
    axes = (turn / np.sqrt(values + max(float(values.mean()), 1e-9))).astype(np.float32)
    cosine = nearest(vectors, vectors, apart=families).cosine
    off = _length((vectors - middle) @ axes)
    both = np.stack((1 - cosine, off / (1 - np.minimum(off / n, 0.5))))  # as if the middle had been found without it
    usual = np.median(both, axis=1)
    spread = np.maximum(np.quantile(both, WITHIN, axis=1) - usual, 1e-9)
    scores = _joined(both, usual, spread)
    return Known(vectors, middle, axes, usual, spread, float(np.quantile(scores, WITHIN)), float(scores.max()))


def nearest(asked: Vectors, vectors: Vectors, *, apart: Integers | None = None) -> Nearest:
    """(m, v) among (n, v); with `apart` (n,) the two are the same rows, and none is near one of its own family."""
    row, cosine = np.zeros(len(asked), np.int64), np.zeros(len(asked))
    for start in range(0, len(asked), _BLOCK):
        block = slice(start, start + _BLOCK)
        some = asked[block] @ vectors.T
        if apart is not None:
            some[apart[block, None] == apart[None]] = -1
        row[block] = some.argmax(axis=1)
        cosine[block] = some.max(axis=1)
    return Nearest(row, cosine)


def _far(corpus: Corpus, part: str, places: Sequence[int], train: Sequence[int], cloud: Known) -> Iterator[Issue]:
    asked = _vectors(corpus, places)
    near = nearest(asked, cloud.vectors)
    scores = cloud.scores(asked, near.cosine)
    far = [int(at) for at in np.argsort(-scores, kind="stable") if scores[at] > cloud.far]
    rate = wilson(len(far), len(places))
    elsewhere = rate.low > EXPECTED
    share = f"{rate.value:.1%} ({rate.low:.1%} to {rate.high:.1%}, {len(far):,} of {len(places):,} rows)"
    if elsewhere:
        yield Issue(
            check="far_from_training",
            examples=tuple(corpus.rows[places[at]].id for at in far[:SHOWN]),
            severity=round(min(0.7, 0.4 + rate.value), 3),
            flagged=True,
            why=f"{share} of {part} lie farther from the training rows than {WITHIN:.1%} of these lie from the others",
            remedy=f"add rows of this kind to train, or take them out of {part} if the model will never meet them",
        )
    for at in far:
        name, other = corpus.rows[places[at]].id, corpus.rows[train[near.row[at]]].id
        flagged = elsewhere or bool(scores[at] > cloud.farthest)
        yield Issue(
            check="far_from_training",
            examples=(name, other),
            severity=0.4 if flagged else 0.1,
            flagged=flagged,
            why=f"{name} ({part}) lies farther from the training rows than {WITHIN:.1%} of these lie from the others; "
            f"the nearest, {other}, has a similarity of {near.cosine[at]:.2f}",
            remedy=f"add rows of its kind to train, or take it out of {part} if the model will never meet such rows",
        )


def _cluster(corpus: Corpus, places: Integers, vectors: Vectors, own: NDArray[np.bool_]) -> tuple[Json, ...]:
    """Two rows nearest to the cluster's middle, its commonest label, and its size."""
    middle = vectors[own].mean(axis=0)
    first = places[own][np.argsort(-(vectors[own] @ middle), kind="stable")]
    texts = list(dict.fromkeys(short(_text(corpus.rows[at]), 90) for at in first[:20]))
    labels = Counter(corpus.rows[at].label or "" for at in first)
    label = min(labels, key=lambda name: (-labels[name], name))
    return texts[0], texts[1] if len(texts) > 1 else "", label, len(first)


def _joined(both: Floats, usual: Floats, spread: Floats) -> Floats:
    score: Floats = ((both - usual[:, None]) / spread[:, None]).sum(axis=0)
    return score


def _length(steps: Vectors | Floats) -> Floats:
    """(m, v) -> (m,) squared."""
    squared: Floats = np.square(steps).sum(axis=1, dtype=np.float64)
    return squared


def _distinct(corpus: Corpus) -> list[int]:
    """Places of training rows, one a prompt, at most a sample."""
    train = corpus.of("train")
    _, first = np.unique(corpus.keys[train.start : train.stop], return_index=True)
    return corpus.sampled([train.start + int(at) for at in np.sort(first)])


def _families(rows: Sequence[Example]) -> Integers:
    """(n,) one number for all rows of a group, its own for a row without one."""
    order: dict[str, int] = {}
    names = (f"row {at}" if row.group is None else f"group {row.group}" for at, row in enumerate(rows))
    return np.fromiter((order.setdefault(name, len(order)) for name in names), np.int64, len(rows))


def _vectors(corpus: Corpus, places: Sequence[int]) -> Vectors:
    return embedded([_text(corpus.rows[at])[:_CLIPPED].lower() for at in places])[0]


def _text(row: Example) -> str:
    return " ".join(turn.content for turn in row.prompt if turn.role != "system")
