"""`python bench/trunk.py`: trials over the top layers of a frozen trunk, with what it computes kept and without.

Every arm is a process of its own that takes its trials one after another. The arm that keeps begins with an empty
folder, and its trials after the first cost the same each; those of the others do from the first. So `--kept` and
`--measured` of them are run and the rest counts like the last of them, which the page says. `--trl` adds TRL with the
same layers frozen: one trial, or of that `--trl-steps` steps. Writes docs/trunk.md; figures go to bench/trunk.jsonl as
they come, and an arm that is there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import mean

import marked
import numpy as np
from environment import Machine, machine, trl_python
from prepare import RECIPES, model_folder, work_of
from trunk_side import Asked, Found, Trial
from work import Measured, Order

from luthier.data.read import read
from luthier.model.load import ModelOptions, load
from luthier.types import Example

HERE = Path(__file__).parent
ROOT = HERE.parent
SCRATCH = ROOT / ".bench"
FIGURES = HERE / "trunk.jsonl"
PAGE = ROOT / "docs" / "trunk.md"
METHODS = ("freeze", "lora")
OURS, KEPT, EXACT, TRL = "computed every time", "kept", "kept exactly", "TRL"
PATIENCE_S = 6 * 3600

say = partial(print, flush=True)


@dataclass(frozen=True, slots=True)
class Line:
    """One arm's figures."""

    method: str
    top: int
    arm: str
    found: Found

    @property
    def key(self) -> tuple[str, int, str]:
        """What it is found by."""
        return self.method, self.top, self.arm


def main() -> None:
    """Measures what is asked for, writes the page."""
    asked = arguments()
    here, model = machine(), model_folder(asked.model)
    path = prepared(asked, model)
    size = {name: getattr(asked, name) for name in ("work", "a_class", "epochs", "trials", "threads", "model")}
    size["processor"] = here.processor
    lines = earlier(size)
    for method in asked.methods:
        for top in asked.tops:
            for arm in (OURS, KEPT, *([EXACT] if asked.exact else []), *([TRL] if asked.trl else [])):
                if (method, top, arm) not in lines:
                    line = Line(method, top, arm, measure(asked, model, path, method, top, arm))
                    lines[line.key] = line
                    record(size, line)
                told = lines[method, top, arm].found.trials
                say(
                    f"{method}, top {top}, {arm}: " + ", ".join(f"{t.wall_s:.1f} s ({t.processor_s:.1f})" for t in told)
                )
    if not asked.no_page:
        command = shlex.join(["python", "bench/trunk.py", *sys.argv[1:]])
        marked.write(PAGE, page(here, asked, lines, command), script="bench/trunk.py")


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("LUTHIER_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with banking77/")
    parser.add_argument("--work", choices=["a", "b"], default="b", help="with a long instruction, or a short one")
    parser.add_argument("--a-class", type=int, default=10, help="rows of each of the 77 classes")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--tops", nargs="+", type=int, default=[2, 6, 10], help="layers that learn")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--measured", type=int, default=1, help="trials run of the arms that keep nothing")
    parser.add_argument("--kept", type=int, help="trials run of the arms that keep; all if left out")
    parser.add_argument("--trl-steps", type=int, help="steps of TRL's trial that are taken; all if left out")
    parser.add_argument("--exact", action="store_true", help="also keep hidden states to the bit")
    parser.add_argument("--trl", action="store_true", help="also TRL with the same layers frozen")
    parser.add_argument("--model", default="smollm2-135m", help="alias, GGUF file or folder")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--no-page", action="store_true", help="measure and record, leave docs/trunk.md alone")
    return parser.parse_args()


def prepared(asked: argparse.Namespace, model: Path) -> Path:
    """The rows as text that both sides read."""
    recipe = RECIPES[asked.work]
    examples = read(str(asked.data / recipe.file), recipe.options).examples
    work = work_of(asked.work, of_each(examples, asked.a_class), load(ModelOptions(str(model))))
    path = SCRATCH / "work" / f"trunk-{asked.work}-{asked.a_class}.json"
    work.save(path)
    return path


def of_each(examples: Iterable[Example], count: int) -> list[Example]:
    """So many rows of each label, mixed."""
    examples = list(examples)
    taken: dict[str, int] = {}
    chosen = []
    for at in np.random.default_rng(0).permutation(len(examples)):
        label = examples[at].answer
        if taken.get(label, 0) < count:
            taken[label] = taken.get(label, 0) + 1
            chosen.append(examples[at])
    return chosen


def measure(asked: argparse.Namespace, model: Path, path: Path, method: str, top: int, arm: str) -> Found:
    """One arm, in a process of its own."""
    if arm == TRL:
        return trl(asked, model, path, method, top)
    cache = SCRATCH / "trunk-cache"
    shutil.rmtree(cache, ignore_errors=True)
    keeps = arm in (KEPT, EXACT)
    order = Asked(
        work=str(path),
        model=str(model),
        method=method,
        top=top,
        epochs=asked.epochs,
        trials=(asked.kept or asked.trials) if keeps else asked.measured,
        threads=asked.threads,
        cache=str(cache) if keeps else "",
        exact=arm == EXACT,
    )
    found = json.loads(ran([sys.executable, str(HERE / "trunk_side.py"), json.dumps(asdict(order))], asked.threads))
    return Found(**{**found, "trials": tuple(Trial(**trial) for trial in found["trials"])})


