"""The loop that newcomers read does what it says."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "export"))
from tuned_runs import write_base


def example() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "loop.py"
    spec = importlib.util.spec_from_file_location("example_loop", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_returns_one_loss_a_step_however_the_step_is_cut(tmp_path: Path) -> None:
    base = str(write_base(tmp_path / "base", dtype="float32"))
    found = []
    for budget in (100_000, 200):
        torch.manual_seed(0)
        found.append(example().main(rows=7, per_step=3, budget=budget, model_name=base))
    assert len(found[0]) == 3
    assert found[0] == pytest.approx(found[1], rel=1e-3)
