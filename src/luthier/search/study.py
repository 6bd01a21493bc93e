"""Optuna's side of a search: where trials are kept, how they are drawn, stopped early and counted.

Every process asks for its next trial under a lock of the search's folder, draws it from (seed, number of the trial),
and claims the trial's own folder. A trial that is marked as running and whose folder nobody holds was cut off: it is
taken up again, under the same number and with the same settings, from its own checkpoint.
"""

from __future__ import annotations

import platform
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, cast

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import BasePruner, HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.storages.journal import JournalStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from luthier.errors import RecipeError, RunError
from luthier.search.journal import backend, held
from luthier.search.options import SearchOptions
from luthier.search.space import Among, Dimension, Scalar, Settings
from luthier.types import Json

NAME: Final = "search"
"""Of the study in its storage."""
REDUCTION: Final = 3
"""Of how many trials one goes on at a rung."""
STARTUP: Final = 6
"""Trials drawn at random before what was found decides."""
LADDER: Final = (1.0, 1 / 3, 3.0)
"""The first learning rates tried, in multiples of the recipe's own, all else as the recipe has it."""
DONE: Final = (TrialState.COMPLETE, TrialState.PRUNED)

optuna.logging.set_verbosity(optuna.logging.ERROR)


@dataclass(frozen=True, slots=True, eq=False)
class Claimed:
    """A trial that this process has to itself, and what it tries."""

    trial: Trial
    settings: Settings
    folder: Path
    resumed: bool
    """Whether it was cut off before."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What the trials of a search have cost, all processes together."""

    trials: int
    seconds: float
    """In steps and evaluations."""
    distinct: int
    """Tokens computed in steps."""
    logical: int
    """Tokens learned from, before sharing."""


