"""Tokenizers of a few hundred tokens, trained in memory, with chat templates in the manner of well-known families."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from luthier.types import Completion, Example, Message

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA3 = (
    "{{ bos_token }}{% for message in messages %}<|head|>{{ message.role }}<|/head|>\n\n{{ message.content | trim }}"
    "<|eot|>{% endfor %}{% if add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
)
GEMMA = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}<turn>"
    "{{ 'model' if message.role == 'assistant' else message.role }}\n{{ message.content | trim }}</turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<turn>model\n{% endif %}"
)
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if message.role == 'user' %}[INST] {% if loop.last and "
    "messages[0].role == 'system' %}{{ messages[0].content }}\n\n{% endif %}{{ message.content }} [/INST]"
    "{% elif message.role == 'assistant' %} {{ message.content }}{{ eos_token }}{% endif %}{% endfor %}"
)
THINK = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% if message.role == 'assistant' and loop.last %}"
    "<think>\n{{ message.reasoning_content or '' }}\n</think>\n\n{% endif %}{{ message.content }}"
    "{% for call in message.tool_calls or [] %}\n<tool_call>\n{{ call.function | tojson }}\n</tool_call>{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINK_BEGUN = THINK.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n<think>\n{% endif %}")
THINK_CLOSED = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n\n</think>\n\n{% endif %}")
THINK_DROPPED = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
BARE = (
    "{% for message in messages %}{% if message.role == 'user' %}### Ask:\n{{ message.content }}\n\n"
    "{% elif message.role == 'assistant' %}### Answer:\n{{ message.content }}\n\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}### Answer:\n{% endif %}"
)
UNENDED = CHATML.replace("<|im_end|>", "(the end)")

CONSISTENT = {
    "chatml": CHATML,
    "llama3": LLAMA3,
    "gemma": GEMMA,
    "mistral": MISTRAL,
    "think": THINK,
    "think begun": THINK_BEGUN,
    "think closed": THINK_CLOSED,
    "bare": BARE,
    "default": "",
}
"""Templates under which training can look as serving does; "default" stands for none."""

_SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|head|>", "<|/head|>", "<|eot|>", "<turn>", "</turn>"]
_LINES = ["How do I reset my card? The card is lost.", "Hello there, the answer is 42.", "one two three four\n\n"]


def tiny(template: str, *, kind: str = "bytes") -> PreTrainedTokenizerBase:
    """A tokenizer with a template; `kind` is bytes (as GPT-2) or words (as SentencePiece)."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(_trained(kind)), bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    if template:
        tokenizer.chat_template = template
    return tokenizer


def stops(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """What generation stops on: any token that ends a turn in the templates above."""
    vocabulary = tokenizer.get_vocab()
    return frozenset(vocabulary[name] for name in ("</s>", "<|im_end|>", "<|eot|>", "</turn>"))


def dialogue(*said: str, system: str | None = None, name: str = "t.csv:2") -> Example:
    """Turns of user and assistant by turns, the last being the completion."""
    turns = [Message("user" if place % 2 == 0 else "assistant", text) for place, text in enumerate(said)]
    before: Sequence[Message] = [Message("system", system)] if system else []
    return Example(name, (*before, *turns[:-1]), (Completion((turns[-1],)),))


@cache
def _trained(kind: str) -> str:
    tokenizer = Tokenizer(models.BPE(byte_fallback=kind == "words"))
    if kind == "bytes":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet, special = pre_tokenizers.ByteLevel.alphabet(), _SPECIAL
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        alphabet, special = list(map(chr, range(33, 127))), [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=800, special_tokens=special, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(_LINES * 3, trainer)
    return tokenizer.to_str()
