"""A prepared run's steps: the loop with its hooks, the same for a run, a trial of a search and its confirmation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from luthier.evaluate import lower_is_better
from luthier.methods import restore, save
from luthier.run.prepare import Prepared
from luthier.run.show import Show
from luthier.run.watch import Watch
from luthier.train.loader import plan
from luthier.train.log import EvaluationRecord, StepRecord
from luthier.train.loop import fit
from luthier.train.options import Hooks
from luthier.train.result import TrainResult
from luthier.train.verify import verify
from luthier.types import Json


def verified(prepared: Prepared, show: Show) -> dict[str, Json] | None:
    """Where the recipe wants it, the first step computed twice, told; the method is attached already.

    Raises GateError where the two differ.
    """
    recipe, replay = prepared.recipe, prepared.replayed
    if not recipe.train.verify:
        return None
    steps = plan(prepared.sequences, recipe.train, replay.replay if replay is not None else None, prepared.mixture)
    found = verify(prepared.model, recipe.objective, steps)
    show.say(found.sentence)
    return dict(asdict(found))


def fitted(prepared: Prepared, folder: Path, hooks: Hooks, *, resumed: bool) -> TrainResult:
    """Trains what was prepared, its method attached, in a folder. Raises what the loop raises."""
    recipe, network = prepared.recipe, prepared.model.network
    return fit(
        prepared.model,
        prepared.sequences,
        recipe.objective,
        recipe.train,
        folder=folder,
        hooks=hooks,
        replay=prepared.replayed.replay if prepared.replayed is not None else None,
        mixture=prepared.mixture,
        resume=resumed,
        default_lr=recipe.method.usual_lr(network),
        rates=recipe.method.rates(network),
    )


def hooks(
    prepared: Prepared,
    *,
    stepped: Callable[[StepRecord], None],
    evaluated: Callable[[EvaluationRecord], None],
    say: Callable[[str], None],
    saved: Callable[[], None] = lambda: None,
) -> Hooks:
    """What the loop calls: the method's own saving, the validation rows, and what its caller is told.

    saved: called after each save.
    """
    recipe, model, watch = prepared.recipe, prepared.model, Watch(prepared)

    def save_weights(folder: Path) -> None:
        save(model.network, recipe.method, folder)
        model.tokenizer.save_pretrained(str(folder))
        saved()

    return Hooks(
        save_weights=save_weights,
        restore_weights=lambda folder: restore(model.network, folder),
        evaluate=watch.answers if watch.rows else None,
        measure=watch.losses if watch.rows else None,
        metric=prepared.task.primary,
        higher_is_better=not lower_is_better(prepared.task.primary),
        rows=watch.rows,
        step=stepped,
        evaluated=evaluated,
        say=say,
    )