class Study:
    """A search's trials in their storage."""

    def __init__(
        self,
        folder: Path,
        options: SearchOptions,
        space: Sequence[Dimension],
        *,
        maximize: bool,
        identity: Mapping[str, Json],
        most_looks: int,
    ) -> None:
        """Opens the search of this folder or storage, or begins it.

        maximize: whether more of the task's metric is better. identity: what must be alike for trials to be compared.
        Raises RunError where another search is kept there, RecipeError for a storage that does not open.
        """
        self.folder, self.options, self.space = folder, options, tuple(space)
        quality = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
        directions = [quality if one == "quality" else StudyDirection.MINIMIZE for one in options.objectives]
        with held(folder / "ask.lock"):
            self.study = optuna.create_study(
                storage=_storage(folder, options.storage),
                study_name=NAME if options.storage is None else folder.name,
                directions=directions,
                pruner=_pruner(options, most_looks),
                load_if_exists=True,
            )
            known = self.study.user_attrs.get("identity")
            if known is None:
                self.study.set_user_attr("identity", dict(identity))
            elif known != dict(identity):
                raise RunError(f"{folder}: holds another search ({_differs(known, identity)}); name another with --out")

    def enqueue(self, own: Settings) -> None:
        """Once a search: the recipe as it stands comes first, then its learning rate on a ladder, all else alike.

        own: the recipe's settings; those outside the space are drawn (`space.outside` says which).
        """
        with held(self.folder / "ask.lock"):
            if self.study.user_attrs.get("enqueued"):
                return
            rate = own.get("train.lr")
            rungs = LADDER if isinstance(rate, float) else LADDER[:1]
            for factor in rungs:
                tried = {**own, "train.lr": rate * factor} if isinstance(rate, float) else dict(own)
                fixed = {one.key: tried[one.key] for one in self.space if one.holds(tried[one.key])}
                if factor == 1.0 or "train.lr" in fixed:
                    self.study.enqueue_trial(fixed, skip_if_exists=True)
            self.study.set_user_attr("enqueued", True)

    @contextmanager
    def next(self) -> Iterator[Claimed | None]:
        """The next trial, held while the context is open: one that was cut off, else a new one; None at the end.

        One process at a time looks, so that none takes a trial for cut off that another is about to hold.
        """
        with ExitStack() as stack:
            with held(self.folder / "ask.lock"):
                mine = self._taken_up(stack) or self._new(stack)
            yield mine

    def _taken_up(self, stack: ExitStack) -> Claimed | None:
        """A trial that was cut off, if this process can have it."""
        return next((mine for old in self._cut_off() if (mine := self._claim(old, stack, resumed=True))), None)

    def _new(self, stack: ExitStack) -> Claimed | None:
        """A new trial, unless the budget is spent."""
        trial = self._asked()
        return None if trial is None else self._claim(trial, stack, resumed=False)

    def _claim(self, trial: Trial | FrozenTrial, stack: ExitStack, *, resumed: bool) -> Claimed | None:
        """A running trial with its folder's lock, held by the stack; None where another process has it."""
        place = self.place(trial)
        with ExitStack() as own:
            mine = own.enter_context(held(place / ".lock", wait=False))
            if not mine or self._state(trial) is not TrialState.RUNNING:
                return None
            stack.push(own.pop_all())
        known = trial if isinstance(trial, Trial) else Trial(self.study, trial._trial_id)
        return Claimed(known, self._settings(known), place, resumed)

    def spent(self) -> Spent:
        """What all trials have cost so far."""
        kept = [cast(dict[str, float], one.user_attrs.get("cost", {})) for one in self.trials()]
        return Spent(
            trials=sum(one.state in DONE for one in self.trials()),
            seconds=sum(one.get("seconds", 0.0) for one in kept),
            distinct=round(sum(one.get("distinct", 0) for one in kept)),
            logical=round(sum(one.get("logical", 0) for one in kept)),
        )

    def trials(self) -> list[FrozenTrial]:
        """Every trial that has begun, oldest first."""
        return [one for one in self.study.get_trials(deepcopy=False) if one.state is not TrialState.WAITING]

    def ended(self) -> list[Path]:
        """Folders of the trials that are told."""
        return [self.place(one) for one in self.trials() if one.state is not TrialState.RUNNING]

    def place(self, trial: Trial | FrozenTrial) -> Path:
        """A trial's own folder."""
        return self.folder / "trials" / f"{trial.number:04d}"

    def elsewhere(self) -> list[FrozenTrial]:
        """Trials that another process or machine is at."""
        return [one for one in self.trials() if one.state is TrialState.RUNNING]

    def exhausted(self) -> bool:
        """Whether the budget allows no further trial to begin."""
        most, spent = self.options.most_trials, self.spent()
        return (
            (most is not None and len(self.trials()) >= most)
            or (self.options.minutes is not None and spent.seconds >= 60 * self.options.minutes)
            or (self.options.tokens is not None and spent.distinct >= self.options.tokens)
        )

    def twin(self, claimed: Claimed) -> FrozenTrial | None:
        """An earlier trial of the same settings that went to its end: it would end alike."""
        return next(
            (
                one
                for one in self.trials()
                if one.state is TrialState.COMPLETE
                and one.number < claimed.trial.number
                and one.params == dict(claimed.settings)
            ),
            None,
        )

    def _asked(self) -> Trial | None:
        if self.exhausted():
            return None
        trial = self.study.ask()
        trial.set_user_attr("host", platform.node())
        self._settings(trial)
        return trial

    def _settings(self, trial: Trial) -> dict[str, Scalar]:
        """What the trial has, or draws from the seed and its number alone."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            self.study.sampler = TPESampler(seed=1000 * self.options.seed + trial.number, n_startup_trials=STARTUP)
        return {one.key: suggested(trial, one) for one in self.space}

    def _state(self, trial: Trial | FrozenTrial) -> TrialState:
        return self.study.get_trials(deepcopy=False)[trial.number].state

    def _cut_off(self) -> list[FrozenTrial]:
        """Running trials of this machine; whether somebody is at them, their lock tells.

        In a journal one that does not yet say whose it is belongs to whoever holds its lock; in a database it may be
        another machine's.
        """
        own = {platform.node()} | ({None} if self.options.storage is None else set())
        return [one for one in self.elsewhere() if one.user_attrs.get("host") in own]


def suggested(trial: Trial, dimension: Dimension) -> Scalar:
    """A value of one setting: drawn, or what the trial already has."""
    if isinstance(dimension, Among):
        chosen: Scalar = trial.suggest_categorical(dimension.key, dimension.values)
        return chosen
    low, high = dimension.low, dimension.high
    if dimension.whole:
        return trial.suggest_int(dimension.key, int(low), int(high), log=dimension.log)
    return trial.suggest_float(dimension.key, low, high, log=dimension.log)


def _storage(folder: Path, url: str | None) -> BaseStorage:
    if url is None:
        return JournalStorage(backend(folder / "journal.jsonl"))
    try:
        return RDBStorage(url)
    except Exception as error:  # whatever a database driver raises, of which there are many
        raise RecipeError(f"search.storage: {url.split('@')[-1]}: does not open ({error}); {_remedy(url)}") from error


def _remedy(url: str) -> str:
    if url.startswith("postgresql"):
        return "is the server there, and its driver (pip install psycopg2-binary)?"
    return "write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/DATABASE"


def _pruner(options: SearchOptions, most_looks: int) -> BasePruner:
    if options.pruner == "none" or len(options.objectives) > 1:
        return NopPruner()
    if options.pruner == "asha":
        return SuccessiveHalvingPruner(min_resource=1, reduction_factor=REDUCTION)
    return HyperbandPruner(min_resource=1, max_resource=max(1, most_looks), reduction_factor=REDUCTION)


def _differs(known: Mapping[str, Json], now: Mapping[str, Json]) -> str:
    """What is not alike, by name."""
    names = [name for name in {**known, **now} if known.get(name) != now.get(name)]
    return "another " + ", ".join(names)
