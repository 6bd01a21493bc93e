"""What a search found, from its study: every trial, what mattered, the winner, and sentences that do not flatter."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast

import optuna
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from luthier.evaluate import lower_is_better
from luthier.evaluate.verdict import amount, change
from luthier.report import figures
from luthier.report.search import Confirmation, SearchFound, TrialLine, Weight
from luthier.search.confirm import Confirmed
from luthier.search.shared import Shared
from luthier.search.space import Scalar, Settings, outside
from luthier.search.study import Study
from luthier.search.trial import REASON
from luthier.train.forecast import forecast
from luthier.words import counted

FEWEST: Final = 4
"""Trials that went to their end, below which importance says nothing."""
STATES: Final[Mapping[TrialState, Literal["complete", "stopped early", "failed", "running"]]] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "stopped early",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
}


@dataclass(frozen=True, slots=True)
class Winner:
    """The trial that did best by the task's metric."""

    trial: FrozenTrial
    own: bool
    """Whether it has the recipe's own settings, or did no better than they did."""

    @property
    def settings(self) -> Settings:
        """What it changes of the recipe."""
        return self.trial.params

    @property
    def value(self) -> float:
        """The metric at its best evaluation."""
        return float(self.trial.values[0])


def winner_of(study: Study, own: Settings, *, higher_is_better: bool) -> Winner | None:
    """The best trial that went to its end; of equal ones the recipe's own, else the first. None where there is none."""
    whole = [one for one in study.trials() if one.state is TrialState.COMPLETE]
    if not whole:
        return None
    sign = 1 if higher_is_better else -1
    best = max(whole, key=lambda one: (sign * one.values[0], one.params == dict(own), -one.number))
    return Winner(best, best.params == dict(own))


def found(
    study: Study,
    shared: Shared,
    own: Settings,
    *,
    winner: Winner | None,
    confirmed: Confirmed | None,
    folder: Path,
) -> SearchFound:
    """All that is told of the search in a folder."""
    task, spent = shared.whole.task, study.spent()
    metric, higher = task.primary, not lower_is_better(task.primary)
    several = len(study.options.objectives) > 1
    best = tuple(one.number for one in study.study.best_trials) if several else ()
    importance, how = _importance(study)
    word = _word(winner, confirmed, several=several, higher=higher)
    keep = winner is None or winner.own or word in ("nothing better", "worse")
    made = shared.whole
    replay = made.replayed.replay if made.replayed is not None else None
    whole = forecast(made.sequences, made.recipe.train, replay, made.mixture).distinct
    return SearchFound(
        title=folder.name,
        word=word,
        sentences=(
            *_sentences(study, winner, confirmed, metric, shared, several=several),
            *filter(None, [outside(study.space, own)]),
        ),
        metric=metric,
        higher_is_better=higher,
        objectives=study.options.objectives,
        validation_rows=len(shared.whole.watched),
        space={one.key: one.told() for one in study.space},
        trials=tuple(_line(one, own) for one in study.trials()),
        winner=None if winner is None else winner.trial.number,
        best=best or (() if winner is None else (winner.trial.number,)),
        importance=importance,
        importance_by=how,
        confirmation=None if confirmed is None else _confirmation(confirmed),
        seconds=spent.seconds,
        distinct=spent.distinct,
        logical=spent.logical,
        full_trials=spent.distinct / max(1, whole),
        use="" if winner is None else use_line(folder, {} if keep else winner.settings),
        keep=keep,
    )


def use_line(folder: Path, settings: Settings) -> str:
    """The command that trains with some settings."""
    words = [f"{key}={_written(value)}" for key, value in settings.items()]
    return " ".join(["luthier train", *map(shlex.quote, (str(folder / "recipe.yaml"), *words))])


def _written(value: Scalar) -> str:
    return "null" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _word(
    winner: Winner | None, confirmed: Confirmed | None, *, several: bool, higher: bool
) -> Literal["better", "nothing better", "worse", "not confirmed", "a choice"]:
    if winner is not None and winner.own:
        return "a choice" if several else "nothing better"
    if confirmed is None:
        return "a choice" if several and winner is not None else "not confirmed"
    if not confirmed.difference.seen:
        return "nothing better"
    return "better" if (confirmed.difference.value > 0) == higher else "worse"


def _sentences(
    study: Study, winner: Winner | None, confirmed: Confirmed | None, metric: str, shared: Shared, *, several: bool
) -> list[str]:
    """What came of it, how sure that is, and what it is biased by."""
    trials, spent = len(study.trials()), study.spent()
    if winner is None:
        failed = [str(one.user_attrs[REASON]) for one in study.trials() if REASON in one.user_attrs]
        why = f" The last said: {failed[-1]}" if failed else ""
        return [f"Nothing was found: none of {counted(trials, 'trial')} went to its end.{why}"]
    cost = f"{counted(trials, 'trial')} computed {figures.count(spent.distinct)} tokens"
    if winner.own:
        told = [
            f"Nothing better than the recipe was found: of {counted(trials, 'trial')} none did better than its own "
            f"settings, with {metric} {amount(winner.value, metric)} on "
            f"{counted(len(shared.whole.watched), 'validation row')}.",
            "The test rows were not asked, since there is nothing to compare.",
        ]
    elif confirmed is None:
        told = [_unconfirmed(winner, metric, study, shared)]
    else:
        told = [_headline(confirmed, higher=not lower_is_better(metric)), _bias(winner, confirmed, trials)]
        told += _read_before(confirmed)
    if several:
        many = counted(len(study.study.best_trials), "trial")
        told.append(f"No other beats {many} in {' and '.join(study.options.objectives)} at once; they are marked.")
    return [*told, f"{cost} in {figures.duration(spent.seconds)}."]


