"""Which of rows that say the same are kept when the data is mended, and which can go.

The best is the row that the audit doubts least, then the one with the longer answer, with more columns filled in; then
of copies the first, and of rows nearly the same the one with the longer prompt, so that the order of rows decides
nothing but which spelling of one prompt stays. Votes are counted inside a split: a held-out row is never
judged by the rows it is there to judge.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

from luthier.checks.check import Corpus, Evidence, Spare
from luthier.checks.contradictions import single, wanted
from luthier.checks.duplicates import copies, near_links
from luthier.checks.prompts import excerpt, prompts, wording
from luthier.checks.runs import worded
from luthier.data.split import PARTS
from luthier.types import Example

Merit: TypeAlias = tuple[int, int, int]
"""The lower, the better: doubts, less the length of the answer, less the columns filled in."""

FEWEST: Final = 10
"""Rows of one prompt for each that may want something else without the others being in doubt; one always may."""
_BETTER: Final = ("is doubted less", "has the longer answer", "has more columns filled in")


def spare_copies(corpus: Corpus, evidence: Evidence) -> Iterator[Spare]:
    """All but the best of the rows of one split with the same prompt and the same answer."""
    for part in PARTS:
        for places in copies(corpus, part):
            best = min(places, key=lambda at: (_merit(corpus.rows[at], evidence), at))
            for at in places:
                if at != best:
                    yield _spare(corpus, at, best, "the same prompt and answer", evidence, "stands first")


def spare_near(corpus: Corpus, evidence: Evidence) -> Iterator[Spare]:
    """Rows of one split nearly the same as a better one that stays: each is held against that one itself."""
    for part in PARTS:
        links = near_links(corpus, part)
        near: defaultdict[int, list[int]] = defaultdict(list)
        for one, other in links:
            near[one].append(other)
            near[other].append(one)
        kept: set[int] = set()
        for at in sorted(near, key=lambda at: (_merit(corpus.rows[at], evidence), _length_and_text(corpus.rows[at]))):
            stand = [other for other in near[at] if other in kept]
            if not stand:
                kept.add(at)
                continue
            best = min(stand, key=lambda other: (-links[min(at, other), max(at, other)], other))
            alike = links[min(at, best), max(at, best)]
            shared = f"{alike:.0%} of the three-word runs of their prompts in common, and answers that agree"
            longer = (
                "is longer" if _length_and_text(corpus.rows[best])[0] < _length_and_text(corpus.rows[at])[0] else ""
            )
            yield _spare(corpus, at, best, shared, evidence, longer)


def outvoted(corpus: Corpus, evidence: Evidence) -> Iterator[Spare]:
    """Rows whose answer all others of their split with the same prompt contradict with one voice.

    At least two rows must agree, and of FEWEST rows only one (of fewer, one) want something else; a model that judged
    the row without having seen its prompt must find the others' label likelier, too.
    """
    for places in prompts(corpus).repeated():
        for part in PARTS:
            rows = [
                row
                for row in (corpus.rows[at] for at in places if at < len(corpus.rows) and corpus.parts[at] == part)
                if single(row) and wanted(row)
            ]
            yield from _outvoted(rows, evidence) if rows and worded(rows[0].prompt) else ()


def _outvoted(rows: Sequence[Example], evidence: Evidence) -> Iterator[Spare]:
    wants = Counter(wanted(row) for row in rows)
    (most, count), *_ = wants.most_common(1)
    others = [row for row in rows if wanted(row) != most]
    if not others or count < 2 or len(others) > max(1, len(rows) // FEWEST):
        return
    first = min((row for row in rows if wanted(row) == most), key=lambda row: _merit(row, evidence))
    for row in others:
        likelier = evidence.likelier.get(row.id)
        agrees = row.id in evidence.judged and likelier is not None and likelier == first.label
        if row.id in evidence.judged and not agrees:
            continue
        model = ", and a model of the other rows agrees" if agrees else ""
        why = (
            f"{row.id} wants {excerpt(row.answer, 40)} where {count} rows with the prompt {excerpt(row.question)} want "
            f"{excerpt(first.answer, 40)}{model}"
        )
        yield Spare(row.id, first.id, why)


def _merit(row: Example, evidence: Evidence) -> Merit:
    filled = sum(value not in (None, "") for value in row.meta.values())
    return evidence.doubts.get(row.id, 0), -len(wording(row)), -filled


def _length_and_text(row: Example) -> tuple[int, str]:
    asked = "\n".join(message.content for message in row.prompt)
    return -len(asked), asked


def _spare(corpus: Corpus, place: int, best: int, shared: str, evidence: Evidence, otherwise: str) -> Spare:
    row, kept = corpus.rows[place], corpus.rows[best]
    ranked = zip(_BETTER, _merit(kept, evidence), _merit(row, evidence), strict=True)
    better = next((why for why, one, other in ranked if one != other), otherwise)
    stays = f"{kept.id} stays" + (f", which {better}" if better else "")
    return Spare(row.id, kept.id, f"{row.id} and {kept.id} have {shared}; {stays}")
