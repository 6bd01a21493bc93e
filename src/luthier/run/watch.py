"""What a run looks at while it trains: fixed samples of the validation rows, and of the training rows beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path

import numpy as np

from luthier.evaluate import Evaluation, evaluate, merge_references, sample, write_predictions
from luthier.evaluate.headed import headed
from luthier.evaluate.loss import losses as lost
from luthier.evaluate.question import ask
from luthier.evaluate.run import silent
from luthier.evaluate.tables import interval_json
from luthier.model.forward import evaluating
from luthier.model.leaf import leaf_head
from luthier.run.assess import judge
from luthier.run.prepare import Prepared
from luthier.run.show import Show
from luthier.stats import interval
from luthier.train.look import Look, Losses, losses
from luthier.types import Example, Json

RESAMPLES = 20
"""Of an evaluation during training, which reads the values and not their intervals."""


@dataclass(frozen=True, slots=True, eq=False)
class Watch:
    """The rows that are looked at; fewer of them are always a part of more."""

    prepared: Prepared

    @property
    def rows(self) -> int:
        """Most validation rows a look has."""
        return len(self.prepared.watched)

    def answers(self, rows: int) -> Look:
        """Asks the model so many validation rows, and measures both losses."""
        options = self.prepared.recipe.evaluate
        asked = sample(self.prepared.watched, rows, seed=options.seed)
        found = evaluate(
            self.prepared.model, asked, self.prepared.task, budget=options.token_budget, resamples=RESAMPLES
        )
        held_out = spent(found)
        metrics = {name: interval.value for name, interval in found.metrics.items()}
        return Look({"loss": held_out.mean, **metrics}, held_out, self.learned(rows))

    def losses(self, rows: int) -> Look:
        """Measures both losses and asks nothing."""
        options = self.prepared.recipe.evaluate
        held_out = self._losses(sample(self.prepared.watched, rows, seed=options.seed))
        metrics = {"loss": held_out.mean}
        if not self.prepared.task.headed:
            with np.errstate(over="ignore"):
                metrics["perplexity"] = float(np.exp(held_out.mean))
        return Look(metrics, held_out, self.learned(rows))

    def learned(self, rows: int) -> Losses:
        """The loss on so many of the rows that are trained on, in evaluation mode as the validation rows' is."""
        trained = {one.example for one in self.prepared.sequences}
        kept = [example for example in self.prepared.splits["train"] if example.id in trained]
        return self._losses(sample(kept, rows, seed=self.prepared.recipe.evaluate.seed))

    def _losses(self, examples: Sequence[Example]) -> Losses:
        model, budget = self.prepared.model, self.prepared.recipe.evaluate.token_budget
        questions = ask(examples, model.tokenizer, longest=model.max_length)
        head = leaf_head(model.network)
        with evaluating(model):
            if head is not None:
                _, found = headed(model, head, questions, budget=budget, margin=0.0, progress=silent)
            else:
                found = lost(model, questions, budget=budget, progress=silent)
        return losses([one.total for one in found], [one.tokens for one in found], [one.group for one in examples])


def spent(found: Evaluation) -> Losses:
    """What an evaluation's rows spent on the right answers."""
    nats = [row.scores["loss"] * row.tokens for row in found.rows]
    return losses(nats, [row.tokens for row in found.rows], [row.group for row in found.rows])


def validated(prepared: Prepared, folder: Path, show: Show) -> Evaluation | None:
    """All validation rows, asked of the checkpoint that was kept, a line each in `validation.jsonl`; None without any.

    The checkpoint was chosen by some of these rows, so their figures flatter it a little; a verdict is on other rows.
    """
    rows = merge_references(prepared.splits["validation"])
    if not rows:
        return None
    found = judge(prepared.model, rows, prepared.task, prepared.recipe.evaluate, "validation", show)
    write_predictions(folder / "validation.jsonl", found.rows, split="validation")
    return found


def validation_json(prepared: Prepared, found: Evaluation | None) -> Json:
    """`validation` of report.json: the metrics with intervals, and the training rows' loss beside theirs."""
    if found is None:
        return None
    held_out = spent(found)
    look = Look({}, held_out, Watch(prepared).learned(len(found.rows)))
    gap, learned = look.gap, look.train
    metrics = dict(found.metrics)
    if "loss" not in metrics:  # a head's, which is no metric beside a base's but is one of the run's own
        draw = np.random.default_rng(found.seed)
        metrics["loss"] = interval(replace(held_out.sample, scale=(0.0, inf)), resamples=found.resamples, rng=draw)
    return {
        "n": len(found.rows),
        "metrics": {name: interval_json(one) for name, one in metrics.items()},
        "train": None if learned is None else {"n": learned.rows, "loss": learned.mean},
        "gap": None if gap is None else dict(asdict(gap)),
    }
