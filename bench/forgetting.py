"""`python bench/forgetting.py`: what tuning on one task after another forgets, and what each remedy costs and keeps.

Each way of tuning learns banking77 from the base, its model is exported whole, and from there it learns to say E2E's
restaurant facts in the same way; all ways take as many steps. Every run is an ordinary `luthier train` in
.bench/forgetting; one that is finished is not taken again, one that was stopped goes on. Writes docs/forgetting.md and
its plot from the run folders.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from environment import machine
from forgetting_page import Way, way, write
from two_tasks import BANK, FACTS, carried_out, drawn, luthier, read, save, whole

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "forgetting.md"

say = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each task is used."""

    bank_train: int = 600
    bank_test: int = 200
    bank_epochs: float = 2
    facts_train: int = 400
    facts_test: int = 40
    """Sets of facts, each with all its sentences as references."""
    facts_epochs: float = 1
    examples_per_step: int = 16


QUICK = Size(bank_train=96, bank_test=12, bank_epochs=0.2, facts_train=16, facts_test=3, examples_per_step=8)
"""Enough to see that everything runs; no figure of it means anything."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of learning the second task."""

    name: str
    said: str
    """What it is, for the page."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of both runs."""
    later: Mapping[str, str] = field(default_factory=dict)
    """Of the second run alone."""
    first: str | None = None
    """Another arm whose first run it begins with."""
    usual: bool = True
    """Whether it is measured when none is named."""


REPLAY = {"mix.replay": "0.2", "mix.max_new_tokens": "64"}
PULL = {"objective.kl": "0.5"}
ARMS = (
    Arm("full", "every weight learns", {"method": "full"}),
    Arm("freeze", "the upper half of the layers learns", {"method": "freeze", "method.layers": "15"}),
    Arm("lora", "LoRA"),
    Arm("lora-lower-rate", "LoRA at a quarter of the rate", {"train.lr": "2.6e-4"}),
    Arm("lora-replay", "LoRA with 20 % general replay", REPLAY),
    Arm("lora-kl", "LoRA with a KL pull of 0.5", PULL),
    Arm("lora-replay-kl", "LoRA with both", {**REPLAY, **PULL}, usual=False),
    Arm(
        "lora-replay-bank", "LoRA with 20 % replay of banking77's rows",
        later={**REPLAY, "mix.source": "BANK"}, first="lora", usual=False,
    ),
)  # fmt: skip


def main() -> None:
    """Runs what is not there yet, and writes."""
    asked = arguments()
    before, size = machine(), QUICK if asked.quick else Size()
    place = ROOT / ".bench" / ("forgetting-quick" if asked.quick else "forgetting")
    place.mkdir(parents=True, exist_ok=True)
    rows(asked.data, place, size, asked.model)
    page = place / PAGE.name if asked.quick else PAGE
    if asked.quick:
        shutil.copy(PAGE, page)
    found: list[Way] = []
    for arm in [arm for arm in ARMS if (arm.name in asked.arms if asked.arms else arm.usual)]:
        first = bank(arm, place, size, asked.model)
        found.append(way(arm.said, first, facts(arm, place, size, exported(first), first)))
        say(found[-1].told())
        write(page, before, found, command=command())
    said = "; no figure in it means anything, and docs/forgetting.md is as it was" if asked.quick else ""
    say(f"written: {page.relative_to(ROOT)}{said}")


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("LUTHIER_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with banking77 and e2e-cleaned")
    parser.add_argument("--model", default="smollm2-135m", help="what banking77 is learned from")
    parser.add_argument(
        "--arms", nargs="*", default=[], choices=[arm.name for arm in ARMS], help="these alone, or more than the usual"
    )
    parser.add_argument("--quick", action="store_true", help="a few steps each, to see that it runs")
    return parser.parse_args()


def command() -> str:
    """As it was typed."""
    return shlex.join(["python", "bench/forgetting.py", *sys.argv[1:]])


def rows(data: Path, place: Path, size: Size, model: str) -> None:
    """The files of both tasks, drawn by a fixed seed. Raises SystemExit where those in place are of other sizes."""
    made, wanted = place / "size.txt", f"{size} {model}"
    if made.exists() and made.read_text(encoding="utf-8") != wanted:
        raise SystemExit(f"{place}: holds runs of other sizes; remove the folder to begin anew")
    one, other = data / "banking77", data / "e2e-cleaned"
    train = drawn(read(one / "train.csv"), size.bank_train)
    save(place / "bank-train.csv", train)
    save(place / "bank-test.csv", drawn(read(one / "test.csv"), size.bank_test))
    save(place / "facts-train.csv", drawn(read(other / "train.csv"), size.facts_train))
    save(place / "facts-test.csv", whole(read(other / "test.csv"), size.facts_test))
    replay = [{"prompt": f"{BANK}\n\n{row['text']}", "completion": row["category"]} for row in train]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in replay)
    (place / "bank-replay.jsonl").write_text(text, encoding="utf-8")
    made.write_text(wanted, encoding="utf-8")


def bank(arm: Arm, place: Path, size: Size, model: str) -> Path:
    """The run that learns banking77 first."""
    settings = {
        "data.input": "text", "data.output": "category", "data.instruction": BANK,
        "train.epochs": str(size.bank_epochs), "model.name": model, **arm.settings,
    }  # fmt: skip
    run = place / f"{arm.first or arm.name}-1"
    borrow(run, place)
    return trained(run, place, "bank", size, settings)


def facts(arm: Arm, place: Path, size: Size, start: Path, first: Path) -> Path:
    """The run that learns the restaurant facts then, held against what the first run could do."""
    settings = {
        "data.input": "mr", "data.output": "ref", "data.instruction": FACTS, "evaluate.max_new_tokens": "64",
        "train.epochs": str(size.facts_epochs), "model.name": str(start), "forgetting.files": json.dumps([str(first)]),
        **arm.settings, **arm.later,
    }  # fmt: skip
    if settings.get("mix.source") == "BANK":
        settings["mix.source"] = str(place / "bank-replay.jsonl")
    return trained(place / f"{arm.name}-2", place, "facts", size, settings)


def trained(run: Path, place: Path, task: str, size: Size, settings: Mapping[str, str]) -> Path:
    """A finished run folder: found, gone on with, or taken from the start. Raises SystemExit where it fails."""
    words = [f"{key}={value}" for key, value in settings.items()]
    words += [f"data.train={place / f'{task}-train.csv'}", f"data.test={place / f'{task}-test.csv'}"]
    words += ["data.validation=0", f"train.examples_per_step={size.examples_per_step}"]
    return carried_out(run, words)


def exported(run: Path) -> Path:
    """A first run's model with what it learned in its weights: what the second task starts from."""
    folder = run.with_name(f"{run.name}-model")
    if not folder.is_dir():
        luthier("export", str(run), "--format", "merged", "--out", str(folder))
    return folder


def borrow(run: Path, place: Path) -> None:
    """Hands a first run what another measured of the base, which is the same for all: it need not be asked again."""
    done = next((one.parent for one in sorted(place.glob("*-1/report.json"))), None)
    if done is None or (run / "recipe.yaml").exists():
        return
    (run / "forgetting").mkdir(parents=True, exist_ok=True)
    for name in ("base.jsonl", "forgetting/base.json"):
        shutil.copy(done / name, run / name)


if __name__ == "__main__":
    main()
