"""The three works, made once by Luthier's own reader and written as text that both sides read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from limit import Counts, Shape
from transformers import PreTrainedTokenizerBase
from work import Row, Work

from luthier.batch import Batch, pack
from luthier.data.read import ReadOptions, read
from luthier.data.render import render_all
from luthier.methods.lora import adaptable
from luthier.model.find import find
from luthier.model.gguf import converted
from luthier.model.load import Model, ModelOptions, load
from luthier.types import Example


@dataclass(frozen=True, slots=True)
class Recipe:
    """Where a work's rows come from, and the bars it is held to."""

    title: str
    file: str
    options: ReadOptions
    rows_per_step: int
    times_faster: float
    """Bar: seconds a step of TRL as it comes over ours."""
    times_tuned: float | None = None
    """Bar: the same of TRL tuned."""
    share_of_memory: float | None = None
    """Bar: our peak memory over that of TRL as it comes."""
    share_of_peak: float | None = None
    """Bar: T_min / T."""
    full: bool = False
    """Whether every weight learns."""


RECIPES = {
    "a": Recipe(
        "banking77, all 77 intents in the instruction",
        "banking77/train.csv",
        ReadOptions(
            input="text",
            output="category",
            instruction="Which of these intents does the customer's message have? Answer with the intent.\n{labels}",
        ),
        rows_per_step=32,
        times_faster=25.0,
        times_tuned=15.0,
        share_of_memory=0.25,
        share_of_peak=0.18,
    ),
    "b": Recipe(
        "banking77, one-line instruction",
        "banking77/train.csv",
        ReadOptions(input="text", output="category", instruction="Name the intent of this bank customer's message."),
        rows_per_step=16,
        times_faster=4.0,
        times_tuned=3.0,
        share_of_memory=0.5,
        share_of_peak=0.18,
    ),
    "c": Recipe(
        "GSM8K, the whole worked answer learned",
        "gsm8k/train.jsonl",
        ReadOptions(input="question", output="answer"),
        rows_per_step=16,
        times_faster=4.0,
        times_tuned=3.0,
        share_of_memory=0.5,
        share_of_peak=0.18,
    ),
}
RECIPES["d"] = replace(
    RECIPES["b"], title="banking77, one-line instruction, every weight learned", full=True, times_faster=2.5,
    times_tuned=None, share_of_memory=None, share_of_peak=None,
)  # fmt: skip
RECIPES["e"] = replace(RECIPES["d"], title="GSM8K, every weight learned", file=RECIPES["c"].file,
                       options=RECIPES["c"].options)  # fmt: skip

ORDER_SEED = 0
"""Both sides take the rows in the one order this draws."""


def model_folder(name: str) -> Path:
    """The folder both sides load; an alias is converted on its first use."""
    place = find(name)
    if place.path is None:
        raise SystemExit(f"{name}: give an alias, a GGUF file or a local folder; the benchmark asks no network")
    return converted(place.path) if place.is_gguf else place.path


def prepare(key: str, *, data: Path, model: Path, steps: int) -> Work:
    """Reads, draws and renders the rows of `steps` steps, and counts what each step holds."""
    recipe = RECIPES[key]
    opened = load(ModelOptions(str(model)))
    examples = read(str(data / recipe.file), recipe.options).examples
    order = np.random.default_rng(ORDER_SEED).permutation(len(examples))[: steps * recipe.rows_per_step]
    return work_of(key, [examples[i] for i in order], opened)


def work_of(key: str, chosen: list[Example], opened: Model) -> Work:
    """Renders the rows of a work in the order given, and counts what each step holds."""
    recipe = RECIPES[key]
    sequences = [row[0].sequence for row in render_all(chosen, opened.tokenizer, max_length=None)]
    parts = [sequences[i : i + recipe.rows_per_step] for i in range(0, len(sequences), recipe.rows_per_step)]
    rows = tuple(_row(example, opened.tokenizer) for example in chosen)
    return Work(
        key,
        recipe.title,
        recipe.rows_per_step,
        rows,
        tuple(counts_of(pack(part)) for part in parts),
        shape_of(opened),
        recipe.full,
    )


def _row(example: Example, tokenizer: PreTrainedTokenizerBase) -> Row:
    turns = tuple((message.role, message.content) for message in example.prompt)
    written = [{"role": role, "content": content} for role, content in turns]
    prompt = str(tokenizer.apply_chat_template(written, tokenize=False, add_generation_prompt=True))
    return Row(example.id, prompt, example.answer, turns)


def counts_of(batch: Batch) -> Counts:
    """What a step of this batch holds."""
    return Counts(
        distinct=batch.distinct,
        logical=batch.logical,
        seen=int((batch.depth + 1).sum()),
        scored=len(batch.parent[batch.target].unique()),
        supervised=len(batch.target),
    )


def shape_of(model: Model) -> Shape:
    """What of the network decides the work of one token."""
    config = model.network.config.get_text_config()
    linears = {path: layer for path, layer in adaptable(model.network).items() if isinstance(layer, torch.nn.Linear)}
    sizes = {path: (layer.in_features, layer.out_features) for path, layer in linears.items()}
    return Shape(
        layers=config.num_hidden_layers,
        heads=config.num_attention_heads,
        head_width=getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads,
        width=config.hidden_size,
        vocabulary=config.vocab_size,
        linears=tuple(sizes.values()),
        lowest=tuple(
            size
            for path, size in sizes.items()
            if ".layers.0." in path and path.endswith(("q_proj", "k_proj", "v_proj"))
        ),
    )
