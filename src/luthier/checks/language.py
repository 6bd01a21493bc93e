"""The languages of the rows, by py3langid on a fixed sample.

Short texts, lists of keys and code have no language that can be told: they are counted as unsure and never judged.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from typing import Final, Protocol

import numpy as np

from luthier.checks.check import Corpus, Table, number
from luthier.data.split import PARTS
from luthier.stats import wilson
from luthier.types import Issue

SAMPLE: Final = 5_000
"""Rows whose language is told: 0.1 ms a text."""
SURE: Final = 0.9
"""Probability from which a language is taken as known."""
AGREEING: Final = 0.8
"""Share of rows in which prompt and answer must agree for the others to be judged; translations do not."""
FEWEST: Final = 20
"""Rows from which that share says something."""
UNSURE: Final = "unsure"
_LETTERS: Final = 25
"""Letters from which a text is judged, or a third of that where each is a word or a syllable."""
_READ: Final = 600
"""Characters that are read of a text."""
_WIDE: Final = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
_SAMPLED: Final = "in a fixed sample of {:,} of {:,} rows"


class _Identifier(Protocol):
    def classify(self, text: str) -> tuple[str, float]: ...


def languages(corpus: Corpus) -> Iterator[Table]:
    """The mix of languages of prompts, and of answers that are no labels, by split."""
    if not installed():
        return
    places = drawn(corpus)
    present = [part for part in PARTS if len(corpus.of(part))]
    for what in ("prompts", "answers"):
        counts = {part: Counter[str]() for part in present}
        for at in corpus.each(places, "languages"):
            row = corpus.rows[at]
            if what == "prompts" or row.label is None:
                counts[corpus.parts[at]][language(row.question if what == "prompts" else row.answer)] += 1
        total = sum(counts.values(), Counter[str]())
        if total:
            yield Table(
                title=f"Languages of {what}",
                columns=("language", *present, "rows"),
                rows=tuple(
                    (name, *(counts[part][name] for part in present), count)
                    for name, count in sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))
                ),
                note=f"Told by py3langid {_SAMPLED.format(len(places), len(corpus.rows))}; {UNSURE!r} are short texts "
                "and those it is not sure of.",
                chart="bars",
            )


def language_mismatch(corpus: Corpus) -> Iterator[Issue]:
    """Rows whose prompt and answer are surely in different languages, while nearly all others agree.

    One Issue a row of the sample. Where many rows differ (translations), none is told.
    """
    places = [at for at in drawn(corpus) if corpus.rows[at].label is None]
    pairs = {
        at: (language(corpus.rows[at].question), language(corpus.rows[at].answer))
        for at in corpus.each(places, "languages")
    }
    judged = {at: pair for at, pair in pairs.items() if UNSURE not in pair}
    differing = [at for at, (asked, answered) in judged.items() if asked != answered]
    if len(judged) < FEWEST or len(differing) > (1 - AGREEING) * len(judged):
        return
    agree = wilson(len(judged) - len(differing), len(judged))
    for at in differing:
        asked, answered = judged[at]
        row = corpus.rows[at].id
        yield Issue(
            check="language_mismatch",
            examples=(row,),
            severity=0.5,
            flagged=True,
            why=f"the prompt of {row} is in {asked!r} and its answer in {answered!r}, while both agree in "
            f"{agree.value:.1%} ({agree.low:.1%} to {agree.high:.1%}) of the {len(judged):,} rows that can be judged "
            f"{_SAMPLED.format(len(places), len(corpus.rows))}",
            remedy="write the answer in the prompt's language, or say in the prompt which language is wanted",
        )


def installed() -> bool:
    """Whether py3langid is there."""
    return find_spec("py3langid") is not None


def drawn(corpus: Corpus, count: int = SAMPLE) -> Sequence[int]:
    """Places of at most `count` rows: those whose prompts hash lowest with the seed, whatever order they came in."""
    if len(corpus.rows) <= count:
        return range(len(corpus.rows))
    mixed = corpus.keys ^ np.uint64(number(str(corpus.options.seed)))
    return sorted(int(at) for at in np.argsort(mixed, kind="stable")[:count])


@lru_cache(maxsize=4 * SAMPLE)
def _told(text: str) -> str:
    name, sure = _identifier().classify(text)
    return name if sure >= SURE else UNSURE


def language(text: str) -> str:
    """The ISO 639-1 code of a text's language, or UNSURE."""
    read = text[:_READ]
    letters = sum(map(str.isalpha, read)) + 2 * len(_WIDE.findall(read))
    prose = letters >= _LETTERS and letters >= 0.6 * len(read)
    return _told(read) if prose else UNSURE


@cache
def _identifier() -> _Identifier:
    """py3langid with probabilities; its model is an array file that ships in the wheel."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    made: _Identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    return made
