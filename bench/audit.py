"""`python bench/audit.py`: every check held to defects planted in real rows, then what an audit costs as rows grow.

Writes docs/audit.md. A million rows take minutes; `--sizes 10000 100000` does not. A data set that is not there is
named on the page and left out.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path

from audit_gate import gated
from audit_page import Measured, write
from audit_plants import Rows, drawn
from audit_rows import ROWS
from audit_scale import Cost, measure
from audit_scale import write as write_rows
from audit_score import Ranking, Score, ranking, score
from audit_truths import Truth, Untouched, as_they_are, truths
from audit_wholes import LABELS, WHOLES
from environment import machine

from luthier.data.read import ReadOptions, read
from luthier.errors import LuthierError

ROOT = Path(__file__).parent.parent
SCRATCH = ROOT / ".bench" / "audit"
PAGE = ROOT / "docs" / "audit.md"
SETS = {
    "banking77": (ReadOptions(input="text", output="category"), "train.csv", "test.csv"),
    "gsm8k": (ReadOptions(input="question", output="answer"), "train.jsonl", "test.jsonl"),
    "e2e-cleaned": (ReadOptions(input="mr", output="ref"), "train.csv", "test.csv"),
    "hh-harmless": (ReadOptions(skip_bad_rows=True), "test.jsonl.gz", None),
}
KINDS = {"labels": ("banking77",), "texts": ("gsm8k", "e2e-cleaned", "hh-harmless")}
"""What the rows of the cost part are made of."""

say = partial(print, flush=True)


def main() -> None:
    """Measures and writes."""
    asked = arguments()
    before = machine()
    sets = {name: found for name in SETS if (found := real(asked.data, name)) is not None}
    left_out = {name: f"{asked.data.name}/{name} is not there" for name in SETS if name not in sets}
    scores: list[Score] = []
    rankings: list[Ranking] = []
    held: list[Truth] = []
    untouched: list[Untouched] = []
    if not asked.no_plants:
        scores = list(planted(sets, asked.only, left_out))
        rankings = list(ranked(sets)) if not asked.only else []
        held, untouched = list(truths(sets)), list(as_they_are(sets))
    costs = list(scale(sets, asked.sizes))
    if asked.only or asked.no_plants:
        say(f"{PAGE.relative_to(ROOT)} is left as it is, since not everything was measured")
    elif not asked.no_page:
        command = shlex.join(["python", "bench/audit.py", *sys.argv[1:]])
        write(PAGE, before, Measured(scores, rankings, held, untouched, left_out, costs), command=command)
        say(f"written: {PAGE.relative_to(ROOT)}")


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("LUTHIER_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with the real sets")
    parser.add_argument(
        "--sizes", type=int, nargs="*", default=[10_000, 100_000, 1_000_000], help="rows of the cost part"
    )
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="CHECK", help="plant for these checks alone, and leave the page"
    )
    parser.add_argument("--no-plants", action="store_true", help="measure the cost alone, and leave the page")
    parser.add_argument("--no-page", action="store_true", help="print, and leave docs/audit.md alone")
    return parser.parse_args()


def real(data: Path, name: str) -> Rows | None:
    """A real set; None where its files are not there."""
    options, *files = SETS[name]
    if not (data / name / str(files[0])).is_file():
        return None
    parts = [read(str(data / name / file), options).examples if file else () for file in files]
    return Rows(*parts)


def planted(sets: Mapping[str, Rows], only: list[str], left_out: dict[str, str]) -> Iterator[Score]:
    """Every plant whose rows are there; `left_out` learns which could not be measured, and why."""

    @cache
    def draw(name: str, seed: int) -> Rows:
        other = sets["gsm8k"].test if name != "gsm8k" and "gsm8k" in sets else ()
        return drawn(sets[name], seed, other)

    for name in sets if not only or "gate" in only else ():
        for one in gated(name, draw(name, 0)):
            tell(one)
            yield one
    for plant in (*ROWS, *WHOLES):
        if plant.data in sets and (not only or plant.check in only):
            try:
                one = score(plant, partial(draw, plant.data))
            except LuthierError as error:
                left_out[f"`{plant.check}`"] = str(error)
                continue
            tell(one)
            yield one


def ranked(sets: Mapping[str, Rows]) -> Iterator[Ranking]:
    """Wrong labels, among all rows of their set."""
    for plant in LABELS:
        if plant.data in sets:
            one = ranking(plant, drawn(sets[plant.data], 0, whole=True))
            say(f"{plant.check}: {plant.what}: area {one.area.value:.4f}, {one.right} of the first {one.k}")
            yield one


def scale(sets: Mapping[str, Rows], sizes: list[int]) -> Iterator[Cost]:
    """Every kind of file at every size, the smallest first."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    for count in sorted(sizes):
        for kind, names in KINDS.items():
            held = [sets[name].train for name in names if name in sets]
            if held:
                path = SCRATCH / f"{kind}.csv"
                write_rows(path, held, count)
                cost = measure(path, kind)
                path.unlink()
                told = f"{cost.wall_s:.1f} s, {cost.cpu_s:.1f} s of CPU, {cost.peak_bytes / 1e9:.2f} GB"
                say(f"{count:,} rows of {kind}: {told}")
                yield cost


def tell(one: Score) -> None:
    """A line for whoever waits."""
    name = f"{one.plant.check}: {one.plant.what} ({one.plant.data})"
    missed = "" if one.reached or not one.plant.bar else "  below the bar"
    say(f"{name:<76} found {one.found}/{one.of}, right {one.right}/{one.told}, {one.before} before{missed}")


if __name__ == "__main__":
    main()
