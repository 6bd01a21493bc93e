"""How long prompts and answers are: in words always, in tokens where there is a tokenizer."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from luthier.checks.check import Corpus, Table
from luthier.checks.language import UNSURE, drawn, installed, language
from luthier.stats import Sample, interval
from luthier.types import Example

BINS: Final = 20
"""Columns of a histogram at most, the last for what is longer than nearly all."""
_LONGEST: Final = 0.99
"""Share of the rows that the columns before the last hold."""
_WIDE: Final = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")
"""Letters of scripts that write no spaces; each counts as a word."""
_AT_ONCE: Final = 512

Lengths = NDArray[np.int64]


def length_tables(corpus: Corpus) -> Iterator[Table]:
    """Histograms of the lengths of prompts, and of answers that are no labels."""
    prompts = (sum(words(turn.content) for turn in row.prompt) for row in corpus.each(corpus.rows, "lengths"))
    answers = (words(row.answer) for row in corpus.each(corpus.rows, "lengths") if row.label is None)
    for what, counts in (("prompts", prompts), ("answers", answers)):
        counted = np.fromiter(counts, np.int64)
        if len(counted):
            yield histogram(counted, f"Words in {what}", "words")
    if corpus.tokenizer is not None:
        places = corpus.sampled(range(len(corpus.rows)))
        some = f"in a fixed sample of {len(places):,} of {len(corpus.rows):,} rows"
        for what, texts in _texts([corpus.rows[at] for at in places]).items():
            note = some if len(places) < len(corpus.rows) else ""
            yield histogram(_tokens(texts, corpus.tokenizer), f"Tokens in {what}", "tokens", note)


def tokens_per_word(corpus: Corpus) -> Iterator[Table]:
    """How many tokens a word takes, by language: one that the tokenizer hardly knows costs several times more."""
    if corpus.tokenizer is None:
        return
    rows = [corpus.rows[at] for at in drawn(corpus)]
    lines: list[tuple[str, str, int, float, str]] = []
    for what, texts in _texts(rows).items():
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for text in texts:
            groups[language(text) if installed() else UNSURE].append(text)
        for name, some in sorted(groups.items(), key=lambda pair: (-len(pair[1]), pair[0])):
            counts = np.stack((_tokens(some, corpus.tokenizer), [words(text) for text in some]), axis=1)
            counts = counts[counts[:, 1] > 0]
            if len(counts):
                lines.append((what, name, len(counts), *_ratio(counts, corpus.options.seed)))
    if lines:
        yield Table(
            title="Tokens a word",
            columns=("texts", "language", "rows", "tokens a word", "interval"),
            rows=tuple(lines),
            note=f"Without the template's markup, in a fixed sample of {len(rows):,} of {len(corpus.rows):,} rows; "
            "intervals at 95 % by resampling rows. Where a script writes no spaces each letter counts as a word.",
        )


def words(text: str) -> int:
    """Words between spaces; of scripts without spaces, letters."""
    return len(text.split()) if text.isascii() else len(_WIDE.sub(" x ", text).split())


def histogram(counted: Lengths, title: str, unit: str, note: str = "") -> Table:
    """Rows by length (n,), in columns of one width, the last open."""
    wide = _width(int(np.quantile(counted, _LONGEST)) + 1)
    column = np.minimum(counted // wide, BINS - 1)
    counts = np.bincount(column)
    longest = int(counted.max())
    names = [str(at) if wide == 1 else f"{at * wide:,} to {(at + 1) * wide - 1:,}" for at in range(len(counts))]
    if len(counts) == BINS and longest >= BINS * wide:
        names[-1] = f"{(BINS - 1) * wide:,} or more"
    low, middle, high = (float(found) for found in np.quantile(counted, (0.05, 0.5, 0.95)))
    said = f"Median {middle:,.0f}, 5 % below {low:,.0f}, 5 % above {high:,.0f}, longest {longest:,}"
    rows = tuple((name, int(count)) for name, count in zip(names, counts, strict=True))
    return Table(title, (unit, "rows"), rows, f"{said}{', ' if note else ''}{note}.", "columns")


def _texts(rows: Sequence[Example]) -> dict[str, list[str]]:
    """Prompts, whole, and the first answers that are no labels."""
    prompts = ["\n".join(turn.content for turn in row.prompt) for row in rows]
    answers = [row.answer for row in rows if row.label is None]
    return {what: texts for what, texts in (("prompts", prompts), ("answers", answers)) if texts}


def _tokens(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> Lengths:
    """(n,) tokens of each text by itself."""
    sizes: list[int] = []
    for start in range(0, len(texts), _AT_ONCE):
        some = list(texts[start : start + _AT_ONCE])
        sizes += [len(ids) for ids in tokenizer(some, add_special_tokens=False, verbose=False)["input_ids"]]
    return np.array(sizes, np.int64)


def _ratio(counts: Lengths, seed: int) -> tuple[float, str]:
    """Tokens over words of all rows (n, 2), and its interval as people write it."""
    sample = Sample(counts.astype(np.float64), lambda totals: totals[:, 0] / np.maximum(totals[:, 1], 1))
    found = interval(sample, resamples=500, rng=np.random.default_rng(seed))
    return round(found.value, 3), f"{found.low:.2f} to {found.high:.2f}"


def _width(longest: int) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... of which BINS reach `longest`."""
    scale = 1
    while True:
        for step in (1, 2, 5):
            if step * scale * (BINS - 1) >= longest:
                return step * scale
        scale *= 10
