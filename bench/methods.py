"""`python bench/methods.py`: every method at its own best rate, on two tasks and over three seeds.

The tasks are banking77 (10 rows a label, of which 15 % validate) and E2E (sentences about restaurants). On each the
rate is the one with the least loss on the validation rows, by the first seed: from three times the method's usual one
up, or else down, by factors of about three, until the next is no better; it is then learned with three seeds.
Runs lie in .bench/methods and are not taken again; a method that is done on a task is a line of bench/methods.jsonl,
which the page, docs/methods.md, is made of. Methods can be shared out among processes: `--arms lora dora` beside
`--arms full ia3`.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import process_time

from environment import machine
from marked import write as write_page
from methods_page import SCRIPT, SEEDS, Learned, Method, lines, spread
from methods_page import size as weights
from two_tasks import BANK, FACTS, drawn, read, save, whole

from luthier.errors import DivergedError
from luthier.evaluate import write_predictions
from luthier.evaluate.forgetting import answers, probe
from luthier.evaluate.run import silent
from luthier.methods import restore
from luthier.recipe import Recipe, load_recipe
from luthier.run.assess import judge
from luthier.run.prepare import Prepared, attach, prepare
from luthier.run.show import Show
from luthier.run.steps import fitted, hooks
from luthier.run.watch import Watch
from luthier.search.shared import Shared
from luthier.search.space import applied
from luthier.train.log import StepRecord
from luthier.train.meter import Meter
from luthier.train.optim import peak_rate, trainable

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "methods.md"
FIGURES = ROOT / "bench" / "methods.jsonl"
FIRST, UP, DOWN = 3.0, (10.0, 30.0), (1.0, 0.3, 0.1)
"""Of the method's usual rate: short runs want more than that."""
TASKS = ("bank", "facts")

say = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class Size:
    """How much of each task is used."""

    per_label: int = 10
    labels: int | None = None
    """All, or the first so many by name."""
    bank_test: int = 150
    facts_train: int = 160
    facts_validation: int = 60
    """Rows of other facts than those learned."""
    facts_test: int = 40
    """Sets of facts, each with all its sentences as references."""
    epochs: float = 1
    new_tokens: int = 64


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
    arm("lora", "LoRA, rank 16", "lora"),
    arm("full", "full", "full"),
    arm("freeze", "freeze: the upper half of the layers learns", "freeze", layers=15),
    arm("dora", "DoRA", "lora", dora="true"),
    arm("lora-plus", "LoRA+, B at 16 times A's rate", "lora", plus=16),
    arm("pissa", "LoRA from the principal part of the weights", "lora", init="pissa"),
    arm("houlsby", "bottleneck adapters after attention and MLP", "bottleneck", placement="houlsby"),
    arm("pfeiffer", "bottleneck adapters after the MLP", "bottleneck", placement="pfeiffer"),
    arm("ia3", "IA3", "ia3"),
    arm("bitfit", "BitFit", "bitfit"),
    arm("prefix", "prefix tuning", "prefix"),
    arm("prompt", "prompt tuning", "prompt"),
    Arm("nf4", "LoRA over a base in 4 bits", {"method": "lora", "model.quantize": "nf4"}),
    Arm("head", "LoRA and a linear head (banking77 alone)", {"method": "lora", "objective": "classify"}),
    arm("gradual", "freeze, unfreezing from the top", "freeze", unfreeze=0.5),
    arm("rslora", "LoRA, scaled by the root of the rank", "lora", rslora="true"),
    arm("lora-4", "LoRA, rank 4", "lora", rank=4, alpha=8),
)


@dataclass(frozen=True, slots=True)
class Run:
    """One run, as its run.json has it."""

    rate: float
    loss: float | None
    """On all validation rows, where there are any."""
    seconds: float
    """Of the processor, in steps."""
    learning: int


