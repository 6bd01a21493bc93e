"""What a run made its model forget, as its page shows it: a picture a measure, nothing drawn, no HTML."""

from __future__ import annotations

from dataclasses import dataclass

from luthier.report.records import Comparison, Forgetting, Interval, Kept, KindOfQuestion
from luthier.report.whiskers import IntervalPlot, interval_plot
from luthier.words import spelled


@dataclass(frozen=True, slots=True)
class Kind:
    """A measure with its picture and its words."""

    measure: Kept
    title: str
    unit: str
    """What its numbers are; `lower is better` where they are."""
    plot: IntervalPlot | None
    tone: str
    """worse, better, or unclear."""


@dataclass(frozen=True, slots=True)
class ForgettingView:
    """What the template reads."""

    forgetting: Forgetting
    headline: str
    compared: tuple[Kind, ...]
    """What was measured before and after."""
    distances: tuple[Kept, ...]
    """How far the model went from its base, nats a token."""
    kinds: tuple[KindOfQuestion, ...]
    """General questions by kind, those that lost most first."""


def forgetting_view(found: Forgetting | None) -> ForgettingView | None:
    """The page's part about forgetting; None where a run did not measure it."""
    if found is None:
        return None
    headline = "It forgot" if found.word == "forgot" else "No loss seen"
    return ForgettingView(
        forgetting=found,
        headline=f"{headline}, and more than the recipe allows" if found.over else headline,
        compared=tuple(_kind(one) for one in found.measures if one.difference is not None),
        distances=tuple(one for one in found.measures if one.difference is None),
        kinds=tuple(sorted(found.kinds, key=lambda kind: (kind.tuned - kind.base) / max(1, kind.n))),
    )


def _kind(measure: Kept) -> Kind:
    compared = Comparison(measure.base, measure.tuned, measure.difference or Interval())
    lower = measure.kind == "text" or measure.metric in ("loss", "perplexity")
    unit = f"{spelled(measure.metric)}{', lower is better' if lower else ''}"
    tone = {"lost": "worse", "gained": "better"}.get(measure.word or "", "unclear")
    return Kind(measure, measure.name[:1].upper() + measure.name[1:], unit, interval_plot(compared), tone)
