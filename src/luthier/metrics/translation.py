"""Corpus BLEU, chrF and TER by sacreBLEU, on its scale of 0 to 100, with its signature.

A corpus score is not the mean of its rows' scores; it is computed from counts that add up over rows. sacreBLEU's own
significance tests resample those counts, and so do ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from math import inf

import numpy as np
from sacrebleu.metrics.base import Metric as SacreMetric
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from luthier.metrics.metric import Better, Floats, ratio


@dataclass(frozen=True, slots=True)
class Bleu:
    """Corpus BLEU (Papineni et al. 2002; Post 2018)."""

    tokenize: str = "13a"
    """sacreBLEU's tokeniser; `char` for scripts written without spaces."""
    top: float = 100.0
    bottom: float = 0.0
    by_row: bool = False
    better: Better = "higher"

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """(n, 10): length, closest reference length, matched and given n-grams of orders 1 to 4."""
        return _statistics(self._sacre(), predictions, references)

    def score(self, totals: Floats) -> Floats:
        """BLEU of each line of totals."""
        return _score(self._sacre(), totals)

    def signature(self, references: Sequence[Sequence[str]]) -> str:
        """sacreBLEU's signature: references, case, tokeniser, smoothing, version."""
        return _signature(self._sacre(), references)

    def _sacre(self) -> SacreMetric:
        return BLEU(tokenize=self.tokenize, force=True)


@dataclass(frozen=True, slots=True)
class ChrF:
    """Corpus chrF2 (Popović 2015): character n-grams up to 6, recall counting twice; needs no tokeniser."""

    top: float = 100.0
    bottom: float = 0.0
    by_row: bool = True
    better: Better = "higher"

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """(n, 18): given, reference and matched character n-grams of each order, against the best reference."""
        return _statistics(CHRF(), predictions, references)

    def score(self, totals: Floats) -> Floats:
        """chrF of each line of totals."""
        return _score(CHRF(), totals)

    def signature(self, references: Sequence[Sequence[str]]) -> str:
        """sacreBLEU's signature: references, case, orders, version."""
        return _signature(CHRF(), references)


@dataclass(frozen=True, slots=True)
class Ter:
    """Corpus TER (Snover et al. 2006): edits and shifts of words per 100 of a reference; 0 is best."""

    top: float = inf
    bottom: float = 0.0
    by_row: bool = True
    better: Better = "lower"

    def statistics(self, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
        """(n, 2): fewest edits over references, mean length of the references."""
        return _statistics(TER(), predictions, references)

    def score(self, totals: Floats) -> Floats:
        """Edits over length; references of no words at all take 100 where anything was said, as sacreBLEU has it."""
        edits, length = totals[:, 0], totals[:, 1]
        return np.where(length > 0, 100 * ratio(edits, length), np.where(edits > 0, 100.0, 0.0))

    def signature(self, references: Sequence[Sequence[str]]) -> str:
        """sacreBLEU's signature: references, case, tokeniser, version."""
        return _signature(TER(), references)


def _statistics(sacre: SacreMetric, predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Floats:
    """The counts sacreBLEU's own resampling uses; a row without n-grams counts as nothing matched."""
    streams = list(zip_longest(*references))
    rows = sacre._extract_corpus_statistics(predictions, streams) if predictions else []
    return np.array(rows, dtype=np.float64).reshape(len(predictions), -1)


def _score(sacre: SacreMetric, totals: Floats) -> Floats:
    return np.array([sacre._compute_score_from_stats(line.tolist()).score for line in totals])


def _signature(sacre: SacreMetric, references: Sequence[Sequence[str]]) -> str:
    counts = {len(right) for right in references}
    variable = -1
    vars(sacre)["num_refs"] = counts.pop() if len(counts) == 1 else variable
    return str(sacre.get_signature())