def main() -> None:
    """Runs what is not there yet, and writes."""
    asked = arguments()
    here, size = machine(), QUICK if asked.quick else Size()
    place = ROOT / ".bench" / ("methods-quick" if asked.quick else "methods")
    place.mkdir(parents=True, exist_ok=True)
    rows(asked.data, place, size)
    if asked.peak:
        say(peak(next(one for one in ARMS if one.name == asked.peak), place, size, asked.model))
        return
    figures, page = (place / FIGURES.name, place / PAGE.name) if asked.quick else (FIGURES, PAGE)
    if asked.quick:
        shutil.copy(PAGE, page)
    told = {"size": asdict(size), "model": asked.model}
    if not (place / "base.json").is_file():
        based(place, size, asked.model)
    for one in (one for one in ARMS if not asked.arms or one.name in asked.arms):
        for task in TASKS[: 1 if "objective" in one.settings else 2]:
            if (one.name, task) not in done(figures, told)[0]:
                made = Trials(one, task, place, opened(one, task, place, size, asked.model)).learned()
                say(made.told())
                with figures.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({**told, "processor": here.processor, **asdict(made)}) + "\n")
        found, processors = done(figures, told)
        base = json.loads((place / "base.json").read_text(encoding="utf-8"))["values"]
        methods = [Method(*(found.get((each.name, task)) for task in TASKS)) for each in ARMS]
        write_page(
            page, lines(here, [each for each in methods if each.each], processors, base, command()), script=SCRIPT
        )


def done(figures: Path, told: Mapping[str, object]) -> tuple[dict[tuple[str, str], Learned], set[str]]:
    """What was measured at this size, by method and task, and on which processors."""
    found, processors = dict[tuple[str, str], Learned](), set[str]()
    for text in figures.read_text(encoding="utf-8").splitlines() if figures.is_file() else ():
        line = json.loads(text)
        if all(line.pop(name) == value for name, value in told.items()):
            processors.add(line.pop("processor"))
            found[line["arm"], line["task"]] = Learned(**line)
    return found, processors


def peak(one: Arm, place: Path, size: Size, model: str) -> int:
    """Most memory of some steps on banking77, in a process that does nothing else."""
    prepared = opened(one, "bank", place, size, model)
    mine = replace(prepared, recipe=applied(prepared.recipe, {"train.epochs": 0.1, "train.trunk": False}))
    attach(mine, Show(silent=True))
    calls = hooks(mine, stepped=lambda record: None, evaluated=lambda record: None, say=lambda said: None)
    with TemporaryDirectory() as folder:
        meter = Meter(mine.model.device).start()
        fitted(mine, Path(folder), replace(calls, evaluate=None, measure=None), resumed=False)
        return meter.read().peak_bytes


def based(place: Path, size: Size, model: str) -> None:
    """The model before any tuning: both tasks, and the general questions."""
    values, said = {}, {}
    for task in ("bank", "facts"):
        prepared = opened(ARMS[0], task, place, size, model)
        found = judge(prepared.model, prepared.asked, prepared.task, prepared.recipe.evaluate, "base", Show())
        values[task] = found.primary.value
        said = said or answers(prepared.model, budget=prepared.recipe.evaluate.token_budget, progress=silent)
    (place / "base.json").write_text(json.dumps({"values": values, "answers": said}), encoding="utf-8")


def climbed(loss: Callable[[float], float | None]) -> float:
    """The factor of the least loss: up from the first as long as that gains, or else down."""
    losses = {FIRST: loss(FIRST)}
    for way in (UP, DOWN):
        least = losses[FIRST]
        for factor in way:
            losses[factor] = loss(factor)
            if not _less(losses[factor], least):
                break
            least = losses[factor]
        if _less(least, losses[FIRST]):
            break
    return min(losses, key=lambda each: float("inf") if losses[each] is None else float(losses[each] or 0.0))


def _less(one: float | None, other: float | None) -> bool:
    """Whether a loss is lower; one that diverged is none."""
    return one is not None and (other is None or one < other)


