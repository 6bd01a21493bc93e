"""The loop with the methods' own store: a resumed run of each method ends with the bits of one never stopped."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_run import OPTIONS, hooks, rows, tiny_model

from luthier.methods import Freeze, Full, LoRA, Method, Peft, restore, save
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
    fit(
        model,
        rows(22),
        SFT(),
        replace(OPTIONS, epochs=2),
        folder=folder,
        hooks=calls,
        resume=resume,
        rates=method.rates(model.network),
    )
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
    ],
    ids=["lora", "dora plus ranks", "pissa dora rslora", "peft", "full", "freeze"],
)
def test_a_method_resumed_from_its_own_files_ends_with_the_same_bits(tmp_path: Path, method: Method) -> None:
    whole = weights(tmp_path / "whole", method, stop_at=None)
    weights(tmp_path / "cut", method, stop_at=5)
    resumed = weights(tmp_path / "cut", method, stop_at=None, resume=True)
    assert {name for name in whole if not torch.equal(whole[name], resumed[name])} == set()
    moments = [(tmp_path / run / "last" / "optimizer.safetensors").read_bytes() for run in ("whole", "cut")]
    assert moments[0] == moments[1]
