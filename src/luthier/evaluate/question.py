"""Examples made ready to ask: the prompt's tokens, and the reference answers' tokens behind it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from luthier.data.render import Rendered, prompt_tokens, render_all
from luthier.errors import DataError
from luthier.types import Example, TokenSequence

Ints: TypeAlias = NDArray[np.int64]

Progress: TypeAlias = Callable[[str, int, int], None]
"""Told (stage, rows done, rows in all) now and then; stages are `answers` and `loss`."""


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One example, rendered."""

    example: Example
    prompt: Ints
    """(p,) what answering starts from."""
    sequences: tuple[TokenSequence, ...]
    """Prompt with reference, one for each right completion in turn; their group is the question's place among all."""

    @property
    def reference(self) -> list[int]:
        """What follows the prompt in the first right completion, end of turn included."""
        tokens: list[int] = self.sequences[0].tokens[len(self.prompt) :].tolist() if self.sequences else []
        return tokens


def ask(examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, *, longest: int) -> list[Question]:
    """Renders every example, uncut; of a conversation only the last turn counts towards the loss.

    Raises DataError for a prompt that leaves no room for an answer within `longest` tokens.
    """
    right = [replace(one, completions=tuple(each for each in one.completions if each.score > 0)) for one in examples]
    rendered = render_all(right, tokenizer, max_length=None, learn="last")
    questions = [_question(one, rows, tokenizer) for one, rows in zip(examples, rendered, strict=True)]
    for question in questions:
        if len(question.prompt) >= longest:
            raise DataError(
                f"{question.example.id}: its prompt has {len(question.prompt)} tokens, and the model holds {longest}; "
                "leave the row out, shorten it, or raise max_length"
            )
    return questions


def _question(example: Example, rows: Sequence[Rendered], tokenizer: PreTrainedTokenizerBase) -> Question:
    start = rows[0].sequence.tokens[: rows[0].prompt] if rows else np.array(prompt_tokens(example, tokenizer))
    return Question(example, start, tuple(row.sequence for row in rows))
