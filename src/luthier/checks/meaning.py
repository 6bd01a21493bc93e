"""Prompts that say the same in other words, by static word embeddings (wordllama, which ships them; no download).

Such an embedding is the mean of a text's words: it knows nothing of their order. So two texts must be alike both as
they stand and with the corpus' mean taken away, which every row of one form shares, and name the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from luthier.checks.check import Corpus
from luthier.checks.prompts import prompts, same_numbers, wording
from luthier.checks.runs import Places, worded
from luthier.checks.twins import CLOSEST, jaccard
from luthier.data.split import PARTS
from luthier.types import Example

OWN = 0.03
"""How much lower the cosine may be once the mean is taken away."""
_BLOCK, _TEXTS = 512, 2_048


@dataclass(frozen=True, slots=True)
class Alike:
    """Two rows, by place, first < second."""

    first: int
    second: int
    cosine: float


_found: WeakKeyDictionary[Corpus, tuple[Alike, ...]] = WeakKeyDictionary()
"""What several checks ask of one corpus; it goes when the corpus goes."""


def alike_in_meaning(corpus: Corpus) -> tuple[Alike, ...]:
    """Pairs of distinct prompts with a cosine of `options.meaning` or more that are not nearly the same; made once.

    Of each split `corpus.sampled` prompts at most; of each row the CLOSEST earlier ones.
    """
    if corpus not in _found:
        _found[corpus] = tuple(_alike(corpus))
    return _found[corpus]


def mean_the_same(corpus: Corpus, some: Sequence[Alike]) -> list[Alike]:
    """Those whose answers agree: one label, or texts that mean the same."""
    labelled = [one for one in some if _labels(corpus, one)[0] is not None and _labels(corpus, one)[1] is not None]
    texts = [one for one in some if one not in set(labelled)]
    places = sorted({at for one in texts for at in (one.first, one.second)})
    where = {place: at for at, place in enumerate(places)}
    plain, own = embedded([wording(corpus.rows[at]) for at in places])
    same = {
        one
        for one in texts
        if plain[where[one.first]] @ plain[where[one.second]] >= corpus.options.meaning
        and own[where[one.first]] @ own[where[one.second]] >= corpus.options.meaning - OWN
    }
    same |= {one for one in labelled if _labels(corpus, one)[0] == _labels(corpus, one)[1]}
    return [one for one in some if one in same]


def embedded(texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(n, 256) and (n, 256) of length 1: each text's mean word, and the same less the mean of all texts."""
    import wordllama

    if not texts:
        return np.zeros((0, 1), np.float32), np.zeros((0, 1), np.float32)
    model = wordllama.WordLlama.load(cache_dir=Path(wordllama.__file__).parent, disable_download=True)
    blocks = [model.embed(list(texts[at : at + _TEXTS]), norm=True) for at in range(0, len(texts), _TEXTS)]
    plain = np.nan_to_num(np.concatenate(blocks)).astype(np.float32)
    return plain, _unit(plain - plain.mean(axis=0)) if len(plain) > 2 else plain


def closest(
    plain: NDArray[np.float32], own: NDArray[np.float32], least: float
) -> Iterator[tuple[Places, Places, NDArray[np.float32]]]:
    """first, second and cosine of pairs at `least` or more, block by block; of each second its CLOSEST firsts."""
    for start in range(0, len(plain), _BLOCK):
        block = slice(start, start + _BLOCK)
        cosines = plain[block] @ plain[: start + _BLOCK].T
        later = np.arange(cosines.shape[1]) >= np.arange(start, start + len(cosines))[:, None]
        cosines[later | (own[block] @ own[: start + _BLOCK].T < least - OWN)] = -1
        best = np.argsort(-cosines, axis=1, kind="stable")[:, :CLOSEST]
        kept = np.take_along_axis(cosines, best, axis=1)
        at, rank = np.nonzero(kept >= least)
        yield best[at, rank], at + start, kept[at, rank]


def _alike(corpus: Corpus) -> Iterator[Alike]:
    places = _drawn(corpus)
    texts = [worded(corpus.rows[at].prompt) for at in places]
    plain, own = embedded([_spoken(corpus.rows[at]) for at in places])
    for firsts, seconds, cosines in closest(plain, own, corpus.options.meaning):
        for one, other, cosine in zip(firsts.tolist(), seconds.tolist(), cosines.tolist(), strict=True):
            first, second = places[one], places[other]
            if jaccard(texts[one], texts[other]) >= corpus.options.near:
                continue
            if same_numbers(corpus.rows[first], corpus.rows[second]):
                yield Alike(first, second, float(cosine))
        corpus.progress("meanings", int(seconds[-1]) + 1 if len(seconds) else 0, len(places))


def _drawn(corpus: Corpus) -> list[int]:
    """Distinct prompts, a sample of each split, by place."""
    distinct = prompts(corpus).distinct
    ranges = [corpus.of(part) for part in PARTS]
    return [
        at
        for some in ranges
        for at in corpus.sampled(distinct[(distinct >= some.start) & (distinct < some.stop)].tolist())
    ]


def _spoken(row: Example) -> str:
    return " ".join(message.content for message in row.prompt)


def _labels(corpus: Corpus, pair: Alike) -> tuple[str | None, str | None]:
    return corpus.rows[pair.first].label, corpus.rows[pair.second].label


def _unit(some: NDArray[np.float32]) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = some / np.maximum(np.linalg.norm(some, axis=1, keepdims=True), 1e-9)
    return unit
