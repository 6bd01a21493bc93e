"""`python bench/start.py`: from the command typed to the first optimizer step, beside a script of TRL's.

Ours is `luthier train` as a person types it, reading, auditing, rendering and proving every row on the way; asking the
base anything is switched off, since the other side asks nothing. The first step's own time is taken off on both sides.
Each is run in turn, as often as `--rounds` says, after one run that nobody times. Writes docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import marked
from environment import machine, trl_python
from prepare import model_folder, prepare
from work import Order

HERE = Path(__file__).parent
ROOT = HERE.parent
SCRATCH = ROOT / ".bench"
PAGE = ROOT / "docs" / "benchmarks.md"
SCRIPT = "bench/start.py"
ROWS, BAR = 768, 1.0

say = partial(print, flush=True)


def main() -> None:
    """Measures both in turn and writes the page."""
    asked = arguments()
    here, python = machine(), trl_python(SCRATCH / "trl", creator=sys.executable)
    found: dict[str, list[float]] = {"Luthier": [], "TRL": []}
    arms = {"Luthier": partial(ours, asked), "TRL": partial(theirs, asked, python)}
    for number in range(asked.rounds + 1):
        for name, arm in arms.items():
            seconds = arm()
            say(f"{name}: {seconds:.1f} s{'' if number else ', to warm up'}")
            found[name] += [seconds] if number else []
    command = shlex.join(["python", SCRIPT, *sys.argv[1:]])
    head = f"`{command}` on {here.processor}, {here.cores} cores; load before the run {here.load:.1f}."
    marked.write(PAGE, [head, "", *page(found)], script=SCRIPT)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("LUTHIER_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with banking77/")
    parser.add_argument("--model", default="smollm2-135m", help="alias, GGUF file or folder")
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def ours(asked: argparse.Namespace) -> float:
    """Seconds from the command to the first step, by metrics.jsonl."""
    run = SCRATCH / "start"
    shutil.rmtree(run, ignore_errors=True)
    words = [
        "data.train=" + str(asked.data / "banking77" / "train.csv"), "data.input=text", "data.output=category",
        f"data.limit={ROWS}", "data.validation=0", "data.test=0", f"model.name={asked.model}", "train.epochs=0.03",
        "forgetting.measure=false", f"run={run}",
    ]  # fmt: skip
    began = time.time()
    subprocess.run([sys.executable, "-m", "luthier", "train", *words], check=True, capture_output=True)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    steps = [line for line in lines if line["kind"] == "step"]
    written = (run / "metrics.jsonl").stat().st_mtime
    return written - began - sum(line["seconds"] for line in steps)


def theirs(asked: argparse.Namespace, python: Path) -> float:
    """Seconds from the command to the first step, by the trainer's own clock."""
    path, model = SCRATCH / "work" / "start.json", model_folder(asked.model)
    if not path.is_file():
        prepare("b", data=asked.data, model=model, steps=ROWS // 16).save(path)
    order = Order(path, model, 1, 0, 0, len(os.sched_getaffinity(0)))
    quiet = {"TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
    began = time.time()
    done = subprocess.run(
        [str(python), str(HERE / "trl_side.py"), *order.arguments()],
        env={**os.environ, **quiet}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(json.loads(done.stdout.strip().splitlines()[-1])["began"]) - began


def page(found: dict[str, list[float]]) -> list[str]:
    """The generated part, line by line."""
    share = median(found["Luthier"]) / median(found["TRL"])
    word = "reached" if share <= BAR else "**not reached**"
    lines = [f"{share:.2f} of what TRL's script takes; asked: at most {BAR:g}, {word}.", ""]
    lines += [marked.row("", "seconds, median (least to most)", "runs"), marked.row(*["---"] * 3)]
    return lines + [
        marked.row(name, f"{median(some):.1f} ({min(some):.1f} to {max(some):.1f})", f"{len(some)}")
        for name, some in found.items()
    ]


if __name__ == "__main__":
    main()
