"""What answering some questions takes at the least, beside how long it took and what the process held.

Forward alone: T_min = [ 2 N U + 4 h d_h L A + 2 d V S ] / P, the letters as in `limit.py`. U, A and S count the
prompts, every shared token once, and the answers that came of them but for the last token of each, which need not be
computed; so labels that were weighed and not chosen are no useful work, nor is padding, nor a prompt computed twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from ctypes import CDLL
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from limit import Counts, Shape, forward
from prepare import counts_of
from transformers import PreTrainedTokenizerBase
from work import peak_bytes

from luthier.batch import Ints, pack
from luthier.evaluate.question import Question
from luthier.model.decoder import scored_tail

RATE_ROWS = 2048
"""Rows at which the products' rate is measured: prompts are computed by so many tokens at a time."""
TOLD = ("D", "logical tokens/s", "distinct tokens/s", "T_min / T", "memory besides")

say = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class Timed:
    """Some rows answered by one side."""

    what: str
    rows: int
    seconds: float
    """Of the clock, for all of them."""
    answers: list[str]
    flops: float
    """That they need at the least."""
    logical: int
    """Tokens of prompts and answers."""
    distinct: int
    """Those of them that have to be computed."""
    memory: int
    """Bytes that the process held at its most, besides what it held before."""

    @property
    def each(self) -> float:
        """Seconds a row."""
        return self.seconds / self.rows

    def joined(self, later: Timed) -> Timed:
        """This side's rows of two turns; memory is told of the first, which no other side's came before."""
        return replace(
            self,
            rows=self.rows + later.rows,
            seconds=self.seconds + later.seconds,
            answers=self.answers + later.answers,
            flops=self.flops + later.flops,
            logical=self.logical + later.logical,
            distinct=self.distinct + later.distinct,
        )

    def told(self, rate: float) -> Iterator[str]:
        """What `TOLD` names; rate: FLOP/s of products alone."""
        share = self.flops / rate / self.seconds
        if share > 1:
            raise SystemExit(f"{self.what}: faster than its products can be; something is counted wrong")
        yield f"{self.logical / self.distinct:.2f}"
        yield f"{self.logical / self.seconds:,.0f}"
        yield f"{self.distinct / self.seconds:,.0f}"
        yield f"{share:.1%}"
        yield f"{self.memory / 1e9:.2f} GB"


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """Times whoever answers."""

    shape: Shape
    tokenizer: PreTrainedTokenizerBase

    def timed(self, what: str, questions: Sequence[Question], answer: Callable[[], list[str]]) -> Timed:
        """One side's answers to all questions, at once."""
        before, began = _peak_from_now(), time.perf_counter()
        answers = answer()
        seconds, held = time.perf_counter() - began, peak_bytes() - before
        tokens = [self.tokenizer(text, add_special_tokens=False).input_ids for text in answers]
        counts = needed([one.prompt for one in questions], tokens)
        say(f"{what}: {len(questions)} rows in {seconds:.1f} s, {seconds / len(questions) * 1000:.0f} ms each")
        work = sum(forward(self.shape, counts))
        return Timed(what, len(questions), seconds, answers, work, counts.logical, counts.distinct, held)


def needed(prompts: Sequence[Ints], answers: Sequence[Sequence[int]]) -> Counts:
    """Tokens and keys that have to be computed, and rows that meet the vocabulary."""
    rows = [
        scored_tail([*prompt.tolist(), *answer], len(answer)) for prompt, answer in zip(prompts, answers, strict=True)
    ]
    batch = pack(rows, worthwhile=1)
    last, whole = batch.leaf.unique(), counts_of(batch)
    return replace(
        whole,
        distinct=whole.distinct - len(last),
        logical=whole.logical - len(rows),
        seen=whole.seen - int((batch.depth[last] + 1).sum()),
    )


def _peak_from_now() -> int:
    """Lets the peak begin anew, and says what the process holds now, in bytes. Linux, glibc."""
    CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return peak_bytes()
