"""`python bench/search.py`: whether a search finds for a quarter of a full grid's tokens what the grid finds.

On banking77 (10 examples a class) and E2E: every setting of a grid is trained to its end; a search of the same box gets
a share of the tokens that took; then its winner and the grid's best are both trained anew with several seeds and asked
the same test rows, which neither ever saw. Everything is in .bench/search: what is finished is not taken again, what
was stopped goes on. Writes docs/search.md's figures.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np
from environment import Machine, machine
from marked import row
from marked import write as write_page

from luthier.evaluate import lower_is_better
from luthier.evaluate.verdict import amount, change
from luthier.recipe import Recipe, recipe
from luthier.run.prepare import prepare
from luthier.run.show import Show
from luthier.search.confirm import Confirmed, confirm
from luthier.search.found import Winner, winner_of
from luthier.search.options import SearchOptions
from luthier.search.shared import Shared
from luthier.search.space import Among, Between, Dimension, Settings, applied, own_settings
from luthier.search.study import Spent, Study
from luthier.search.trial import looks_per_epoch
from luthier.search.work import run_trials
from luthier.train.log import spoken

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "search.md"
SCRIPT = "bench/search.py"
SHARE = 0.25
"""Of the grid's tokens, what the search may compute."""

say = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each task is used, and how fine the grid is."""

    a_class: int = 10
    facts_train: int = 200
    judged: int = 80
    """Validation rows of banking77; a fifth as many of E2E, whose answers are written word by word."""
    asked: int = 120
    """Test rows, likewise."""
    epochs: float = 1
    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)
    ranks: tuple[int, ...] = (8, 32)
    batches: tuple[int, ...] = (16,)
    looks: int = 3
    """Of a trial of the search; one of the grid is judged at its end."""
    seeds: int = 3


QUICK = Size(1, 12, 10, 10, 0.25, (1e-4, 1e-3), (8,), (8, 16), 2, 3)
"""Enough to see that everything runs; no figure of it means anything."""


@dataclass(frozen=True, slots=True)
class Task:
    """A file of rows and how it is read."""

    name: str
    input: str
    output: str
    instruction: str


TASKS = (
    Task("banking77", "text", "category", "Which wish does this message of a bank's customer express?"),
    Task("e2e", "mr", "ref", "Say these facts about a restaurant in one or two sentences."),
)


@dataclass(frozen=True, slots=True)
class Found:
    """Grid and search on one task."""

    task: str
    metric: str
    trained: int
    grid: Spent
    search: Spent
    best: Winner
    winner: Winner
    confirmed: Confirmed
    """The search's winner against the grid's best, in the place of the recipe."""

    @property
    def within(self) -> bool:
        """Whether the search's winner is not surely worse than the grid's best, on rows that neither was chosen by."""
        apart = self.confirmed.difference
        return (apart.low <= 0) if lower_is_better(self.metric) else (apart.high >= 0)


def main() -> None:
    """Runs what is not there yet, and writes."""
    asked = arguments()
    before, size = machine(), QUICK if asked.quick else Size()
    place = ROOT / ".bench" / ("search-quick" if asked.quick else "search")
    rows(asked.data, place, size)
    found = [measured(task, place, size, asked.model) for task in TASKS if task.name in asked.tasks]
    page = place / PAGE.name if asked.quick else PAGE
    if asked.quick:
        page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    write_page(page, lines(before, found, size), script=SCRIPT)
    say(f"written: {page.relative_to(ROOT)}" + ("; no figure in it means anything" if asked.quick else ""))


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("LUTHIER_DATA", ROOT.parent / "shared" / "data"))
    names = [task.name for task in TASKS]
    parser.add_argument("--data", type=Path, default=data, help="folder with banking77 and e2e-cleaned")
    parser.add_argument("--model", default="smollm2-135m")
    parser.add_argument("--tasks", nargs="*", default=names, choices=names)
    parser.add_argument("--quick", action="store_true", help="a few steps each, to see that it runs")
    return parser.parse_args()


def measured(task: Task, place: Path, size: Size, model: str) -> Found:
    """The grid, the search, and both winners on the test rows. Raises SystemExit where it is stopped."""
    say(f"{task.name}: opens")
    show = Show()
    shared = Shared(prepare(asked_recipe(task, place, size, model), show))
    whole = shared.whole
    higher = not lower_is_better(whole.task.primary)
    grid = study(place / f"{task.name}-grid", whole.recipe, size, grid_space(size), SearchOptions(
        trials=len(settings(size)), pruner="none", seeds=0, looks=1), higher=higher)  # fmt: skip
    for one in settings(size):
        grid.study.enqueue_trial(dict(one), skip_if_exists=True)
    finished(run_trials(grid, shared, show))
    tokens = SHARE * grid.spent().distinct
    search = study(place / f"{task.name}-search", whole.recipe, size, box(size), SearchOptions(
        tokens=tokens, seeds=0, looks=size.looks), higher=higher)  # fmt: skip
    search.enqueue(own_settings(whole.recipe, search.space, whole.recipe.method.usual_lr(whole.model.network)))
    finished(run_trials(search, shared, show))
    best, won = (winner_of(one, {}, higher_is_better=higher) for one in (grid, search))
    if best is None or won is None:
        raise SystemExit(f"{task.name}: no trial went to its end; see {place}")
    confirmed = beside(shared, best.settings, won.settings, size, place / f"{task.name}-confirm", show)
    return Found(
        task.name, whole.task.primary, len(whole.sequences), grid.spent(), search.spent(), best, won, confirmed
    )


def beside(shared: Shared, best: Settings, won: Settings, size: Size, folder: Path, show: Show) -> Confirmed:
    """The search's winner against the grid's best, which stands where a recipe does."""
    shared.whole = replace(shared.whole, recipe=applied(shared.whole.recipe, best))
    options = SearchOptions(seeds=size.seeds, looks=size.looks)
    return finished(confirm(shared, won, options, folder, show))


def finished(done: T | None) -> T:
    """What a piece of work brought. Raises SystemExit where a person stopped it."""
    if not done:
        raise SystemExit("stopped; the same command goes on")
    return done


def asked_recipe(task: Task, place: Path, size: Size, model: str) -> Recipe:
    """Everything at its default but the rows and how long it trains."""
    few = 1 if task.name == "banking77" else 5
    return recipe(
        data={
            "train": str(place / f"{task.name}-train.csv"), "validation": str(place / f"{task.name}-validation.csv"),
            "test": str(place / f"{task.name}-test.csv"), "input": task.input, "output": task.output,
            "instruction": task.instruction,
        },
        model={"name": model}, train={"epochs": size.epochs}, forgetting={"measure": False},
        evaluate={
            "validation_rows": max(2, size.judged // few), "max_new_tokens": 64 if few > 1 else None, "margin": 0,
        },
        run=str(place / task.name),
    )  # fmt: skip


def settings(size: Size) -> list[dict[str, float | int]]:
    """Every setting of the grid."""
    names = ("train.lr", "method.rank", "train.examples_per_step")
    return [dict(zip(names, one, strict=True)) for one in product(size.rates, size.ranks, size.batches)]


def grid_space(size: Size) -> tuple[Dimension, ...]:
    """The grid as a space."""
    ranks = (Among("method.rank", size.ranks),)
    return Among("train.lr", size.rates), *ranks, Among("train.examples_per_step", size.batches)


def box(size: Size) -> tuple[Dimension, ...]:
    """What the search may try: the box that the grid spans."""
    ranks = (Among("method.rank", size.ranks),) if len(size.ranks) > 1 else ()
    rate = Between("train.lr", size.rates[0], size.rates[-1], log=True)
    batches = (Among("train.examples_per_step", size.batches),) if len(size.batches) > 1 else ()
    return rate, *ranks, *batches


def study(
    folder: Path, whole: Recipe, size: Size, space: Sequence[Dimension], options: SearchOptions, *, higher: bool
) -> Study:
    """Trials that are kept in a folder."""
    most = round(size.epochs * looks_per_epoch(whole, options.looks))
    return Study(folder, options, space, maximize=higher, identity={"size": json.dumps(asdict(size))}, most_looks=most)


def rows(data: Path, place: Path, size: Size) -> None:
    """The files of both tasks, drawn by a fixed seed; what validates is not learned."""
    place.mkdir(parents=True, exist_ok=True)
    bank, facts = data / "banking77", data / "e2e-cleaned"
    train, held_out = a_class(read(bank / "train.csv"), "category", size.a_class)
    save(place / "banking77-train.csv", train)
    save(place / "banking77-validation.csv", shuffled(held_out)[: size.judged])
    save(place / "banking77-test.csv", shuffled(read(bank / "test.csv"))[: size.asked])
    sets = list(dict.fromkeys(one["mr"] for one in shuffled(read(facts / "train.csv"))))
    judged = set(sets[: max(2, size.judged // 5)])
    every = read(facts / "train.csv")
    save(place / "e2e-train.csv", shuffled([one for one in every if one["mr"] not in judged])[: size.facts_train])
    save(place / "e2e-validation.csv", [one for one in every if one["mr"] in judged])
    test = shuffled(read(facts / "test.csv"))
    kept = set(list(dict.fromkeys(one["mr"] for one in test))[: max(2, size.asked // 5)])
    save(place / "e2e-test.csv", [one for one in test if one["mr"] in kept])


def a_class(
    every: Sequence[dict[str, str]], label: str, count: int
) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """As many rows of each label, and the others."""
    seen: dict[str, int] = {}
    kept, others = list[dict[str, str]](), list[dict[str, str]]()
    for one in shuffled(every):
        seen[one[label]] = seen.get(one[label], 0) + 1
        (kept if seen[one[label]] <= count else others).append(one)
    return kept, others


def read(path: Path) -> list[dict[str, str]]:
    """A table's rows. Raises SystemExit where it is not there."""
    if not path.is_file():
        raise SystemExit(f"{path}: is not there; name the folder that holds it with --data")
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def shuffled(every: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """The rows in an order of a fixed seed."""
    return [every[i] for i in np.random.default_rng(0).permutation(len(every)).tolist()]


def save(path: Path, every: Sequence[dict[str, str]]) -> None:
    """A table; one that is there stays."""
    if path.exists():
        return
    with path.open("w", newline="", encoding="utf-8") as stream:
        made = csv.DictWriter(stream, list(every[0]))
        made.writeheader()
        made.writerows(every)


def lines(here: Machine, found: Sequence[Found], size: Size) -> Iterator[str]:
    """The measured part of the page."""
    yield f"`{shlex.join(['python', SCRIPT, *sys.argv[1:]])}` on {here.processor}, {here.cores} cores."
    yield ""
    ranks, batches = (", ".join(map(str, each)) for each in (size.ranks, size.batches))
    yield (
        f"Grid: {len(size.rates)} rates from {size.rates[0]:g} to {size.rates[-1]:g}, ranks {ranks}, {batches} "
        f"examples a step, {size.epochs:g} epochs: {len(settings(size))} runs to their end. The search has {SHARE:.0%} "
        "of the grid's tokens for the box that the grid spans."
    )
    yield ""
    yield row("task", "rows learned", "", "trials", "tokens computed", "time", "best setting", "validation")
    yield row(*["---"] * 8)
    for one in found:
        for name, spent, won in (("grid", one.grid, one.best), ("search", one.search, one.winner)):
            words = ", ".join(f"{key.partition('.')[2]} {value:.3g}" for key, value in won.settings.items())
            yield row(one.task, f"{one.trained:,}", name, f"{spent.trials}", f"{spent.distinct:,}",
                      spoken(spent.seconds), words, amount(won.value, one.metric))  # fmt: skip
    yield ""
    yield row("task", "metric", "test rows", "seeds", "grid's best", "search's winner", "difference, 95 %", "within")
    yield row(*["---"] * 8)
    for one in found:
        sure, metric = one.confirmed, one.metric
        best, won = (sum(each) / len(each) for each in (sure.recipe, sure.winner))
        value, low, high = (
            change(at, metric) for at in (sure.difference.value, sure.difference.low, sure.difference.high)
        )
        apart = f"{value} [{low.removesuffix(' points')}, {high}]"
        yield row(one.task, metric, f"{sure.rows:,}", f"{len(sure.seeds)}", amount(best, metric), amount(won, metric),
                  apart, "yes" if one.within else "no")  # fmt: skip


if __name__ == "__main__":
    main()
