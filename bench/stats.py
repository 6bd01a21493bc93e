"""`python bench/stats.py`: whether the statistics of `luthier.stats` keep what they promise, by simulation.

Writes docs/statistics.md, in less than ten minutes on one core. Exits with 1 where a figure lies outside its bar.
(Not named `statistics`: a script of that name would hide Python's own module from everything it imports.)
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from time import process_time

from stats_agreement import agreements
from stats_coverage import coverage
from stats_page import Measured, write
from stats_rows import NULLS, corpus, grouped_proportion, macro_f1, proportion, skewed, very_skewed
from stats_size import choices, independent, size

PAGE = Path(__file__).parent.parent / "docs" / "statistics.md"
GROUPS = 60
LADDER = (6, 8, 10, 15, 20, 30)
CLAIMED = (0.04, 0.06)
"""Where a verdict on grouped rows must claim a difference that is none, and hold from HOLDS groups on."""
HOLDS = 20
COVERED = (0.94, 0.96)

say = partial(print, flush=True)


def main() -> None:
    """Simulates, compares, writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--simulations", type=int, default=10_000, help="of each main figure; others take a share of it"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-page", action="store_true", help="print only")
    asked = parser.parse_args()
    measured = measure(asked.simulations, asked.seed)
    if not asked.no_page:
        write(PAGE, measured)
    failed = list(outside(measured))
    for line in failed:
        say(f"outside its bar: {line}")
    sys.exit(bool(failed))


def measure(n: int, seed: int) -> Measured:
    """Everything, with `n` simulations of a main figure."""
    start = process_time()
    sizes = [told(size(kind, GROUPS, n, seed=seed)) for kind in NULLS]
    sizes.append(told(independent(200, n // 2, seed=seed)))
    return Measured(
        sizes=sizes,
        ladder=[told(size(kind, groups, n // 5, seed=seed)) for kind in ("alike", "graded") for groups in LADDER],
        control=told(size("graded", GROUPS, n // 20, seed=seed, as_rows=True)),
        choices=[told(choices(kind, groups, n // 5, seed=seed)) for kind in NULLS for groups in (20, GROUPS)],
        coverages=list(_coverages(n, seed)),
        agreements=list(agreements(seed=seed)),
        command=f"python {shlex.join(sys.argv)}",
        seconds=process_time() - start,
    )


def _coverages(n: int, seed: int) -> Iterator[object]:
    quick = (proportion(0.7, 200), proportion(0.9, 200), *(grouped_proportion(1.2, at, GROUPS) for at in (0.8, 2.5)))
    for world in (*quick, grouped_proportion(1.2, 0.8, 20)):
        yield told(coverage(world, n, seed=seed))
    for world in (skewed(200), very_skewed(200), corpus(200), macro_f1(300)):
        yield told(coverage(world, n // 2, seed=seed))


def told(found):
    """Prints a figure as soon as it is known, and hands it on."""
    say(found)
    return found


def outside(measured: Measured) -> Iterator[str]:
    """What lies beyond its bar by more than the simulation's own noise."""
    for one in (*measured.sizes, *(step for step in measured.ladder if step.groups >= HOLDS)):
        exact = "McNemar" in one.title
        if one.claimed.low > CLAIMED[1] or (one.claimed.high < CLAIMED[0] and not exact):
            yield f"{one.title}, {one.groups} groups: claims {one.claimed.value:.3f}"
    for one in measured.ladder:
        if one.claimed.low > CLAIMED[1]:
            yield f"{one.title}, {one.groups} groups: claims {one.claimed.value:.3f}"
    for one in measured.coverages:
        if one.held.low > COVERED[1] or one.held.high < COVERED[0]:
            yield f"{one.title}: holds the truth in {one.held.value:.3f}"
    for one in measured.agreements:
        if one.apart > one.allowed:
            yield f"{one.ours} and {one.theirs}: {one.apart} apart"
    if measured.control.claimed.high < 2 * CLAIMED[1]:
        yield "the control, which had to fail, did not"


if __name__ == "__main__":
    main()