def _headline(confirmed: Confirmed, *, higher: bool) -> str:
    one, metric = confirmed.difference, confirmed.metric
    seeds = len(confirmed.seeds)
    before, after = (sum(each) / seeds for each in (confirmed.recipe, confirmed.winner))
    facts = (
        f"{metric} {amount(after, metric)} against {amount(before, metric)} on {counted(confirmed.rows, 'test row')} "
        f"with {seeds} seeds (difference {change(one.value, metric)}, 95 % interval "
        f"{change(one.low, metric).removesuffix(' points')} to {change(one.high, metric)}, {figures.p_value(one.p)})"
    )
    if not one.seen:
        return f"Nothing surely better than the recipe was found: the winner reached {facts}."
    word = "better" if (one.value > 0) == higher else "worse"
    return f"The setting found is {word} than the recipe: {facts}."


def _bias(winner: Winner, confirmed: Confirmed, trials: int) -> str:
    metric = confirmed.metric
    value = sum(confirmed.winner) / len(confirmed.winner)
    return (
        f"On the validation rows it had {amount(winner.value, metric)}: the best of {counted(trials, 'trial')} and of "
        f"each trial's evaluations, so chance chose it, too. On rows it was not chosen by it reaches "
        f"{amount(value, metric)}."
    )


def _read_before(confirmed: Confirmed) -> list[str]:
    if not confirmed.read_before:
        return []
    times = "once" if confirmed.read_before == 1 else f"{confirmed.read_before} times"
    return [f"These test rows had been read {times} before; what was decided by them makes the figures kinder."]


def _unconfirmed(winner: Winner, metric: str, study: Study, shared: Shared) -> str:
    why = "the search was told not to (seeds=0)" if shared.whole.asked else "there are no test rows"
    if study.options.seeds and shared.whole.asked:
        why = "the confirmation has not ended"
    return (
        f"Trial {winner.trial.number} did best on the validation rows, with {metric} {amount(winner.value, metric)}; "
        f"that it is better than the recipe is not shown, because {why}. The best of "
        f"{counted(len(study.trials()), 'trial')} is chosen by chance, too."
    )


def _confirmation(one: Confirmed) -> Confirmation:
    apart = one.difference
    return Confirmation(
        rows=one.rows,
        seeds=one.seeds,
        recipe=one.recipe,
        winner=one.winner,
        value=apart.value,
        low=apart.low,
        high=apart.high,
        p=apart.p,
        seconds=one.seconds,
        distinct=one.distinct,
        read_before=one.read_before,
    )


def _line(one: FrozenTrial, own: Settings) -> TrialLine:
    cost = cast(Mapping[str, float], one.user_attrs.get("cost", {}))
    looks = tuple(sorted(one.intermediate_values.items()))
    last = looks[-1][1] if looks else None
    return TrialLine(
        number=one.number,
        state=STATES[one.state],
        settings=dict(one.params),
        value=float(one.values[0]) if one.values else last,
        looks=looks,
        seconds=cost.get("seconds", 0.0),
        distinct=round(cost.get("distinct", 0)),
        logical=round(cost.get("logical", 0)),
        size=cast(int | None, one.user_attrs.get("size")),
        reason=cast(str | None, one.user_attrs.get(REASON)),
        own=one.params == dict(own),
    )


def _importance(study: Study) -> tuple[tuple[Weight, ...], str]:
    """How much of the spread of trials each setting explains, and how that was measured."""
    whole = [one for one in study.trials() if one.state is TrialState.COMPLETE]
    values = [one.values[0] for one in whole]
    several = {one.key for one in study.space if len({trial.params.get(one.key) for trial in whole}) > 1}
    if len(whole) < FEWEST or len(set(values)) < 2 or not several:
        return (), f"Too few different trials went to their end to tell ({len(whole)}; it takes {FEWEST})."
    evaluator, name = _evaluator()
    shares = optuna.importance.get_param_importances(
        study.study, evaluator=evaluator, params=sorted(several), target=lambda trial: float(trial.values[0])
    )
    weights = [Weight(key, float(share)) for key, share in shares.items()]
    few = " With so few this is a hint." if len(whole) < 10 * len(several) else ""
    return _ranked(weights), f"Share of the spread of {len(whole)} whole trials by {name}.{few}"


def _evaluator() -> tuple[BaseImportanceEvaluator, str]:
    try:
        return FanovaImportanceEvaluator(seed=0), "fANOVA"
    except ImportError:
        return PedAnovaImportanceEvaluator(), "PED-ANOVA"


def _ranked(weights: Sequence[Weight]) -> tuple[Weight, ...]:
    return tuple(sorted(weights, key=lambda one: -one.share))
