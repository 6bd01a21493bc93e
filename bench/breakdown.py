"""Where a step of ours spends its time: `python bench/breakdown.py --work .bench/work/a.json ...`, flags of `Order`.

Every operator's own time goes to the innermost part of the network it ran in; a backward operator to the part whose
forward made it (autograd numbers both alike). What no operator accounts for is Python and dispatch. The last line is
the same as JSON.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable

import torch
from luthier_side import OPTIONS, micro_batches, opened, rendered
from torch import nn
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function
from work import CLIP, Order, Work

from luthier.objectives.sft import SFT
from luthier.train.optim import optimizer_of
from luthier.train.step import update

PARTS = {
    "LoRALinear": "linear",
    "LlamaRMSNorm": "norm",
    "RMSNorm": "norm",
    "LlamaRotaryEmbedding": "rotary, heads repeated and laid out",
    "LlamaAttention": "rotary, heads repeated and laid out",
    "LlamaMLP": "silu x up",
    "GatedMLP": "silu x up",
    "Embedding": "embedding",
    "LlamaDecoderLayer": "residual",
}
"""Module class -> what its operators are filed under, where no inner part claims them."""
INSIDE = {
    "LowRank": "linear",
    "_Cascade": "attention",
    "_Scored": "head",
    "_Settled": "head",
    "_Gated": "silu x up",
    "_Normed": "norm",
    "Optimizer.step": "optimizer and clipping",
    "packing": "packing",
}
"""Beginning of an operator's name -> the same."""
PRODUCTS = ("aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm", "aten::matmul", "aten::linear", "mkldnn")
COPIES = ("aten::copy_", "aten::_to_copy", "aten::to", "aten::clone", "aten::contiguous", "aten::cat")


def main() -> None:
    """Profiles the first step after the warm-up and prints the table."""
    order = Order.from_command_line()
    torch.set_num_threads(order.threads)
    work = Work.open(order.work)
    model = opened(order, full=work.full)
    sequences, optimizer = rendered(work, model), optimizer_of(model.network, OPTIONS)
    mark(model.network)

    def step(number: int) -> None:
        with record_function("packing"):
            batches = micro_batches(sequences[number * work.rows_per_step : (number + 1) * work.rows_per_step])
        update(model, SFT(), batches, optimizer, lr=work.lr, clip=CLIP)

    for number in range(order.warmup):
        step(number)
    began = time.process_time()
    step(order.warmup)
    busy = time.process_time() - began
    with profile(activities=[ProfilerActivity.CPU]) as found:
        step(order.warmup)
    report(shares(found.events() or []), busy * 1e6 / order.threads)


def mark(network: nn.Module) -> None:
    """Puts every module's forward under its class's name in the profile."""
    for module in network.modules():
        kind = type(module).__name__
        if kind in PARTS:
            plain = module.forward

            def forward(*given: object, kind: str = kind, plain: object = plain, **named: object) -> object:
                with record_function(f"part {kind}"):
                    return plain(*given, **named)  # type: ignore[operator]

            module.forward = forward


def shares(events: Iterable[FunctionEvent]) -> Counter[str]:
    """Microseconds of each kind of work."""
    listed = list(events)
    made = {e.sequence_nr: part(e) for e in listed if e.sequence_nr >= 0 and not backward(e)}
    spent: Counter[str] = Counter()
    for event in listed:
        if not event.name.startswith(("part ", "packing")):
            spent[kind(event, made)] += event.self_cpu_time_total
        elif event.name == "packing":
            spent["packing"] += event.self_cpu_time_total
    return spent


def ancestors(event: FunctionEvent) -> Iterable[FunctionEvent]:
    """The event and what it ran in, inside out."""
    at: FunctionEvent | None = event
    while at is not None:
        yield at
        at = at.cpu_parent


def backward(event: FunctionEvent) -> bool:
    """Whether it ran in the backward pass."""
    return any("evaluate_function" in outer.name or "Backward" in outer.name for outer in ancestors(event))


def part(event: FunctionEvent) -> str:
    """What of the network the event belongs to."""
    for outer in ancestors(event):
        named = outer.name.removeprefix("part ")
        if named in PARTS and named != outer.name:
            return PARTS[named]
        for begin, filed in INSIDE.items():
            if outer.name.startswith(begin):
                return filed
    return "other"


def kind(event: FunctionEvent, made: dict[int, str]) -> str:
    """Part, direction and, inside linear layers, attention and the head, which sort of operator."""
    is_backward = backward(event)
    filed = part(event)
    if filed == "other" and is_backward:
        numbers = [outer.sequence_nr for outer in ancestors(event) if outer.sequence_nr in made]
        filed = made[numbers[0]] if numbers else "gradient accumulation and other backward"
    if filed in ("linear", "head", "attention"):
        filed += ": " + sort(event.name)
    if filed.startswith(("optimizer", "packing", "other", "gradient")):
        return filed
    return f"{filed}, {'backward' if is_backward else 'forward'}"


def sort(name: str) -> str:
    """Flash kernels, matrix products, copies and casts, or the rest."""
    if "flash" in name:
        return "kernel"
    if name.startswith(PRODUCTS):
        return "products"
    return "copies and casts" if name.startswith(COPIES) else "elementwise and rest"


def report(spent: Counter[str], busy: float) -> None:
    """Prints the table; `busy` is what the same step took unprofiled, in microseconds of processor time."""
    total = sum(spent.values())
    print(f"unprofiled {busy / 1e6:.3f} s of processor time a thread; operators, profiled, {total / 1e6:.3f} s")
    for name, microseconds in spent.most_common():
        if microseconds / total > 0.002:
            print(f"{microseconds / 1e6:8.3f} s {microseconds / total:6.1%}  {name}")
    print(json.dumps({"busy_s": busy / 1e6, "parts": {name: spent_us / total for name, spent_us in spent.items()}}))


if __name__ == "__main__":
    main()
