"""What one model does on the bundled texts: its answers to the general questions, and how well it reads.

Bytes, and not tokens, are what reading is measured by, so that models with other tokenizers compare.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from luthier.data.render import prompt_tokens
from luthier.evaluate.answer import write
from luthier.evaluate.forgetting.texts import Passage, Question, passages, questions
from luthier.evaluate.loss import losses
from luthier.evaluate.question import Progress
from luthier.evaluate.question import Question as Asked
from luthier.model.decoder import scored_tail
from luthier.model.forward import evaluating
from luthier.model.load import Model
from luthier.types import Completion, Example, Message, TokenSequence

MOST_TOKENS = 16
"""Of an answer to a general question."""


@dataclass(frozen=True, slots=True)
class Reading:
    """How well a passage was foreseen."""

    kind: str
    nats: float
    """Negative log-likelihood of the passage behind its text's beginning."""
    bytes: int
    """What it was summed over."""


def answers(model: Model, *, budget: int, progress: Progress) -> dict[str, str]:
    """Greedy answers to the general questions, by question; one that the model's context does not hold is left out."""
    asked = [_asked(one, chat_prompt(model, one.question)) for one in questions()]
    fit = [one for one in asked if len(one.prompt) + MOST_TOKENS <= model.max_length]
    with evaluating(model):
        said = write(model, fit, max_new_tokens=MOST_TOKENS, budget=budget, progress=progress)
    return {one.example.question: answer.text for one, answer in zip(fit, said, strict=True)}


def readings(model: Model, *, budget: int, progress: Progress) -> list[Reading]:
    """Every passage read, in the order of the texts; of one too long for the model, what its context holds."""
    parts = passages()
    tails = [_tail(model, part, at) for at, part in enumerate(parts)]
    asked = [Asked(_example(part.head), tail.tokens[:0], (tail,)) for part, tail in zip(parts, tails, strict=True)]
    with evaluating(model):
        lost = losses(model, asked, budget=budget, progress=progress)
    sizes = [_bytes(model, part, tail) for part, tail in zip(parts, tails, strict=True)]
    return [Reading(part.kind, loss.total, size) for part, loss, size in zip(parts, lost, sizes, strict=True)]


def work(model: Model) -> tuple[int, int]:
    """Tokens that `answers` and `readings` read, shared beginnings once, and tokens they may write."""
    asked = [chat_prompt(model, one.question) for one in questions()]
    read = sum(len(_tail(model, part, 0)) for part in passages())
    return read + sum(map(len, asked)) - common(asked) * (len(asked) - 1), MOST_TOKENS * len(asked)


def chat_prompt(model: Model, text: str) -> list[int]:
    """What answering a user's message starts from."""
    return prompt_tokens(_example(text), model.tokenizer)


def common(rows: Sequence[Sequence[int]]) -> int:
    """How many first tokens all rows share."""
    return next((at for at, column in enumerate(zip(*rows, strict=False)) if len(set(column)) > 1), min(map(len, rows)))


def _example(text: str) -> Example:
    return Example(text, (Message("user", text),), (Completion((Message("assistant", "-"),)),))


def _asked(question: Question, prompt: Sequence[int]) -> Asked:
    return Asked(_example(question.question), np.asarray(prompt, np.int64), ())


def _tail(model: Model, part: Passage, at: int) -> TokenSequence:
    """A passage's tokens, scored, behind its text's beginning."""
    head, own = (model.tokenizer.encode(text, add_special_tokens=False) for text in (part.head, part.text))
    kept = own[: max(0, model.max_length - len(head))]
    return scored_tail([*head, *kept], len(kept), group=at)


def _bytes(model: Model, part: Passage, tail: TokenSequence) -> int:
    own = tail.tokens[len(tail) - tail.supervised :].tolist()
    whole = len(own) == len(model.tokenizer.encode(part.text, add_special_tokens=False))
    return len((part.text if whole else str(model.tokenizer.decode(own))).encode())
