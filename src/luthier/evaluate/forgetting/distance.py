"""How far a tuned model went from its base: KL(base || tuned) at each token of general prompts and of the base's text.

The first kind of text is what people write, the second what the base itself would say; a model that keeps to the base
on both is the base for all that anyone will see. Tokens of the chat template are not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from luthier.batch import Batch, cut, pack
from luthier.evaluate.forgetting.measure import chat_prompt, common, work
from luthier.evaluate.forgetting.texts import prompts
from luthier.evaluate.question import Progress
from luthier.model.decoder import scored_tail
from luthier.model.divergence import Reference, divergence
from luthier.model.forward import evaluating
from luthier.model.generate import generate
from luthier.model.load import Model
from luthier.types import TokenSequence

SAMPLED = 15
"""Prompts that the base answers at temperature 1, for text of its own."""
SAMPLED_TOKENS = 32
"""Of each answer."""
SEED = 7

BaseSide: TypeAlias = Callable[[Batch], Reference]
"""Computes the base's side of a batch (`luthier.model.divergence.reference`)."""


@dataclass(frozen=True, slots=True)
class Drift:
    """One text, and how far the tuned model went from the base over it."""

    kind: Literal["prompts", "own"]
    prompt: int
    """Which of the bundled prompts."""
    nats: float
    """Summed over the tokens."""
    tokens: int


def sample_base(model: Model) -> dict[int, list[int]]:
    """What the base says to every fourth prompt, drawn at temperature 1 from a fixed seed: prompt -> tokens."""
    chosen = list(range(0, len(prompts()), len(prompts()) // SAMPLED))
    asked = {at: chat_prompt(model, prompts()[at]) for at in chosen}
    fit = {at: prompt for at, prompt in asked.items() if len(prompt) + SAMPLED_TOKENS <= model.max_length}
    said = generate(model, list(fit.values()), max_new_tokens=SAMPLED_TOKENS, temperature=1.0, seed=SEED)
    return {at: one.tokens for at, one in zip(fit, said, strict=True) if one.tokens}


def drift(
    model: Model, sampled: dict[int, list[int]], base: BaseSide, *, budget: int, progress: Progress
) -> list[Drift]:
    """The divergence over every prompt, and over every text that the base sampled, in packed batches."""
    texts = _texts(model, sampled)
    sequences = [sequence for _, _, sequence in texts]
    spent = np.zeros(len(texts))
    done = 0
    with evaluating(model):
        for members in cut(sequences, budget=budget):
            batch = pack(members).to(model.device)
            nats = divergence(model, batch, base(batch)).double() * batch.weight
            np.add.at(spent, batch.group[batch.sequence].cpu().numpy(), nats.cpu().numpy())
            done += len(members)
            progress("divergence", done, len(texts))
    return [
        Drift(kind, prompt, float(nats), sequence.supervised)
        for (kind, prompt, sequence), nats in zip(texts, spent, strict=True)
    ]


def tokens_of_forgetting(model: Model) -> tuple[int, int]:
    """Tokens that are read and written when base and tuned model are measured, shared beginnings counted once."""
    read, written = work(model)
    asked = [chat_prompt(model, text) for text in prompts()]
    own = SAMPLED * SAMPLED_TOKENS
    return 2 * (read + sum(map(len, asked)) - common(asked) * (len(asked) - 1) + own), 2 * written + own


def _texts(model: Model, sampled: dict[int, list[int]]) -> list[tuple[Literal["prompts", "own"], int, TokenSequence]]:
    """Every text with its scored tokens; those the model's context does not hold are left out."""
    asked = [chat_prompt(model, text) for text in prompts()]
    before, after = common(asked), common([prompt[::-1] for prompt in asked])
    found: list[tuple[Literal["prompts", "own"], int, Sequence[int], int]] = [
        ("prompts", at, prompt[: len(prompt) - after], len(prompt) - after - before) for at, prompt in enumerate(asked)
    ]
    found += [("own", at, [*asked[at], *tokens], len(tokens)) for at, tokens in sampled.items()]
    fit = [one for one in found if len(one[2]) <= model.max_length]
    return [(kind, at, scored_tail(tokens, n, group=place)) for place, (kind, at, tokens, n) in enumerate(fit)]
