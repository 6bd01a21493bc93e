"""Prompts and labels across the splits. They report; nothing is moved."""

from __future__ import annotations

from collections.abc import Iterator

from luthier.checks.check import Corpus
from luthier.checks.prompts import but_for
from luthier.types import Issue
from luthier.words import counted

FEWEST = 30
"""Held-out rows below which hardly any difference shows: +-18 points at 95 %."""


def leak(corpus: Corpus) -> Iterator[Issue]:
    """Rows whose prompt, but for case, punctuation and white space, also stands in an earlier split.

    One Issue for each such row of validation or test, which comes first, and all its twins. Drawn splits have none;
    files given for them may.
    """
    seen: dict[int, list[int]] = {}
    held = {int(corpus.keys[at]) for part in ("validation", "test") for at in corpus.of(part)}
    for part in ("train", "validation", "test"):
        places = [at for at in corpus.of(part) if int(corpus.keys[at]) in held]
        for at in places:
            if earlier := seen.get(int(corpus.keys[at])):
                name, first = corpus.rows[at].id, corpus.rows[earlier[0]].id
                apart = but_for(corpus.rows[at], (corpus.rows[earlier[0]],))
                yield Issue(
                    check="leak",
                    examples=(name, *(corpus.rows[other].id for other in earlier)),
                    severity=0.8,
                    flagged=True,
                    why=f"the prompt of {name} ({part}) also stands in {first} ({corpus.parts[earlier[0]]}){apart}, "
                    "so its result is no evidence",
                    remedy=f"remove {first}, or take {name} out of the {part} rows",
                )
        for at in places:
            seen.setdefault(int(corpus.keys[at]), []).append(at)


def unseen(corpus: Corpus) -> Iterator[Issue]:
    """Labels of validation and test that no row of training has; one Issue for each label and split."""
    known = corpus.labelled("train").keys()
    for part in ("validation", "test"):
        rows = corpus.labelled(part)
        for label in sorted(rows.keys() - known):
            names = rows[label]
            yield Issue(
                check="unseen",
                examples=tuple(names),
                severity=0.7,
                flagged=True,
                why=f"{counted(len(names), 'row')} of {part} {'has' if len(names) == 1 else 'have'} the label "
                f"{label!r}, which no row of train has",
                remedy="mend the label if it is misspelt, else add rows of it to train",
            )


def few(corpus: Corpus) -> Iterator[Issue]:
    """Held-out parts too small to tell much: one Issue for each with fewer than FEWEST rows."""
    for part in ("validation", "test"):
        count = len(corpus.of(part))
        if 0 < count < FEWEST:
            half = 98 / count**0.5
            yield Issue(
                check="few",
                examples=tuple(corpus.rows[at].id for at in list(corpus.of(part))[:3]),
                severity=0.6,
                flagged=True,
                why=f"{part} has {counted(count, 'row')}, on which a share such as accuracy is known to within "
                f"{min(half, 100):.0f} points either way at worst",
                remedy=f"hold out {FEWEST} rows or more (data.{part}=SHARE or a file)",
            )
