"""Runs of words in a text, as numbers: what texts share is counted by them.

A run's number is a polynomial over its bytes, so that every run of every length comes out of two running sums over
many texts at once. Not here: what is done with the runs (`twins`, `contamination`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from luthier.data.split import normalised
from luthier.types import Message

Numbers: TypeAlias = NDArray[np.uint64]
Places: TypeAlias = NDArray[np.int64]

RUN = 3
"""Words in a run by which texts are compared."""

_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])"
)
"""Thai, Lao, Tibetan, Burmese, Khmer, Japanese and Chinese, which put no space between words."""
_BASE, _INVERSE = 0x9E3779B97F4A7C15, pow(0x9E3779B97F4A7C15, -1, 2**64)


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The runs of n texts, one text after the other."""

    numbers: Numbers
    """(r,) 64 bits of each run's hash, in the order of the words."""
    offsets: Places
    """(n + 1,): the runs of text i are numbers[offsets[i] : offsets[i + 1]]."""

    def of(self, text: int) -> Numbers:
        """The runs of one text."""
        return self.numbers[self.offsets[text] : self.offsets[text + 1]]

    def rows(self) -> Places:
        """(r,) the text of each run."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def kept(self, keep: NDArray[np.bool_]) -> Runs:
        """Those runs of which `keep` (r,) holds."""
        offsets = np.concatenate(([0], np.cumsum(keep)))[self.offsets]
        return Runs(self.numbers[keep], offsets.astype(np.int64))


def worded(messages: Iterable[Message]) -> str:
    """The words of all turns as duplicates are found by, one space between; a letter is a word where no spaces are."""
    said = (line.partition(" ")[2] for line in normalised(messages).split("\n"))
    text = " ".join(words for words in said if words)
    return text if text.isascii() else " ".join(_UNSPACED.sub(r" \1 ", text).split())


def runs(texts: Sequence[str], length: int = RUN, *, short: bool = True) -> Runs:
    """Every run of `length` words; of texts that have fewer their single words, if `short`, else nothing.

    Texts have one space between words and none around, as `worded` writes them. Two unlike runs have one number with a
    chance of 2**-64 each.
    """
    data = np.frombuffer(("".join(f"{text} " for text in texts)).encode(errors="surrogatepass"), np.uint8)
    space = data == ord(" ")
    start = np.flatnonzero(~space & np.concatenate(([True], space))[: len(data)])
    end = np.flatnonzero(space & ~np.concatenate(([True], space))[: len(data)])
    words = np.array([text.count(" ") + 1 if text else 0 for text in texts], np.int64)
    row = np.repeat(np.arange(len(texts)), words)
    reach = np.where(words[row] < length, 1, length) if short else np.full(len(row), length)
    last = np.arange(len(row)) + reach - 1
    whole = (last < len(row)) & (row[np.minimum(last, len(row) - 1)] == row) if len(row) else np.zeros(0, np.bool_)
    counts = np.bincount(row[whole], minlength=len(texts))
    numbers = _hashes(data, start[whole], end[last[whole]])
    return Runs(numbers, np.concatenate(([0], np.cumsum(counts))).astype(np.int64))


def mixed(numbers: Numbers) -> Numbers:
    """The same numbers with every bit depending on all. Source: Steele et al. 2014, SplitMix64."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return numbers ^ (numbers >> np.uint64(31))


def _hashes(data: NDArray[np.uint8], start: Places, end: Places) -> Numbers:
    """Of data[start : end] each: sum of byte times base to the power of its place in the run, modulo 2**64."""
    sums = np.zeros(len(data) + 1, np.uint64)
    np.cumsum((data + np.uint64(1)) * _powers(_BASE, len(data)), out=sums[1:])
    return mixed((sums[end] - sums[start]) * _powers(_INVERSE, len(data))[start])


def _powers(base: int, count: int) -> Numbers:
    """(count,) base to the power of 0, 1, ... modulo 2**64."""
    steps = np.full(count, base, np.uint64)
    steps[:1] = 1
    powers: Numbers = np.multiply.accumulate(steps)
    return powers