class Trials:
    """The runs of one method on one task, from one opened base."""

    def __init__(self, one: Arm, task: str, place: Path, prepared: Prepared) -> None:
        self.one, self.task, self.place, self.prepared = one, task, place, prepared
        self.shared = Shared(prepared)
        recipe, network = prepared.recipe, prepared.model.network
        self.usual = peak_rate(recipe.train, recipe.method.usual_lr(network))

    def folder(self, factor: float, seed: int) -> Path:
        """Where a run lies."""
        return self.place / f"{self.one.name}-{self.task}-{factor:.3g}-{seed}"

    def trained(self, factor: float, seed: int) -> Run:
        """A run, taken or read back; a diverged one has no loss."""
        folder = self.folder(factor, seed)
        if not (folder / "run.json").is_file():
            shutil.rmtree(folder, ignore_errors=True)
            made = self._stepped(factor * self.usual, seed, folder)
            say(f"{folder.name}: loss {made.loss}, {made.seconds:.0f} s in steps")
            (folder / "run.json").write_text(json.dumps(asdict(made)), encoding="utf-8")
        return Run(**json.loads((folder / "run.json").read_text(encoding="utf-8")))

    def losses(self) -> dict[str, float | None]:
        """Every rate that was tried, in the words of its factor, and its loss."""
        found = self.place.glob(f"{self.one.name}-{self.task}-*-0/run.json")
        each = {file.parent.name.split("-")[-2]: json.loads(file.read_text(encoding="utf-8"))["loss"] for file in found}
        return dict(sorted(each.items(), key=lambda item: float(item[0])))

    def learned(self) -> Learned:
        """Every seed at the best rate, asked the test rows."""
        factor = climbed(lambda each: self.trained(each, SEEDS[0]).loss)
        runs = [self.trained(factor, seed) for seed in SEEDS]
        metric = self.prepared.task.primary
        values, low, high = spread([self._asked(factor, seed) for seed in SEEDS], metric)
        made = Learned(
            arm=self.one.name,
            said=self.one.said,
            task=self.task,
            metric=metric,
            factor=factor,
            usual=self.usual,
            losses=self.losses(),
            value=sum(values) / len(values),
            low=low,
            high=high,
            seeds=values,
            n=len(self.prepared.asked),
            seconds=self.trained(FIRST, SEEDS[0]).seconds,
            peak_bytes=self._peak(),
            learning=runs[0].learning,
            bytes=weights((self.folder(factor, SEEDS[0]) / "last").resolve()),
            forgot=self._forgot(factor) if self.task == "bank" else None,
        )
        for folder in self.place.glob(f"{self.one.name}-{self.task}-*/checkpoints"):
            shutil.rmtree(folder)
        return made

    def _peak(self) -> int:
        """Of a process of its own."""
        done = subprocess.run([sys.executable, __file__, *sys.argv[1:], "--peak", self.one.name],
                              check=True, stdout=subprocess.PIPE, text=True)  # fmt: skip
        return int(done.stdout.split()[-1])

    def _recipe(self, rate: float, seed: int) -> Recipe:
        return applied(self.prepared.recipe, {"train.lr": float(f"{rate:.3g}"), "train.seed": seed})

    def _stepped(self, rate: float, seed: int, folder: Path) -> Run:
        recipe, times = self._recipe(rate, seed), [process_time()]

        def stepped(record: StepRecord) -> None:
            times.append(process_time())

        with self.shared.trial(recipe) as mine:
            calls = hooks(mine, stepped=stepped, evaluated=lambda record: None, say=say)
            try:
                ended = fitted(mine, folder, replace(calls, evaluate=None, measure=None), resumed=False)
                if ended.interrupted:
                    raise SystemExit("stopped; the same command goes on")
                loss = Watch(mine).losses(len(mine.watched)).metrics["loss"] if mine.watched else None
            except DivergedError:
                loss = None
            learning = sum(each.numel() for each in trainable(mine.model.network).values())
        each = [after - before for before, after in pairwise(times)]
        return Run(rate, loss, median(each) * len(each), learning)

    def _asked(self, factor: float, seed: int) -> Path:
        """The answers to the test rows."""
        file = self.folder(factor, seed) / "predictions.jsonl"
        if not file.is_file():
            with self._again(factor, seed) as mine:
                found = judge(
                    mine.model, self.prepared.asked, mine.task, mine.recipe.evaluate, file.parent.name, Show()
                )
            write_predictions(file, found.rows)
        return file

    def _forgot(self, factor: float) -> tuple[float, float, float, float]:
        """General questions before, and the change with its interval."""
        before = json.loads((self.place / "base.json").read_text(encoding="utf-8"))["answers"]
        with self._again(factor, SEEDS[0]) as mine:
            said = answers(mine.model, budget=mine.recipe.evaluate.token_budget, progress=silent)
        found = probe(before, said, resamples=2000, seed=0)
        assert found is not None, "the base was asked the same questions"
        change = found.difference
        return found.base.value, change.value, change.low, change.high

    @contextmanager
    def _again(self, factor: float, seed: int) -> Iterator[Prepared]:
        """The model as a run left it."""
        recipe = self._recipe(factor * self.usual, seed)
        with self.shared.trial(recipe) as mine:
            restore(mine.model.network, self.folder(factor, seed) / "last")
            yield mine


