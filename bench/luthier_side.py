"""Luthier's arm: the engine as `luthier train` uses it. One process, one line of JSON."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.metadata import version
from typing import Literal

import torch
from limit import rate
from work import ALPHA, BETAS, CLIP, EPS, LR, RANK, WEIGHT_DECAY, Measured, Order, Work, fingerprint, peak_bytes

from luthier.batch import Batch, cut, pack
from luthier.data.render import render_all
from luthier.methods.full import Full
from luthier.methods.lora import LoRA
from luthier.methods.method import Method
from luthier.model.accept import accept
from luthier.model.load import Model, ModelOptions, load
from luthier.objectives.sft import SFT
from luthier.train.optim import optimizer_of
from luthier.train.options import TrainOptions
from luthier.train.step import update
from luthier.types import Completion, Example, Message, TokenSequence

OPTIONS = TrainOptions(
    lr=LR, schedule="constant", warmup=0.0, weight_decay=WEIGHT_DECAY, betas=BETAS, eps=EPS, clip=CLIP
)


def main() -> None:
    """Measures what the command line orders."""
    order = Order.from_command_line()
    torch.set_num_threads(order.threads)
    work = Work.open(order.work)
    model = opened(order, full=work.full)
    sequences = rendered(work, model)
    taken = list(steps(model, work, sequences, order))
    peak = peak_bytes()
    micro = micro_batches(sequences[: work.rows_per_step])
    rows = sum(batch.distinct for batch in micro) // len(micro)
    found = Measured(
        arm="luthier",
        work=work.key,
        seed=order.seed,
        warmup=order.warmup,
        step_s=tuple(seconds for seconds, _ in taken),
        losses=tuple(loss for _, loss in taken),
        peak_bytes=peak,
        rate=rate(work.shape, rows=rows, dtype=model.dtype),
        rate_rows=rows,
        dtype=str(model.dtype).removeprefix("torch."),
        fingerprint=fingerprint((s.tokens.tolist(), s.weight.nonzero()[0].tolist()) for s in sequences),
        versions={name: version(name) for name in ("luthier", "torch", "transformers")},
        settings={"shared": model.shared, "micro-batches": len(micro)},
    )
    print(found.line())


def opened(order: Order, *, full: bool = False) -> Model:
    """The model, its sharing decided, with LoRA on every linear layer, or everything learning."""
    dtype: Literal["float32", "auto"] = "float32" if order.settings.get("dtype") == "float32" else "auto"
    model = load(ModelOptions(str(order.model), dtype=dtype), masters=full)
    accept(model)
    method: Method = Full() if full else LoRA(rank=RANK, alpha=ALPHA)
    method.attach(model.network, dtype=model.dtype, seed=order.seed)
    model.network.train()
    return model


def rendered(work: Work, model: Model) -> list[TokenSequence]:
    """The work's rows as tokens, in its order."""
    examples = [
        Example(
            id=row.id,
            prompt=tuple(Message(role, content) for role, content in row.turns),
            completions=(Completion((Message("assistant", row.answer),)),),
        )
        for row in work.rows
    ]
    return [row[0].sequence for row in render_all(examples, model.tokenizer, max_length=None)]


def micro_batches(rows: list[TokenSequence]) -> list[Batch]:
    """One step's rows, cut and packed as the loader does."""
    return [pack(part) for part in cut(rows, budget=OPTIONS.token_budget)]


def steps(model: Model, work: Work, sequences: list[TokenSequence], order: Order) -> Iterator[tuple[float, float]]:
    """Seconds and loss of each step; packing is on the clock."""
    optimizer = optimizer_of(model.network, OPTIONS)
    for step in range(order.warmup + order.steps):
        began = time.perf_counter()
        batches = micro_batches(sequences[step * work.rows_per_step : (step + 1) * work.rows_per_step])
        came = update(model, SFT(), batches, optimizer, lr=work.lr, clip=CLIP)
        yield time.perf_counter() - began, came.loss


if __name__ == "__main__":
    main()
