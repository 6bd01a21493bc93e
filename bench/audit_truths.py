"""What is known of the real sets as they are, and what every audit must keep to, whatever the rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from audit_plants import Rows, drawn
from audit_score import flagged

from luthier.checks import checks
from luthier.checks.audit import audit
from luthier.checks.check import Corpus
from luthier.types import Example, Issue

ON_TEXTS = ("empty", "invisible", "markup", "mojibake", "refusal", "special_tokens", "language_mismatch", "boilerplate")


@dataclass(frozen=True, slots=True)
class Truth:
    """A figure that is known, and what was found."""

    what: str
    wanted: str
    found: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Untouched:
    """What one check says of a real set as it is."""

    check: str
    data: str
    issues: int
    """That are flagged."""
    named: int
    """Rows that they are about."""
    rows: int


def truths(sets: Mapping[str, Rows]) -> Iterator[Truth]:
    """Those of the sets that are there."""
    if "banking77" in sets:
        corpus = sets["banking77"].corpus
        copies = sum(len(issue.examples) - 1 for issue in flagged("duplicate", corpus) if _in_train(corpus, issue))
        leaked = {issue.examples[0] for issue in flagged("leak", corpus)}
        yield Truth("banking77: duplicates in the training rows", "12", str(copies), copies == 12)
        yield Truth("banking77: test rows that stand in training", "11", str(len(leaked)), len(leaked) == 11)
    if "e2e-cleaned" in sets:
        corpus = sets["e2e-cleaned"].corpus
        told = {name for check in ON_TEXTS for issue in flagged(check, corpus) for name in issue.examples}
        share = len(told) / len(corpus.rows)
        yield Truth("e2e-cleaned: rows with an issue of their texts", "1 % at most", f"{share:.2%}", share <= 0.01)
    for name, rows in sets.items():
        some = drawn(rows, 0)
        first = _told(some.train, some.test)
        yield _law(f"{name}: the same rows give the same bytes", first, _told(some.train, some.test))
        turned = (Random(1).sample(part, len(part)) for part in (some.train, some.test))
        yield _law(f"{name}: shuffled rows give the same issues", first, _told(*turned))


def as_they_are(sets: Mapping[str, Rows]) -> Iterator[Untouched]:
    """Every check on every whole set."""
    for name, rows in sets.items():
        for check in checks:
            issues = flagged(check, rows.corpus)
            named = {example for issue in issues for example in issue.examples}
            yield Untouched(check, name, len(issues), len(named), len(rows.corpus.rows))


def _told(train: Sequence[Example], test: Sequence[Example]) -> bytes:
    found = audit(Corpus({"train": train, "test": test}))
    return repr((found.issues, found.tables, found.skipped)).encode()


def _law(what: str, one: bytes, other: bytes) -> Truth:
    return Truth(what, "yes", "yes" if one == other else "no", one == other)


def _in_train(corpus: Corpus, issue: Issue) -> bool:
    return issue.examples[0] in {corpus.rows[at].id for at in corpus.of("train")}
