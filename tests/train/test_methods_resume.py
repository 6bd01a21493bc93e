"""The loop with the methods' own store: a resumed run of each method ends with the bits of one never stopped."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_run import OPTIONS, hooks, rows, tiny_model

from luthier.methods import (
    IA3,
    BitFit,
    Bottleneck,
    Freeze,
    Full,
    LoRA,
    Method,
    Peft,
    PrefixTuning,
    PromptTuning,
    restore,
    save,
)
from luthier.objectives.sft import SFT
from luthier.train.log import StepRecord
from luthier.train.loop import fit


def weights(folder: Path, method: Method, *, stop_at: int | None, resume: bool = False) -> dict[str, torch.Tensor]:
    """What the network's parameters are after a run in this folder, asked to stop after a step."""
    model = tiny_model(dropout=0.0)
    method.attach(model.network, dtype=torch.float32)

    def step(record: StepRecord) -> None:
        if record.step == stop_at:
            os.kill(os.getpid(), signal.SIGINT)

    calls = replace(
        hooks(model, step=step, say=lambda sentence: None),
        save_weights=lambda to: save(model.network, method, to),
        restore_weights=lambda of: restore(model.network, of),
    )
    options, rates = replace(OPTIONS, epochs=2), method.rates(model.network)
    fit(model, rows(22), SFT(), options, folder=folder, hooks=calls, resume=resume, rates=rates)
    return {name: value.detach().clone() for name, value in everything(model.network)}


def everything(network: torch.nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Parameters, and what a method keeps beside them."""
    return [*network.named_parameters(), *network.named_buffers()]


@pytest.mark.parametrize(
    "method",
    [
        LoRA(rank=4, dropout=0.1),
        LoRA(rank=4, dora=True, plus=16, ranks={"q_proj": 2}),
        LoRA(rank=4, dora=True, init="pissa", rslora=True),
        Peft("LOHA", {"r": 2, "target_modules": ["q_proj"]}),
        Full(),
        Freeze(layers=1),
        Full(decay=0.5, unfreeze=0.6),
        Bottleneck(width=3, placement="houlsby"),
        IA3(),
        BitFit(),
        PrefixTuning(tokens=3),
        PromptTuning(tokens=3),
    ],
    ids=str,
)
def test_a_method_resumed_from_its_own_files_ends_with_the_same_bits(tmp_path: Path, method: Method) -> None:
    whole = weights(tmp_path / "whole", method, stop_at=None)
    weights(tmp_path / "cut", method, stop_at=5)
    resumed = weights(tmp_path / "cut", method, stop_at=None, resume=True)
    assert {name for name in whole if not torch.equal(whole[name], resumed[name])} == set()
    moments = [(tmp_path / run / "last" / "optimizer.safetensors").read_bytes() for run in ("whole", "cut")]
    assert moments[0] == moments[1]


def test_layers_join_from_the_top_and_stay_to_the_bit_until_then(tmp_path: Path) -> None:
    method = Full(unfreeze=0.6)
    start = {name: value.detach().clone() for name, value in everything(tiny_model(dropout=0.0).network)}
    for stop, moved in ((4, {"1"}), (8, {"0", "1"})):  # of 12 steps: layers join at 0 and 0.3 of the run
        after = weights(tmp_path / str(stop), method, stop_at=stop)
        changed = [name for name in start if not torch.equal(after[name], start[name])]
        assert {name.split(".")[2] for name in changed if ".layers." in name} == moved
        assert "model.embed_tokens.weight" not in changed
    whole = weights(tmp_path / "whole", method, stop_at=None)
    assert not torch.equal(whole["model.embed_tokens.weight"], start["model.embed_tokens.weight"])
