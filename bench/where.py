"""`python bench/where.py`: where a step of ours spends its time, part by part, beside what the useful products take.

Profiles one step of each work in a process of its own (`breakdown.py`). Profiling slows small operators down more than
large ones, so the shares of small ones are upper bounds. Writes docs/benchmarks.md.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import marked
from environment import machine
from limit import flops
from prepare import RECIPES, model_folder, prepare
from work import Order, Work

HERE = Path(__file__).parent
ROOT = HERE.parent
SCRATCH = ROOT / ".bench"
PAGE = ROOT / "docs" / "benchmarks.md"
SCRIPT = "bench/where.py"
PARTS = {
    "products of the linear layers": ("linear: products",),
    "the rest of the linear layers: copies, the adapters' gradients": ("linear",),
    "attention kernels": ("attention: kernel",),
    "the rest of attention: laying out and merging its parts": ("attention",),
    "the vocabulary": ("head",),
    "norms, rotary tables, silu, residuals": ("norm", "rotary", "silu", "residual"),
    "optimizer, packing, embeddings, the rest": ("",),
}
"""What a reader is told -> beginnings of what `breakdown` calls it; the first that fits."""

say = partial(print, flush=True)


def main() -> None:
    """Profiles every work and writes the page."""
    asked = arguments()
    here, model = machine(), model_folder(asked.model)
    found: dict[str, tuple[dict[str, float], dict[str, float]]] = {}
    for key in asked.works:
        path = SCRATCH / "work" / f"where-{key}.json"
        work = prepare(key, data=asked.data, model=model, steps=2)
        work.save(path)
        order = Order(path, model, steps=1, warmup=1, seed=0, threads=asked.threads)
        found[key] = grouped(profiled(order)), useful(work)
        say(f"({key}) profiled")
    command = shlex.join(["python", SCRIPT, *sys.argv[1:]])
    head = f"`{command}` on {here.processor}, {asked.threads} threads; load before the run {here.load:.1f}."
    marked.write(PAGE, [head, "", *page(found)], script=SCRIPT)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    data = Path(os.environ.get("LUTHIER_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=data, help="folder with banking77/ and gsm8k/")
    parser.add_argument("--model", default="smollm2-135m", help="alias, GGUF file or folder")
    parser.add_argument("--works", nargs="+", choices=list(RECIPES), default=["a", "b", "c"])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    return parser.parse_args()


def profiled(order: Order) -> dict[str, float]:
    """Each part's share of one step, as `breakdown` names it."""
    done = subprocess.run(
        [sys.executable, str(HERE / "breakdown.py"), *order.arguments()], capture_output=True, text=True, check=True
    )
    parts: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])["parts"]
    return parts


def grouped(parts: dict[str, float]) -> dict[str, float]:
    """The same by what a reader is told; adds up to what it was."""
    found = dict.fromkeys(PARTS, 0.0)
    for name, share in parts.items():
        found[next(told for told, begins in PARTS.items() if name.startswith(begins))] += share
    return found


def useful(work: Work) -> dict[str, float]:
    """Of the multiplications that a step cannot leave out, the share of each part that has some."""
    counts = work.counts[1]
    whole = flops(work.shape, counts, rank=work.rank)
    attention = whole - flops(work.shape, replace(counts, seen=0), rank=work.rank)
    head = whole - flops(work.shape, replace(counts, scored=0), rank=work.rank)
    linear, kernels, vocabulary = "products of the linear layers", "attention kernels", "the vocabulary"
    return {
        linear: 1 - (attention + head) / whole,
        kernels: attention / whole,
        vocabulary: head / whole,
    }


def page(found: dict[str, tuple[dict[str, float], dict[str, float]]]) -> list[str]:
    """The generated part, line by line."""
    heads = [text for key in found for text in (f"({key}) of the step", "of what is needed")]
    lines = [marked.row("", *heads), marked.row(*["---"] * (1 + len(heads)))]
    for part in PARTS:
        cells = [text for spent, needed in found.values() for text in (f"{spent[part]:.0%}", _share(needed.get(part)))]
        lines.append(marked.row(part, *cells))
    return lines


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


if __name__ == "__main__":
    main()
