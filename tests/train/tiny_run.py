"""A real run, made small: a random two-layer Llama with dropout, trained in full on random rows in about a second.

Run as a program it is a server that forks one run a line read, so that a test can kill real processes without
waiting for imports: `{"folder": ..., "resume": ...}` in, its process id out; a second line in, its exit status out
once it has ended. Until then the id stays taken, so that killing it late hits nobody else.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from luthier.batch import pack, sum_by_sequence
from luthier.model.accept import accept
from luthier.model.forward import evaluating, forward
from luthier.model.load import Model
from luthier.objectives.sft import SFT
from luthier.train.log import StepRecord
from luthier.train.look import Look, Losses, losses
from luthier.train.loop import fit
from luthier.train.options import Hooks, TrainOptions
from luthier.train.result import TrainResult
from luthier.types import TokenSequence

VOCABULARY = 31
BEGINNING = [1, *range(3, 22)]
"""Long enough that computing it once is worth a branch."""
OPTIONS = TrainOptions(
    epochs=4,
    lr=3e-3,
    examples_per_step=4,
    token_budget=56,
    evaluations_per_epoch=2,
    evaluation_share=1.0,
    patience=None,
    save_every=2,
)


def tiny_model(seed: int = 0, *, dropout: float = 0.1) -> Model:
    """A two-layer random Llama in float32, dropout behind each feed-forward block where there is any."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LlamaForCausalLM(config)
    for layer in network.model.layers if dropout else ():
        layer.mlp = nn.Sequential(layer.mlp, nn.Dropout(dropout))
    words = {f"w{i}": i for i in range(VOCABULARY)}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(WordLevel(words, unk_token="w0")))
    model = Model(network, tokenizer, "tiny", torch.device("cpu"), torch.float32, frozenset({2}), max_length=128)
    accept(model)
    return model


def rows(count: int, *, seed: int = 0) -> list[TokenSequence]:
    """Random answers to prompts that share a beginning; the answer repeats a prompt token, so it can be learned."""
    draw = np.random.default_rng(seed)
    made = []
    for index in range(count):
        question = draw.integers(3, VOCABULARY, draw.integers(2, 5))
        tokens = np.concatenate((BEGINNING, question, [question[0], question[0], 2]))
        weight = np.zeros(len(tokens), np.float32)
        weight[-3:] = 1
        made.append(TokenSequence(tokens, weight, f"tiny:{index}", group=index))
    return made


def spent(model: Model, sequences: list[TokenSequence]) -> Losses:
    """What the network spends on each row, in evaluation mode."""
    batch = pack(sequences)
    with evaluating(model):
        each = sum_by_sequence(-forward(model, batch).logprobs * batch.weight, batch)
    nats = each.new_zeros(len(sequences)).index_add(0, batch.group, each)
    return losses(nats.tolist(), [float(one.weight.sum()) for one in sequences], [None] * len(sequences))


def hooks(
    model: Model,
    *,
    step: Callable[[StepRecord], None] | None = None,
    say: Callable[[str], None],
    learned: list[TokenSequence] | None = None,
    held_out: list[TokenSequence] | None = None,
) -> Hooks:
    """Hooks that save the weights as they are and judge by the loss on rows of their own."""
    held_out = held_out or rows(8, seed=1)

    def save(folder: Path) -> None:
        save_file(
            {name: p.detach().contiguous() for name, p in model.network.named_parameters()}, folder / "w.safetensors"
        )

    def restore(folder: Path) -> None:
        with torch.no_grad():
            for name, saved in load_file(folder / "w.safetensors").items():
                model.network.get_parameter(name).copy_(saved)

    def look(count: int) -> Look:
        found = spent(model, held_out[:count])
        return Look({"loss": found.mean}, found, spent(model, (learned or rows(22))[:count]))

    return Hooks(save, restore, look, look, rows=len(held_out), step=step, say=say)


def run(folder: Path, *, resume: bool = False, options: TrainOptions = OPTIONS, pause_s: float = 0.0) -> TrainResult:
    """One whole run from the model up, with a pause after each step."""
    model = tiny_model()
    calls = hooks(model, step=lambda record: time.sleep(pause_s), say=lambda sentence: None)
    return fit(model, rows(22), SFT(), options, folder=folder, hooks=calls, resume=resume)


def serve() -> None:
    """Forks a run for each line read; this process itself never computes, so its forks start clean."""
    importlib.import_module("torch._dynamo")  # the first optimizer step imports it, which takes seconds
    for line in sys.stdin:
        wanted = json.loads(line)
        child = os.fork()
        if child == 0:
            with ExitStack() as stack:
                stack.callback(os._exit, 1)
                run(Path(wanted["folder"]), resume=wanted["resume"], pause_s=0.004)
                os._exit(0)
        print(child, flush=True)
        sys.stdin.readline()
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    serve()