def opened(one: Arm, task: str, place: Path, size: Size, model: str) -> Prepared:
    """Rows and model, before anything is attached."""
    bank = task == "bank"
    settings = {
        "data.train": str(place / f"{task}-train.csv"), "data.test": str(place / f"{task}-test.csv"),
        "data.input": "text" if bank else "mr", "data.output": "category" if bank else "ref",
        "data.instruction": BANK if bank else FACTS,
        "data.validation": "0.15" if bank else str(place / "facts-validation.csv"),
        "model.name": model, "train.epochs": str(size.epochs), "train.examples_per_step": "16",
        "train.keep_checkpoints": "1", "evaluate.margin": "0", "evaluate.validation_rows": "null",
        "forgetting.measure": "false", **({} if bank else {"evaluate.max_new_tokens": str(size.new_tokens)}),
        **one.settings,
    }  # fmt: skip
    return prepare(load_recipe(None, [f"{key}={value}" for key, value in settings.items()]), Show())


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("LUTHIER_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with banking77 and e2e-cleaned")
    parser.add_argument("--model", default="smollm2-135m", help="what is tuned")
    parser.add_argument("--arms", nargs="*", default=[], choices=[one.name for one in ARMS], help="these alone")
    parser.add_argument("--peak", choices=[one.name for one in ARMS], help="prints the memory of this one alone")
    parser.add_argument("--quick", action="store_true", help="a few steps each, to see that it runs")
    return parser.parse_args()


def command() -> str:
    """As it was typed, whichever methods it was for."""
    words = sys.argv[1:]
    if "--arms" in words:
        words = words[: words.index("--arms")]
    return shlex.join(["python", "bench/methods.py", *words])


def rows(data: Path, place: Path, size: Size) -> None:
    """The files of both tasks, drawn by a fixed seed. Raises SystemExit where those in place are of other sizes."""
    made, wanted = place / "size.txt", str(size)
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
    learned = drawn(read(other / "train.csv"), size.facts_train)
    known = {row["mr"] for row in learned}
    others = [row for row in read(other / "train.csv") if row["mr"] not in known]
    save(place / "facts-train.csv", learned)
    save(place / "facts-validation.csv", drawn(others, size.facts_validation))
    save(place / "facts-test.csv", whole(read(other / "test.csv"), size.facts_test))
    made.write_text(wanted, encoding="utf-8")


if __name__ == "__main__":
    main()
