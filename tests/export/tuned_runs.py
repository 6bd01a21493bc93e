"""Run folders as training leaves them, made small: a random base with a byte tokenizer, moved off its start."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import torch
import yaml
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
)

from luthier.methods import LoRA, Method, methods, save
from luthier.model.load import Model, ModelOptions
from luthier.train.checkpoint import Checkpoints
from luthier.types import Completion, Example, Message

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STEP = 20


def tokenizer(template: str | None = CHATML) -> PreTrainedTokenizerFast:
    """One token a byte and three special ones; end of text is not the end of a turn, as in many chat models."""
    alphabet = {letter: at for at, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    plain = Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    plain.decoder = decoders.ByteLevel()
    found = PreTrainedTokenizerFast(
        tokenizer_object=plain, eos_token="<|end|>", additional_special_tokens=["<|im_start|>", "<|im_end|>"]
    )
    found.chat_template = template
    return found


def config(family: str) -> PretrainedConfig:
    """A two-layer network; the vocabulary is the tokenizer's."""
    size = len(tokenizer())
    ends = {"vocab_size": size, "bos_token_id": None, "eos_token_id": tokenizer().eos_token_id}
    if family == "gpt2":
        return GPT2Config(**ends, n_embd=32, n_layer=2, n_head=2, n_positions=192, attn_pdrop=0.0)
    kind = Qwen2Config if family == "qwen2" else LlamaConfig
    return kind(
        **ends,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=192,
        tie_word_embeddings=True,
    )


def write_base(folder: Path, *, family: str = "llama", dtype: str = "bfloat16", template: str | None = CHATML) -> Path:
    """A base in the Hugging Face layout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        network: PreTrainedModel = AutoModelForCausalLM.from_config(config(family), dtype=torch.float32)
        # Larger than the usual 0.02, so that attention and what was learned matter to the answers.
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, mean=float(parameter.dim() == 1), std=0.1 if parameter.dim() == 1 else 0.2)
    network.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer(template).save_pretrained(folder)
    return folder


def write_run(
    folder: Path, base: Path, method: Method, *, with_tokenizer: bool = True, best: bool = True, rows: int = 6
) -> Path:
    """A run folder of a method on a base, as if it had been trained: what learns is moved at random."""
    folder.mkdir()
    network, shown = tuned_network(base, method), tokenizer(written_template(base))

    def write(checkpoint: Path) -> None:
        save(network, method, checkpoint)
        if with_tokenizer:
            shown.save_pretrained(checkpoint)
        (checkpoint / "optimizer.safetensors").write_bytes(b"moments")
        (checkpoint / "state.json").write_text("{}")

    Checkpoints(folder).save(STEP, write, best=STEP if best else None)
    name = next(key for key, kind in methods.items() if isinstance(method, kind))
    model = asdict(ModelOptions(name=str(base), dtype="float32", device="cpu"))
    recipe = {"data": {"system": "Answer briefly."}, "model": model, "method": {"name": name, **plain(method)}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    lines = [json.dumps(prediction(at)) for at in range(rows)]
    (folder / "predictions.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def tuned_network(base: Path, method: Method, *, size: float = 0.05) -> PreTrainedModel:
    """The base with the method on it and what learns moved, the same at every call."""
    network: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    method.attach(network, dtype=torch.float32, seed=1)
    draw = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in method.trainable(network).values():
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=size)
    return network.eval()


def written_template(base: Path) -> str | None:
    """The template that a base folder carries."""
    file = base / "chat_template.jinja"
    return file.read_text() if file.exists() else None


def plain(method: Method) -> dict[str, object]:
    """A method's fields as a recipe has them."""
    assert isinstance(method, tuple(methods.values()))
    return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(method).items()}


def prediction(at: int) -> dict[str, object]:
    """A line of predictions.jsonl."""
    said = {"text": "no", "logprob": None, "scores": {"exact": 0.0}}
    reference = [f"answer {at * 7 % 5}"]
    return {
        "id": f"t.csv:{at + 2}",
        "split": "test",
        "question": f"What is row {at}? " + "please " * (at % 3),
        "reference": reference,
        "label": None,
        "group": None,
        "tokens": 9.0,
        "base": said,
        "tuned": said,
    }


def asked(question: str, answer: str) -> Example:
    """A question and its answer."""
    return Example("t:1", (Message("user", question),), (Completion((Message("assistant", answer),)),))


def lora() -> LoRA:
    """An adapter on every linear layer."""
    return LoRA(rank=4, alpha=16)


def logits(network: torch.nn.Module, text: str = "<|im_start|>user\nWhat?<|im_end|>\n") -> torch.Tensor:
    """(l, v) of a text, in float32, from the network called as transformers calls it."""
    ids = torch.tensor([tokenizer().encode(text)])
    with torch.no_grad():
        found: torch.Tensor = network(input_ids=ids, use_cache=False).logits[0].float()
    return found


def unshared(model: Model) -> torch.nn.Module:
    """A model's network with transformers' own attention again, so that it can be called alone."""
    model.network.set_attn_implementation("sdpa")
    return model.network
