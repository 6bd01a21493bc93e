"""`python bench/methods.py`: every method at its own best rate, on two tasks and over three seeds.

The rate is chosen on banking77's validation rows by the first seed: from the method's usual one up, or else down, by
factors of about three, until the next is no better. banking77 (10 rows a label) and E2E (sentences about restaurants)
are then learned at that rate with three seeds, by ordinary `luthier train` runs in .bench/methods. A finished run is
not taken again, a stopped one goes on, and the page, docs/methods.md, is written after every method.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from environment import machine
from methods_page import Learned, Task, write
from two_tasks import BANK, FACTS, carried_out, drawn, read, save, whole

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "methods.md"
UP, DOWN = (3.0, 10.0, 30.0), (0.3, 0.1, 0.03)
"""Of the method's usual rate, which the first run tells by naming none."""
SEEDS = (0, 1, 2)

say = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each task is used."""

    per_label: int = 10
    labels: int | None = None
    """All, or the first so many by name."""
    bank_test: int = 200
    bank_epochs: float = 1
    facts_train: int = 300
    facts_test: int = 40
    """Sets of facts, each with all its sentences as references."""
    facts_epochs: float = 1


QUICK = Size(per_label=2, labels=8, bank_test=8, facts_train=16, facts_test=3)
"""Enough to see that everything runs; no figure of it means anything."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One method."""

    name: str
    said: str
    settings: Mapping[str, str] = field(default_factory=dict)


def arm(name: str, said: str, method: str, **settings: object) -> Arm:
    """A method of that name with its settings."""
    return Arm(name, said, {"method": method, **{f"method.{key}": str(value) for key, value in settings.items()}})


ARMS = (
    arm("full", "full", "full"),
    arm("freeze", "freeze: the upper half of the layers learns", "freeze", layers=15),
    arm("lora", "LoRA, rank 16", "lora"),
    arm("lora-4", "LoRA, rank 4", "lora", rank=4, alpha=8),
    arm("rslora", "LoRA, scaled by the root of the rank", "lora", rslora="true"),
    arm("dora", "DoRA", "lora", dora="true"),
    arm("lora-plus", "LoRA+, B at 16 times A's rate", "lora", plus=16),
    arm("pissa", "LoRA from the principal part of the weights", "lora", init="pissa"),
    arm("houlsby", "bottleneck adapters after attention and MLP", "bottleneck", placement="houlsby"),
    arm("pfeiffer", "bottleneck adapters after the MLP", "bottleneck", placement="pfeiffer"),
    arm("ia3", "IA3", "ia3"),
    arm("bitfit", "BitFit", "bitfit"),
    arm("prefix", "prefix tuning", "prefix"),
    arm("prompt", "prompt tuning", "prompt"),
    arm("gradual", "freeze, unfreezing from the top", "freeze", unfreeze=0.5),
    Arm("nf4", "LoRA over a base in 4 bits", {"method": "lora", "model.quantize": "nf4"}),
    Arm("head", "LoRA and a linear head (banking77 alone)", {"method": "lora", "objective": "classify"}),
)


def main() -> None:
    """Runs what is not there yet, and writes."""
    asked = arguments()
    before, size = machine(), QUICK if asked.quick else Size()
    place = ROOT / ".bench" / ("methods-quick" if asked.quick else "methods")
    place.mkdir(parents=True, exist_ok=True)
    rows(asked.data, place, size, asked.model)
    page = place / PAGE.name if asked.quick else PAGE
    if asked.quick:
        shutil.copy(PAGE, page)
    found: list[Learned] = []
    for one in [one for one in ARMS if not asked.arms or one.name in asked.arms]:
        found.append(learned(one, place, size, asked.model))
        say(found[-1].told())
        write(page, before, found, command=command())


def learned(one: Arm, place: Path, size: Size, model: str) -> Learned:
    """Both tasks by one method."""
    first = bank(one, place, size, model, seed=0, factor=1.0, rate=None)
    usual = highest(first)
    at = partial(bank, one, place, size, model)
    factor = climbed(lambda each: validation(first if each == 1.0 else at(seed=0, factor=each, rate=each * usual)))
    banks = [first if factor == 1.0 else at(seed=0, factor=factor, rate=factor * usual)]
    banks += [at(seed=seed, factor=factor, rate=factor * usual) for seed in SEEDS[1:]]
    both = "objective" not in one.settings
    texts = [facts(one, place, size, model, seed=seed, factor=factor, rate=factor * usual) for seed in SEEDS if both]
    return Learned(one.name, one.said, factor, usual, Task.of(banks), Task.of(texts) if texts else None)


