"""Whether a model finds the chosen answer of a pair likelier than the rejected one: it is asked for no answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from luthier.evaluate.loss import Loss, losses
from luthier.evaluate.question import Progress, ask
from luthier.model.load import Model
from luthier.types import Completion, Example


@dataclass(frozen=True, slots=True)
class Preferred:
    """What a model thinks of one pair."""

    chosen: Loss
    rejected: Loss
    chosen_text: str
    rejected_text: str

    @property
    def scores(self) -> dict[str, float]:
        """1 where the chosen answer has the higher log-probability: whole, and a token of it. A tie is 0."""
        per_token = float(self.chosen.mean < self.rejected.mean)
        return {"preference": float(self.chosen.total < self.rejected.total), "preference_per_token": per_token}


def weigh(model: Model, examples: Sequence[Example], *, budget: int, progress: Progress) -> list[Preferred]:
    """The first right and the first wrong answer of each pair; what both share is computed once a batch."""
    right = [next(one for one in example.completions if one.score > 0) for example in examples]
    wrong = [next(one for one in example.completions if one.score <= 0) for example in examples]
    sides = [_only(example, one) for some in (right, wrong) for example, one in zip(examples, some, strict=True)]
    found = losses(model, ask(sides, model.tokenizer, longest=model.max_length), budget=budget, progress=progress)
    halves = zip(found[: len(examples)], found[len(examples) :], right, wrong, strict=True)
    return [Preferred(chosen, rejected, better.text, worse.text) for chosen, rejected, better, worse in halves]


def _only(example: Example, completion: Completion) -> Example:
    return replace(example, completions=(replace(completion, score=1.0),))
