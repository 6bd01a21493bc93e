"""`make bench`: Luthier beside TRL on this machine, interleaved in one run, written into docs/benchmarks.md.

Each arm of each round is a process of its own, so that its peak memory is its own; a round's number is its seed. Takes
an environment for TRL (`.bench/`, made on first use) and the data folder; prints what it does as it goes.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from environment import machine, trl_python
from page import Finding, write
from prepare import RECIPES, model_folder, prepare
from recorded import record, recorded
from tuned import Settings, Trial, search
from work import Measured, Order, Work

from luthier.__main__ import HEAP

HERE = Path(__file__).parent
ROOT = HERE.parent
SCRATCH = ROOT / ".bench"
RESULTS = HERE / "results.jsonl"
PAGE = ROOT / "docs" / "benchmarks.md"
PATIENCE_S = 1800
"""How long one arm may take; torch.compile has been seen to use it up."""
STEPS = {"a": 2, "b": 8, "c": 5, "d": 8, "e": 3}
"""Timed steps a round; a step of (a) takes TRL a minute or so."""


def main() -> None:
    """Measures every work asked for and writes the page."""
    asked = arguments()
    missing = [key for key in asked.works if not (asked.data / RECIPES[key].file).is_file()]
    for key in missing:
        say(f"({key}) left out: {asked.data / RECIPES[key].file} is not there; name the data folder with --data")
    works = [key for key in asked.works if key not in missing]
    if not works:
        return
    here = machine()
    if here.load > 0.3:
        say(f"the machine is busy (load {here.load:.1f}): times will be too long and uneven")
    python = trl_python(SCRATCH / "trl", creator=sys.executable)
    findings = (
        [one for one in recorded(RESULTS, here, SCRATCH / "work") if one.work.key not in works] if asked.keep else []
    )
    for key in works:
        findings = sorted([*findings, Bench(asked, key, python).measure()], key=lambda one: one.work.key)
        record(RESULTS, here, findings)
        if not asked.no_page:
            write(PAGE, here, findings)
            say(f"({key}) written: {PAGE.relative_to(ROOT)}, {RESULTS.relative_to(ROOT)}")


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("LUTHIER_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with banking77/ and gsm8k/")
    parser.add_argument("--works", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--model", default="smollm2-135m", help="alias, GGUF file or folder")
    parser.add_argument("--steps", type=int, help=f"timed steps a round; by default {STEPS}")
    parser.add_argument("--warmup", type=int, default=1, help="steps before them that are not timed")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved repetitions, each with its own seed")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--tuned", type=json.loads, help="TRL's tuned settings as JSON, in place of searching for them")
    parser.add_argument("--keep", action="store_true", help="works that were measured here before stay on the page")
    parser.add_argument("--no-page", action="store_true", help="measure and record, leave docs/benchmarks.md alone")
    return parser.parse_args()


class Bench:
    """One work, measured."""

    def __init__(self, asked: argparse.Namespace, key: str, trl: Path) -> None:
        self.asked, self.key, self.trl = asked, key, trl
        self.steps: int = asked.steps or STEPS[key]
        self.model = model_folder(asked.model)
        self.path = SCRATCH / "work" / f"{key}.json"
        self.work = prepare(key, data=asked.data, model=self.model, steps=asked.warmup + self.steps)
        self.work.save(self.path)

    def measure(self) -> Finding:
        """Both in float32, which tunes TRL; then the rounds: Luthier, TRL as it comes, TRL tuned, and again."""
        precise = {
            "Luthier": self.luthier(0, timed=self.steps, settings={"dtype": "float32"}),
            "TRL": self.trl_arm(0, {"bf16": False, "weights": "float32"}, timed=self.steps),
        }
        settings, trials = self.tune(precise["Luthier"].losses[0])
        arms: dict[str, list[Measured]] = {"Luthier": [], "TRL as it comes": [], "TRL tuned": []}
        for seed in range(self.asked.rounds):
            for name, found in self.round(seed, settings):
                if found.failed:
                    raise SystemExit(f"({self.key}) {name}: {found.failed}")
                arms[name].append(found)
                say(f"({self.key}) round {seed + 1}, {name}: {', '.join(f'{s:.2f}' for s in found.timed)} s a step")
        check(self.work, {**arms, "in float32": list(precise.values())})
        command = shlex.join(["python", "bench/run.py", *sys.argv[1:]])
        return Finding(self.work, RECIPES[self.key], precise, arms, settings, trials, command)

    def tune(self, right: float) -> tuple[Settings, list[Trial]]:
        """TRL's best settings here, unless they were given."""
        if self.asked.tuned is not None:
            return self.asked.tuned, []
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        rows = self.work.rows_per_step
        return search(lambda s: self.trl_arm(0, s, timed=1), rows_per_step=rows, loss=right, free_bytes=free)

    def round(self, seed: int, settings: Settings) -> Iterator[tuple[str, Measured]]:
        """One of each arm."""
        yield "Luthier", self.luthier(seed, timed=self.steps)
        yield "TRL as it comes", self.trl_arm(seed, {}, timed=self.steps)
        yield "TRL tuned", self.trl_arm(seed, settings, timed=self.steps)

    def luthier(self, seed: int, *, timed: int, settings: Settings | None = None) -> Measured:
        """Our arm, in this environment."""
        found = self.arm(Path(sys.executable), "luthier_side.py", seed, settings or {}, timed, as_started=HEAP)
        if found.failed:
            raise SystemExit(f"({self.key}) Luthier: {found.failed}")
        return found

    def trl_arm(self, seed: int, settings: Settings, *, timed: int) -> Measured:
        """TRL's, in its own."""
        found = self.arm(self.trl, "trl_side.py", seed, settings, timed)
        took = found.failed or f"{found.timed[-1]:.2f} s a step, first loss {found.losses[0]:.4f}"
        say(f"({self.key}) TRL with {settings or 'its defaults'}: {took}")
        return found

    def arm(
        self,
        python: Path,
        script: str,
        seed: int,
        settings: Settings,
        timed: int,
        as_started: Mapping[str, str] = MappingProxyType({}),
    ) -> Measured:
        """Runs one process and reads the last line it prints. as_started: what its command puts in the environment."""
        asked = self.asked
        order = Order(self.path, self.model, timed, asked.warmup, seed, asked.threads, settings)
        quiet = {"OMP_NUM_THREADS": str(asked.threads), "TOKENIZERS_PARALLELISM": "false", "HF_HUB_OFFLINE": "1"}
        command = [str(python), str(HERE / script), *order.arguments()]
        try:
            done = subprocess.run(
                command,
                env={**os.environ, **quiet, **as_started},
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE_S,
            )
        except subprocess.TimeoutExpired:
            reason = f"stopped after {PATIENCE_S} s"
        else:
            if done.returncode == 0:
                return Measured.from_line(done.stdout.strip().splitlines()[-1])
            said = done.stderr.strip().splitlines() or ["no word"]
            last = next((line for line in reversed(said) if "Error" in line), said[-1])
            reason = f"exit {done.returncode}: {last}"[:300]
        return Measured(script, self.key, seed, 0, (), (), 0, 0.0, 0, "", "", {}, settings, failed=reason)


def check(work: Work, arms: dict[str, list[Measured]]) -> None:
    """Stops where the arms did not learn the same tokens from the same rows."""
    prints = {name: {found.fingerprint for found in runs} for name, runs in arms.items()}
    if len(set.union(*prints.values())) != 1:
        raise SystemExit(f"({work.key}) the arms trained on different tokens: {prints}")


def say(text: str) -> None:
    """Tells whoever waits."""
    print(text, flush=True)


if __name__ == "__main__":
    main()
