"""One file's rows divided so that no row of one split stands, or nearly stands, in another."""

from __future__ import annotations

from dataclasses import replace

from luthier.checks.check import Corpus
from luthier.checks.duplicates import meaning_leak, near_leak
from luthier.checks.meaning import alike_in_meaning, mean_the_same
from luthier.checks.splits import FEWEST
from luthier.checks.twins import pairs
from luthier.data.split import SplitOptions, split

ROUNDS = 10
"""Times that the splits are drawn anew with what was found to leak between them."""
MOST = 0.25
"""Share of the rows that a split may grow to, to have rows enough to show anything."""


def generous(options: SplitOptions, rows: int) -> tuple[SplitOptions, str | None]:
    """Shares of FEWEST rows at least where nobody chose a share and MOST of the rows are enough; what was raised."""
    usual, enough = SplitOptions(), FEWEST / max(rows, 1)
    raised = {
        part: enough
        for part in ("validation", "test")
        if getattr(options, part) == getattr(usual, part) < enough <= MOST
    }
    if not raised:
        return options, None
    told = f"{usual.test:.0%} of {rows:,} rows show hardly any difference; {FEWEST} are kept for {' and '.join(raised)}"
    validation, test = raised.get("validation", options.validation), raised.get("test", options.test)
    return replace(options, validation=validation, test=test), told


def parted(corpus: Corpus, options: SplitOptions, *, meaning: bool) -> Corpus:
    """The corpus with its rows divided: by group, prompt and near duplicates, the labels in their proportions.

    meaning: rows that say the same in other words stay together, too. The same rows and seed give the same splits.
    """
    rows, count = corpus.rows, len(corpus.rows)
    place = {row.id: at for at, row in enumerate(rows)}
    linked = [(one, other) for one, other, _ in pairs(corpus) if one < count and other < count]
    if meaning:
        linked += [(pair.first, pair.second) for pair in mean_the_same(corpus, alike_in_meaning(corpus))]
    for _ in range(ROUNDS):
        divided = replace(corpus, splits=split(rows, options, linked=linked), against={})
        found = [*near_leak(divided), *(meaning_leak(divided) if meaning else ())]
        if not found:
            break
        linked += [(place[issue.examples[0]], place[twin]) for issue in found for twin in issue.examples[1:]]
    return replace(divided, against=corpus.against)
