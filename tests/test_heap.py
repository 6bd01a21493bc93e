"""The command starts itself once more with the heap that it wants, and lets one be that somebody chose."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from luthier import __main__ as way_in

pytestmark = pytest.mark.skipif(not way_in._glibc(), reason="the C library is not glibc")


class StartedError(Exception):
    """Stands in for the new program."""


def test_it_starts_itself_once_with_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[tuple[list[str], dict[str, str]]] = []

    def execve(path: str, words: list[str], environment: dict[str, str]) -> None:
        begun.append((words, environment))
        raise StartedError

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "luthier", "train", "a b.yaml"])
    monkeypatch.delenv("GLIBC_TUNABLES", raising=False)
    with pytest.raises(StartedError):
        way_in.main()
    ((words, environment),) = begun
    assert words == [sys.executable, "-m", "luthier", "train", "a b.yaml"]
    assert environment == {**os.environ, **way_in.HEAP}


def test_a_heap_that_was_chosen_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "execve", lambda *_: pytest.fail("it was chosen"))
    monkeypatch.setattr("luthier.cli.main", lambda: None)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.perturb=1")
    way_in.main()


def test_words_codes_and_streams_pass_through() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    done = subprocess.run(
        [sys.executable, "-m", "luthier", "train", "no such recipe.yaml"],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "no such recipe.yaml" in done.stderr
    assert done.stdout == ""


STEPS = """
import numpy as np, torch
from transformers import LlamaConfig, LlamaForCausalLM
from luthier.batch import pack
from luthier.methods.lora import LoRA
from luthier.model.accept import accept
from luthier.model.decoder import scored_tail
from luthier.model.gated import gate_mlps
from luthier.model.load import Model
from luthier.objectives.sft import SFT
from luthier.train.optim import optimizer_of
from luthier.train.options import TrainOptions
from luthier.train.step import update

def held():
    return int(next(line for line in open("/proc/self/status") if line.startswith("RssAnon")).split()[1])

torch.set_num_threads(1)
small = dict(vocab_size=64, hidden_size=192, intermediate_size=512, num_attention_heads=3, num_key_value_heads=1)
network = LlamaForCausalLM(LlamaConfig(**small, num_hidden_layers=16)).to(torch.bfloat16)
gate_mlps(network)
model = Model(network, None, "llama", torch.device("cpu"), torch.bfloat16, frozenset({2}), max_length=4096)
accept(model)
LoRA().attach(network, dtype=model.dtype)
network.train()
optimizer, draw, before = optimizer_of(network, TrainOptions()), np.random.default_rng(0), held()
for length in (900, 1000, 1100):
    update(model, SFT(), [pack([scored_tail(draw.integers(3, 60, length), 500)])], optimizer, lr=1e-4)
print(held() - before)
"""


@pytest.mark.slow
def test_a_step_holds_less_than_on_the_heap_as_it_comes() -> None:
    plain = {name: value for name, value in os.environ.items() if name != "GLIBC_TUNABLES"}
    least, usual = (
        int(subprocess.run([sys.executable, "-c", STEPS], env=env, capture_output=True, text=True, check=True).stdout)
        for env in ({**plain, **way_in.HEAP}, plain)
    )
    assert least < 0.85 * usual
