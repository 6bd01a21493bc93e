"""Examples to tokens and weights, by the tokenizer's own chat template, so that training looks as serving does.

The text is tokenised whole, and the tokens that generation starts from are its beginning; where a token would straddle
the end of the prompt, prompt and answer are tokenised apart, as generation does. The sequence stops with the token that
ends the last turn. An earlier turn that is learned stands after the same text as when it was served; its tokens are
those of the whole, so white space just before it may be divided otherwise. Nothing is cut without being said:
`Rendered.cut` counts the learned tokens that did not fit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

import numpy as np
from transformers import PreTrainedTokenizerBase

from luthier.data.align import Aligned, Aligner
from luthier.data.layout import Layout, Learn, Span, lay_out
from luthier.data.template import Chat
from luthier.errors import GateError
from luthier.types import Completion, Example, Message, TokenSequence

_AT_ONCE: Final = 512


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """One completion as tokens, and what was lost of it."""

    sequence: TokenSequence
    prompt: int
    """How many of the tokens generation would start from."""
    cut: int
    """How many learned tokens did not fit in `max_length`; where it is not 0, the row should not be trained on."""
    stop: int
    """The token that ends the assistant's turn."""


def render(
    example: Example,
    tokenizer: PreTrainedTokenizerBase,
    *,
    max_length: int | None,
    example_index: int,
    learn: Learn = "all",
) -> tuple[Rendered, ...]:
    """One token sequence for each completion, its `group` being `example_index`.

    Raises DataError where the template refuses the conversation, GateError where it cannot be written as it is served.
    """
    (row,) = _render((example,), Aligner(tokenizer), max_length=max_length, start=example_index, learn=learn)
    return row


def render_all(
    examples: Sequence[Example], tokenizer: PreTrainedTokenizerBase, *, max_length: int | None, learn: Learn = "all"
) -> Iterator[tuple[Rendered, ...]]:
    """`render` of every example in turn, with its place as its index; faster, since many share one call."""
    aligner = Aligner(tokenizer)
    for start in range(0, len(examples), _AT_ONCE):
        some = examples[start : start + _AT_ONCE]
        yield from _render(some, aligner, max_length=max_length, start=start, learn=learn)


def prompt_tokens(example: Example, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What generation starts from: the beginning of every rendering of the example."""
    text = Chat(tokenizer, example.tools, example.id).text(example.prompt, generation=True)
    return list(tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])


def continuations(example: Example, answers: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """For each answer the tokens that follow the example's prompt tokens, with the one that ends the turn."""
    completions = tuple(Completion((Message("assistant", answer),)) for answer in answers)
    rows = render(replace(example, completions=completions), tokenizer, max_length=None, example_index=0)
    return [row.sequence.tokens[row.prompt :].tolist() for row in rows]


def pieces(sequence: TokenSequence, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, bool]]:
    """The sequence's text in stretches, each learned or not."""
    learned = (sequence.weight != 0).tolist()
    runs = groupby(zip(learned, sequence.tokens.tolist(), strict=True), key=lambda pair: pair[0])
    return [(str(tokenizer.decode([token for _, token in run])), kept) for kept, run in runs]


def _render(
    examples: Sequence[Example], aligner: Aligner, *, max_length: int | None, start: int, learn: Learn
) -> Iterator[tuple[Rendered, ...]]:
    layouts = [_layouts(example, aligner, learn=learn) for example in examples]
    aligned = iter(aligner.align([layout.text for row in layouts for layout in row]))
    for index, (example, row) in enumerate(zip(examples, layouts, strict=True), start):
        yield tuple(
            _fitted(_tokenised(layout, next(aligned), aligner, example.id), example.id, index, score, max_length)
            for layout, score in zip(row, (completion.score for completion in example.completions), strict=True)
        )


def _layouts(example: Example, aligner: Aligner, *, learn: Learn) -> list[Layout]:
    chat = Chat(aligner.tokenizer, example.tools, example.id)
    before = chat.text(example.prompt, generation=True)
    return [
        lay_out(example.prompt, completion, chat, aligner.special, before=before, learn=learn)
        for completion in example.completions
    ]


@dataclass(frozen=True, slots=True)
class _Tokens:
    ids: list[int]
    weight: list[float]
    prompt: int
    stop: int


def _tokenised(layout: Layout, aligned: Aligned, aligner: Aligner, example: str) -> _Tokens:
    """The tokens of a layout and their weights, with the end-of-text token where the template ends no turn."""
    prompt = aligner.prefix(aligned, layout.prompt)
    if prompt is None:
        aligned = aligner.apart(aligned, layout.prompt)
        prompt = len(aligner.tokens(layout.text[: layout.prompt]))
    weight = [0.0] * len(aligned.ids)
    for span in layout.spans:
        first = prompt if span.start == layout.prompt else aligner.start(aligned, span.start)
        last = len(weight) if span.end == len(layout.text) else aligner.until(aligned, span.end)
        _check_apart(first, last, span, layout, example)
        weight[first:last] = [span.weight] * ((last or 0) - (first or 0))
    if layout.ending is not None:
        return _Tokens(aligned.ids, weight, prompt, aligner.ids[layout.ending])
    stop = aligner.tokenizer.eos_token_id
    if stop is None:
        remedy = "set tokenizer.eos_token to the token generation is to stop on"
        raise GateError(f"{example}: template: it ends no turn, and the tokenizer has no end-of-text token; {remedy}")
    return _Tokens([*aligned.ids, stop], [*weight, layout.weight], prompt, stop)


def _check_apart(first: int | None, last: int | None, span: Span, layout: Layout, example: str) -> None:
    """Raises GateError where a token straddles the beginning or the end of a learned turn."""
    if first is None or last is None:
        turn = layout.text[span.start : span.end][:40]
        remedy = "learn the last turn only (learn='last'), or set train to false on it"
        raise GateError(f"{example}: template: a token straddles the bounds of the earlier turn {turn!r}; {remedy}")


def _fitted(found: _Tokens, example: str, index: int, score: float, max_length: int | None) -> Rendered:
    """The tokens as a sequence of at most `max_length`, the rest counted."""
    weight = np.array(found.weight, dtype=np.float32)
    weight[:1] = 0
    kept = len(found.ids) if max_length is None else max_length
    sequence = TokenSequence(np.array(found.ids[:kept], dtype=np.int64), weight[:kept], example, index, score)
    return Rendered(sequence, found.prompt, int(np.count_nonzero(weight[kept:])), found.stop)
