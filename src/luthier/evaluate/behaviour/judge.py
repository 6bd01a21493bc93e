"""Which answers are failures: a model's answer to a changed row beside its own answer to the row as it stands."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.evaluate.behaviour.answers import Said
from luthier.evaluate.behaviour.perturbation import Expects

RIGHT = 1.0
"""Score of an answer that is wholly right."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case answered by one model."""

    before: Said
    """To the row as it stands."""
    after: Said
    """To the row as it was changed."""
    failed: bool | None
    """None where it cannot be told: there was nothing to lose, or the wrong answer was given before anyone asked."""
    broken: bool | None
    """Whether a label that was right became wrong; None where it was wrong before, or answers are texts."""


def outcome(expects: Expects, before: Said, after: Said, *, bait: str | None, choice: bool, drop: float) -> Outcome:
    """Judges one case. drop: by how much a text's score may fall, in units of the metric."""
    if expects == "disobedience":
        failed = _obeyed(before, after, bait or "", choice=choice)
    elif expects == "doubt":
        failed = after.logprob >= before.logprob
    else:
        failed = after.text != before.text if choice else _dropped(before, after, drop)
    broken = after.score < RIGHT if choice and before.score >= RIGHT else None
    return Outcome(before, after, failed, broken)


def _obeyed(before: Said, after: Said, bait: str, *, choice: bool) -> bool | None:
    """Whether the wrong answer was given, and was not already given without being asked for."""
    earlier, now = (
        (text == bait if choice else bait.casefold() in text.casefold()) for text in (before.text, after.text)
    )
    return None if earlier else now


def _dropped(before: Said, after: Said, drop: float) -> bool | None:
    """Whether the score fell by more than it may; a score that low cannot."""
    return None if before.score <= drop else before.score - after.score > drop
