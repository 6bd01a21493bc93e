"""The proofs of the gate: each says why one rendered row cannot be trained on, or None.

They are named in `luthier.checks.proofs`, and use nothing that rendered the row: they read the tokens back.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from transformers import PreTrainedTokenizerBase

from luthier.data.layout import SCAFFOLD, Learn, learned
from luthier.data.render import Rendered
from luthier.types import Completion, Example, Json, Message


@dataclass(frozen=True, slots=True)
class Case:
    """One rendered completion, with what it is proved against."""

    example: Example
    completion: Completion
    rendered: Rendered
    served: Sequence[int]
    """What transformers renders for generation to start from."""
    tokenizer: PreTrainedTokenizerBase
    stop: frozenset[int]
    """Tokens that generation stops on."""
    learn: Learn

    @property
    def tokens(self) -> list[int]:
        """The sequence's tokens."""
        return [int(token) for token in self.rendered.sequence.tokens]

    @property
    def runs(self) -> list[list[int]]:
        """The learned tokens, one list for each unbroken run of them."""
        marked = zip(self.rendered.sequence.weight != 0, self.tokens, strict=True)
        return [[token for _, token in run] for kept, run in groupby(marked, key=lambda pair: bool(pair[0])) if kept]


def supervised(case: Case) -> str | None:
    """At least one token is learned, and never the first, which nothing predicts."""
    if not case.runs:
        return "no token is learned"
    return "the first token is learned, but nothing predicts it" if case.rendered.sequence.weight[0] else None


def serving(case: Case) -> str | None:
    """The tokens begin with exactly what is served, and what is learned of the completion begins right after that."""
    begun = case.tokens[: len(case.served)]
    if begun == list(case.served) and case.rendered.prompt == len(case.served):
        return _bounds(case)
    same = next((n for n, (a, b) in enumerate(zip(begun, case.served, strict=False)) if a != b), len(begun))
    trained, served = (case.tokenizer.decode(ids[same : same + 8]) for ids in (case.tokens, list(case.served)))
    return f"training parts from serving at token {same}: trained on {trained!r}, served {served!r}"


def _bounds(case: Case) -> str | None:
    """Whether the mask changes where generation starts, unless the completion's first turn is not learned."""
    start, turn = len(case.served), len(case.example.prompt)
    turns = (*case.example.prompt, *case.completion.messages)
    wanted = turn in learned(turns, turn, learn=case.learn)
    mask = case.rendered.sequence.weight != 0
    if 0 < start < len(mask) and mask.any() and (mask[start - 1] or mask[start] != wanted):
        return f"the mask does not change at token {start}, where generation starts"
    return None


def beginning(case: Case) -> str | None:
    """Where the template writes a beginning of sequence, there is one; where it writes none, there is none."""
    bos, name = case.tokenizer.bos_token_id, case.tokenizer.bos_token
    if bos is None or not isinstance(name, str):
        return None
    wanted, found = list(case.served[:1]) == [bos], case.tokens[:1] == [bos]
    if wanted != found:
        return f"the sequence begins {'without' if wanted else 'with'} {name!r}, unlike what is served"
    if found and case.tokens[:2] == [bos, bos]:
        return f"the sequence begins twice: {name!r} {name!r}"
    turns = (*case.example.prompt, *case.completion.messages)
    return f"a message holds {name!r}" if any(name in turn.content for turn in turns) else None


def answer(case: Case) -> str | None:
    """What is learned reads as the answers, each less the tokens that end its turn and an empty block of reasoning."""
    turns = (*case.example.prompt, *case.completion.messages)
    expected = [turns[place] for place in learned(turns, len(case.example.prompt), learn=case.learn)]
    texts = [_read(run, case) for run in case.runs]
    if not case.runs:
        return None
    if len(texts) != len(expected):
        return f"{len(texts)} stretches are learned, but {len(expected)} turns were to be"
    wrong = next(((text, turn) for text, turn in zip(texts, expected, strict=True) if not _says(text, turn)), None)
    return wrong and f"what is learned reads {wrong[0][:60]!r}, not {wrong[1].content[:60]!r}"


def end(case: Case) -> str | None:
    """The last learned token is one that generation stops on."""
    if not case.runs or case.runs[-1][-1] in case.stop:
        return None
    last = case.tokenizer.decode([case.runs[-1][-1]])
    stops = ", ".join(repr(case.tokenizer.decode([token])) for token in sorted(case.stop)) or "nothing"
    return f"the last learned token is {last!r}, but generation stops on {stops}"


def _read(run: list[int], case: Case) -> str:
    """A run of learned tokens as text, without the tokens that end a turn."""
    ends = case.stop | {case.rendered.stop}
    kept = len(run)
    while kept and run[kept - 1] in ends:
        kept -= 1
    return str(case.tokenizer.decode(run[:kept], skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _says(text: str, turn: Message) -> bool:
    """Whether a text is a turn's content; tool calls are told by their names."""
    said, wanted = _plain(text), _plain(turn.content)
    if turn.fields.get("tool_calls") or turn.fields.get("reasoning_content"):
        return wanted in said and all(name in text for name in _called(turn.fields.get("tool_calls")))
    scaffold = SCAFFOLD.match(said)
    return wanted in (said, said[scaffold.end() :].strip() if scaffold else said)


def _called(calls: Json) -> Iterator[str]:
    for call in calls if isinstance(calls, list) else []:
        function = call.get("function", call) if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if isinstance(name, str):
            yield name


def _plain(text: str) -> str:
    """Without surrounding white space and in one Unicode form, since templates trim and tokenizers normalise."""
    return unicodedata.normalize("NFKC", text).strip()
