"""Is one forward for the adapters of several tasks worth it? Forward and backward of their steps, apart and in one.

    python bench/several.py [--adapters 2] [--rows 8] [--repeats 5]

Processor time on one thread, so that a busy machine tells the same; the first repeat warms up and is left out. Prints
JSON: the times of each repeat, and the ratio with the span of its repeats. The network is SmolLM2-135M with random
tokens: what is measured is arithmetic.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from luthier.batch import pack
from luthier.methods import LoRA
from luthier.methods.several import as_opened, made, several, wearing
from luthier.model.accept import open_model
from luthier.model.forward import forward
from luthier.model.load import Model, ModelOptions
from luthier.types import TokenSequence


def rows(adapter: int, count: int) -> list[TokenSequence]:
    """A task's step: rows of one beginning of 40 tokens and 20 of their own, of which the last 5 are learned."""
    draw = np.random.default_rng(adapter)
    stem = draw.integers(0, 4000, 40)
    weight = np.r_[np.zeros(55), np.ones(5)].astype(np.float32)
    return [
        TokenSequence(np.r_[stem, draw.integers(0, 4000, 20)], weight, f"{adapter}:{i}", group=i, adapter=adapter)
        for i in range(count)
    ]


def step(model: Model, batch: Sequence[TokenSequence]) -> float:
    """Seconds of processor time for a forward and a backward."""
    began = time.process_time()
    forward(model, pack(batch)).logprobs.sum().backward()
    return time.process_time() - began


def main() -> None:
    """Measures apart and together in turn."""
    asked = argparse.ArgumentParser()
    for name, value in (("adapters", 2), ("rows", 8), ("repeats", 5)):
        asked.add_argument(f"--{name}", type=int, default=value)
    said = asked.parse_args()
    torch.set_num_threads(1)
    model = open_model(ModelOptions())
    model.network.train()
    adapters = [made(model.network, LoRA(), dtype=model.dtype, seed=seed) for seed in range(said.adapters)]
    steps = [rows(adapter, said.rows) for adapter in range(said.adapters)]
    apart, together = [], []
    for _ in range(said.repeats + 1):
        total = 0.0
        for adapter, own in zip(adapters, steps, strict=True):
            with wearing(model.network, adapter):
                total += step(model, [replace(row, adapter=0) for row in own])
        apart.append(total)
        with as_opened(model.network):
            joined = replace(model, routing=several(model.network, adapters))
            together.append(step(joined, [row for own in steps for row in own]))
    ratios = [one / other for one, other in zip(apart[1:], together[1:], strict=True)]
    tokens = sum(pack(own).distinct for own in steps)
    told = {"apart_s": apart[1:], "together_s": together[1:], "times_faster": float(np.median(ratios))}
    print(
        json.dumps(
            {**vars(said), "dtype": str(model.dtype), "tokens": tokens, **told, "span": [min(ratios), max(ratios)]}
        )
    )


if __name__ == "__main__":
    main()