def trl(asked: argparse.Namespace, model: Path, path: Path, method: str, top: int) -> Found:
    """One trial of TRL's, as it comes; where not all of its steps are taken, they count as many times."""
    rows = asked.a_class * 77
    steps = asked.epochs * -(-rows // RECIPES[asked.work].rows_per_step)
    taken = min(steps, asked.trl_steps or steps)
    order = Order(path, model, taken, 0, 0, asked.threads, {"method": method, "top": top})
    python = trl_python(SCRATCH / "trl", creator=sys.executable)
    took = Measured.from_line(ran([str(python), str(HERE / "trl_side.py"), *order.arguments()], asked.threads))
    times = steps / taken
    losses = took.losses if taken == steps else ()
    trial = Trial(times * sum(took.step_s), times * took.processor_s, losses)
    return Found((trial,), took.peak_bytes, 0, took.dtype, 0.0)


def ran(command: list[str], threads: int) -> str:
    """The last line that a process printed."""
    quiet = {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command, env={**os.environ, **quiet}, stdout=subprocess.PIPE, text=True, check=True, timeout=PATIENCE_S
    )
    return done.stdout.strip().splitlines()[-1]


def earlier(size: dict[str, object]) -> dict[tuple[str, int, str], Line]:
    """What was measured before at this size."""
    found: dict[tuple[str, int, str], Line] = {}
    for text in FIGURES.read_text().splitlines() if FIGURES.is_file() else ():
        one = json.loads(text)
        if one.pop("size") == size:
            trials = tuple(Trial(**trial) for trial in one["found"].pop("trials"))
            line = Line(one["method"], one["top"], one["arm"], Found(**one["found"], trials=trials))
            found[line.key] = line
    return found


def record(size: dict[str, object], line: Line) -> None:
    """Adds an arm's figures to the file."""
    with FIGURES.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"size": size, **asdict(line)}) + "\n")


def page(
    here: Machine, asked: argparse.Namespace, lines: dict[tuple[str, int, str], Line], command: str
) -> Iterator[str]:
    """The generated part, line by line."""
    rows = asked.a_class * 77
    yield f"Machine: {here.processor}, {asked.threads} of {here.cores} cores, {here.memory_gb:.0f} GB; {here.system}; "
    yield f"load before the run {here.load:.1f}. Command: `{command}`.\n"
    yield f"{RECIPES[asked.work].title}: {rows:,} rows ({asked.a_class} of each class), {asked.epochs} epochs, "
    yield f"{asked.trials} trials. Seconds are of the processor, all threads together, the wall clock's in brackets; "
    yield f"trials of `{OURS}` and of TRL are {asked.measured} and 1 measured"
    yield f"{f' ({asked.trl_steps} of its steps)' if asked.trl_steps else ''}, times {asked.trials}"
    yield f"{f'; of `{KEPT}`, {asked.kept}, the rest like its later ones' if asked.kept else ''}.\n"
    yield marked.row(
        *(
            "method",
            "top layers",
            "arm",
            f"{asked.trials} trials, s",
            "times as fast",
            "first trial, s",
            "a later one, s",
        ),
        *("read at the cut", "on disk", "peak memory", "mean loss, last epoch", "largest difference of a loss"),
    )
    yield f"|{'---|' * 12}"
    for line in lines.values():
        if (line.method in asked.methods) and line.top in asked.tops:
            yield table_row(asked, lines, line)


def table_row(asked: argparse.Namespace, lines: dict[tuple[str, int, str], Line], line: Line) -> str:
    """One arm's line; times and losses against ourselves computing every time."""
    found, plain = line.found, lines[line.method, line.top, OURS].found
    total, wall = whole(found, asked.trials)
    losses = found.trials[0].losses
    last = losses[-(len(losses) // asked.epochs) :]
    later = [trial.processor_s for trial in found.trials[1:]]
    gap = max(
        (
            abs(a - b)
            for one, other in zip(found.trials, plain.trials, strict=False)
            for a, b in zip(one.losses, other.losses, strict=False)
        ),
        default=0.0,  # a trial of the other side that was cut short names no losses
    )
    return marked.row(
        *(line.method, str(line.top), line.arm, f"{total:.0f} ({wall:.0f})"),
        f"{whole(plain, asked.trials)[0] / total:.2f}",
        f"{found.trials[0].processor_s:.1f}",
        f"{mean(later):.1f}" if later else "",
        *((f"{found.read:.0%}", f"{found.cache_bytes / 1e6:.0f} MB") if line.arm in (KEPT, EXACT) else ("", "")),
        f"{found.peak_bytes / 1e9:.2f} GB",
        f"{mean(last):.4f}" if last else "",
        f"{gap:.4f}" if line.arm in (KEPT, EXACT) else "",
    )


def whole(found: Found, trials: int) -> tuple[float, float]:
    """Processor and wall seconds of all trials; those that were not run count as the ones after the first do."""
    later, more = found.trials[1:] or found.trials, trials - len(found.trials)
    processor = [sum(t.processor_s for t in found.trials), more * mean(t.processor_s for t in later)]
    wall = [sum(t.wall_s for t in found.trials), more * mean(t.wall_s for t in later)]
    return sum(processor), sum(wall)


if __name__ == "__main__":
    main()