def climbed(score: Callable[[float], float]) -> float:
    """The factor of the highest score: up from 1 as long as that gains, or else down."""
    scores = {1.0: score(1.0)}
    for way in (UP, DOWN):
        best = scores[1.0]
        for factor in way:
            scores[factor] = score(factor)
            if scores[factor] <= best:
                break
            best = scores[factor]
        if best > scores[1.0]:
            break
    return max(scores, key=lambda each: scores[each])


def bank(one: Arm, place: Path, size: Size, model: str, *, seed: int, factor: float, rate: float | None) -> Path:
    """A run on banking77; what it forgets is measured with the second seed, how near other labels came with none."""
    settings = {
        "data.input": "text", "data.output": "category", "data.instruction": BANK, "data.validation": "0.15",
        "train.epochs": str(size.bank_epochs), "model.name": model, "train.evaluations_per_epoch": "1",
        "forgetting.measure": "true" if seed == 1 else "false", "evaluate.margin": "0", **one.settings,
    }  # fmt: skip
    settings |= {"train.lr": f"{rate:.3g}"} if rate is not None else {}
    return trained(place / f"{one.name}-bank-{factor:g}-{seed}", place, "bank", seed, settings)


def facts(one: Arm, place: Path, size: Size, model: str, *, seed: int, factor: float, rate: float) -> Path:
    """A run on E2E."""
    settings = {
        "data.input": "mr", "data.output": "ref", "data.instruction": FACTS, "evaluate.max_new_tokens": "64",
        "data.validation": "0", "train.epochs": str(size.facts_epochs), "model.name": model,
        "forgetting.measure": "false", "train.lr": f"{rate:.3g}", **one.settings,
    }  # fmt: skip
    return trained(place / f"{one.name}-facts-{factor:g}-{seed}", place, "facts", seed, settings)


def trained(run: Path, place: Path, task: str, seed: int, settings: Mapping[str, str]) -> Path:
    """A finished run folder: found, gone on with, or taken from the start. Raises SystemExit where it fails."""
    words = [f"{key}={value}" for key, value in settings.items()]
    words += [f"data.train={place / f'{task}-train.csv'}", f"data.test={place / f'{task}-test.csv'}"]
    words += ["train.examples_per_step=16", f"train.seed={seed}"]
    done = carried_out(run, words, first=lambda: borrow(run, place, task, settings))
    for file in done.glob("checkpoints/*/optimizer*"):  # a gigabyte where every weight learns
        file.unlink()
    return done


def borrow(run: Path, place: Path, task: str, settings: Mapping[str, str]) -> None:
    """Hands a run what another of the same base measured before tuning, which need not be asked again."""
    bits = settings.get("model.quantize")
    for done in sorted(place.glob(f"*-{task}-*/report.json")):
        other = done.parent
        if ("nf4" in other.name) != (bits is not None) or not (other / "base.jsonl").is_file():
            continue
        run.mkdir(parents=True, exist_ok=True)
        shutil.copy(other / "base.jsonl", run / "base.jsonl")
        return


def highest(run: Path) -> float:
    """The highest learning rate of a run that named none."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return max(line["lr"] for line in lines if line["kind"] == "step")


def validation(run: Path) -> float:
    """The deciding metric on all validation rows."""
    made = json.loads((run / "report.json").read_text(encoding="utf-8"))
    return float(made["validation"]["metrics"][made["task"]["primary"]]["value"])


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("LUTHIER_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with banking77 and e2e-cleaned")
    parser.add_argument("--model", default="smollm2-135m", help="what is tuned")
    parser.add_argument("--arms", nargs="*", default=[], choices=[one.name for one in ARMS], help="these alone")
    parser.add_argument("--quick", action="store_true", help="a few steps each, to see that it runs")
    return parser.parse_args()


def command() -> str:
    """As it was typed."""
    return shlex.join(["python", "bench/methods.py", *sys.argv[1:]])


def rows(data: Path, place: Path, size: Size, model: str) -> None:
    """The files of both tasks, drawn by a fixed seed. Raises SystemExit where those in place are of other sizes."""
    made, wanted = place / "size.txt", f"{size} {model}"
    if made.exists() and made.read_text(encoding="utf-8") != wanted:
        raise SystemExit(f"{place}: holds runs of other sizes; remove the folder to begin anew")
    one, other = data / "banking77", data / "e2e-cleaned"
    train, test = (read(one / f"{part}.csv") for part in ("train", "test"))
    names = sorted({row["category"] for row in train})[: size.labels]
    by_label = [
        [row for row in drawn(train, len(train)) if row["category"] == name][: size.per_label] for name in names
    ]
    save(place / "bank-train.csv", [row for some in by_label for row in some])
    save(place / "bank-test.csv", drawn([row for row in test if row["category"] in names], size.bank_test))
    save(place / "facts-train.csv", drawn(read(other / "train.csv"), size.facts_train))
    save(place / "facts-test.csv", whole(read(other / "test.csv"), size.facts_test))
    made.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
