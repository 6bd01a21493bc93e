"""A byte tokenizer with a chat template, a two-layer random Llama, and examples to ask it."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from luthier.evaluate import Evaluation, Row, Task, evaluation
from luthier.model.accept import accept
from luthier.model.load import Model
from luthier.types import Completion, Example, Message

CHAT = (
    "{% for message in messages %}<|start|>{{ message.role }}\n{{ message.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|start|>assistant\n{% endif %}"
)


def tokenizer(template: str = CHAT) -> PreTrainedTokenizerFast:
    """One token a byte, two special ones."""
    alphabet = {letter: at for at, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    plain = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    found = PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="<|end|>", additional_special_tokens=["<|start|>"]
    )
    found.chat_template = template
    return found


def tiny_model(seed: int = 0, *, template: str = CHAT, max_length: int = 256) -> Model:
    """A random Llama that the forest engine accepts."""
    chat = tokenizer(template)
    config = LlamaConfig(
        vocab_size=len(chat),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=max_length,
        eos_token_id=chat.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LlamaForCausalLM(config)
    stop = frozenset(chat.encode("<|end|>"))
    model = Model(network, chat, "tiny", torch.device("cpu"), torch.float32, stop, max_length=max_length)
    accept(model)
    return model


def asked(id_: str, question: str, *texts: str, label: str | None = None, group: str | None = None) -> Example:
    """A question with its right answers."""
    completions = tuple(Completion((Message("assistant", text),)) for text in texts)
    prompt = (Message("system", "Answer briefly."), Message("user", question))
    return Example(id_, prompt, completions, label=label, group=group, references=texts[1:] and texts)


def labelled(id_: str, question: str, label: str) -> Example:
    """A question whose answer is a label."""
    return asked(id_, question, label, label=label)


def chosen(said: list[str], gold: list[str], *, groups: list[str] | None = None) -> Evaluation:
    """An evaluation of a choice without a model: what was said and what was right."""
    task = Task("choice", tuple(sorted({*said, *gold})), ("accuracy", "macro_f1"), "accuracy", 16)
    rows = [
        Row(
            f"t.csv:{at}", "?", (right,), right, groups[at] if groups else None, 2.0, text, -1.0, {"loss": 0.5 + at % 3}
        )
        for at, (text, right) in enumerate(zip(said, gold, strict=True))
    ]
    return evaluation(rows, task, resamples=500)


def folder_of(path: Path) -> list[str]:
    """Names of the files in a folder."""
    return sorted(entry.name for entry in path.iterdir())
