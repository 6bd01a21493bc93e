"""Where, in the text a chat template writes, the learned stretches lie. Text only; tokens are `align`'s business.

Most templates do not mark what the assistant says, so it is found by comparing prefixes of the conversation:

    prompt, generation=True   <|im_start|>user⏎Hi<|im_end|>⏎<|im_start|>assistant⏎
    prompt and answer         <|im_start|>user⏎Hi<|im_end|>⏎<|im_start|>assistant⏎Hello<|im_end|>⏎
    learned                                                                       ~~~~~~~~~~~~~~~

A turn is learned as far as the model would have to generate it: from the end of the generation prompt, through whatever
the template puts before the content, to the token that ends the turn. What cannot be made so is refused by name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from luthier.data.template import Chat
from luthier.errors import GateError
from luthier.types import Completion, Message

Learn = Literal["all", "last"]
"""Which assistant turns are learned where the record does not say: all of a conversation, or its completion only."""

SCAFFOLD: Final = re.compile(r"\s*(?:<(\w+)>\s*)?</\w+>\s*")
"""An empty block of reasoning that a template puts before an answer, or the end of one that the prompt began."""

_OPEN_BLOCK = re.compile(r"<([A-Za-z_]+)>\s*\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text that is learned."""

    start: int
    end: int
    weight: float


@dataclass(frozen=True, slots=True)
class Layout:
    """One completion as text."""

    text: str
    """Up to the end of the last turn."""
    prompt: int
    """Length in characters of what generation starts from."""
    spans: tuple[Span, ...]
    """The learned stretches, in order."""
    ending: str | None
    """The token that ends the last turn; None where the template has none, and the end-of-text token is to follow."""
    weight: float
    """Weight of the last turn, 0 where it is not learned."""


def lay_out(
    prompt: tuple[Message, ...],
    completion: Completion,
    chat: Chat,
    special: re.Pattern[str],
    *,
    before: str,
    learn: Learn,
) -> Layout:
    """One completion as text; `before` is what generation starts from, `special` finds the special tokens.

    Raises DataError where the template refuses the conversation, GateError where it writes it otherwise than it is
    served.
    """
    turns, last = (*prompt, *completion.messages), len(prompt) + len(completion.messages) - 1
    text = chat.text(turns, generation=False)
    if not text.startswith(before):
        text = _as_served(text, before, completion, chat.example, special)
    places = learned(turns, len(prompt), learn=learn)
    begin = {place: len(before) for place in (len(prompt),)} | {
        place: _begin(text, turns, place, chat) for place in {*places, last} if place != len(prompt)
    }
    end, ending = _last_end(text, begin[last], turns[last], special, chat.example)
    spans = [
        Span(begin[place], _earlier_end(text, begin[place], turns, place, chat, ending), turns[place].weight)
        for place in places
        if place != last
    ]
    weight = turns[last].weight if last in places else 0.0
    spans += [Span(begin[last], end, weight)] if weight else []
    return Layout(text[:end], len(before), tuple(spans), ending, weight)


def learned(turns: Sequence[Message], first: int, *, learn: Learn) -> list[int]:
    """Places of the turns that are learned, the completion's being those from `first` on."""
    return [
        place
        for place, turn in enumerate(turns)
        if turn.role == "assistant"
        and turn.weight
        and (turn.train or (turn.train is None and (learn == "all" or place >= first)))
    ]


def content_end(text: str, start: int, message: Message) -> int | None:
    """Where a message's content ends that begins at `start`, after white space and an empty block of reasoning.

    None where the template has written it otherwise (tool calls, reasoning, changed text).
    """
    scaffold = SCAFFOLD.match(text, start)
    if message.fields.get("tool_calls"):
        return None
    if not message.content.strip():
        return scaffold.end() if scaffold else start
    for begin in (start, scaffold.end() if scaffold else start):
        bare = begin + len(text[begin:]) - len(text[begin:].lstrip())
        for content, place in ((message.content, begin), (message.content.strip(), bare)):
            if text.startswith(content, place):
                return place + len(content)
    return None


def _begin(text: str, turns: tuple[Message, ...], place: int, chat: Chat) -> int:
    """Where the turn at a place begins. Raises GateError unless it is served as it stands in the conversation."""
    before = chat.text(turns[:place], generation=True)
    if text.startswith(before):
        return len(before)
    why = f"the chat template writes what precedes turn {place + 1} otherwise once the conversation goes on"
    remedy = "learn the last turn only (learn='last'), or set train to false on the earlier ones"
    raise GateError(f"{chat.example}: template: {why}, so training cannot look as serving does; {remedy}")


def _last_end(
    text: str, start: int, message: Message, special: re.Pattern[str], example: str
) -> tuple[int, str | None]:
    """Where the last turn ends, and the special token that ends it, where there is one."""
    content = content_end(text, start, message)
    if content is None:
        return _structured_end(text, start, special, example)
    if not text[content:].strip():
        return content, None
    found = special.search(text, content)
    if found and not text[content : found.start()].strip():
        return found.end(), found.group()
    ending = text[content:].strip()[:40]
    remedy = "add it to the tokenizer as a special token, or end the turn with the tokenizer's eos_token"
    raise GateError(f"{example}: template: the assistant's turn ends with {ending!r}, which is not one token; {remedy}")


def _structured_end(text: str, start: int, special: re.Pattern[str], example: str) -> tuple[int, str]:
    """The end of a turn whose content the template rewrites: its last special token."""
    *_, last = [None, *special.finditer(text, start)]
    if last is None or text[last.end() :].strip():
        remedy = "use a template that writes the content as it is and ends the turn with a special token"
        raise GateError(f"{example}: template: the answer cannot be found in {text[start:][:40]!r}; {remedy}")
    return last.end(), last.group()


def _earlier_end(text: str, start: int, turns: tuple[Message, ...], place: int, chat: Chat, ending: str | None) -> int:
    """Where an earlier learned turn ends, with the token that ends turns where it has one."""
    content = content_end(text, start, turns[place])
    if content is not None:
        bare = content + len(text[content:]) - len(text[content:].lstrip())
        return bare + len(ending) if ending and text.startswith(ending, bare) else content
    alone = chat.text(turns[: place + 1], generation=False)
    alone = alone[: alone.rfind(ending) + len(ending)] if ending and ending in alone else alone.rstrip()
    if text.startswith(alone):
        return len(alone)
    why = f"the chat template writes turn {place + 1} otherwise once the conversation goes on"
    remedy = "learn the last turn only (learn='last'), or set train to false on it"
    raise GateError(f"{chat.example}: template: {why}; {remedy}")


def _as_served(text: str, before: str, completion: Completion, example: str, special: re.Pattern[str]) -> str:
    """What generation starts from, then the answer with what the template puts around it.

    For templates that write a finished conversation otherwise than its beginning: that beginning is what is served.
    """
    if found := _OPEN_BLOCK.search(before):
        why = f"an answer starts inside <{found.group(1)}>, but is written without it once finished"
        remedy = "use a template whose generation prompt does not open a block"
        raise GateError(f"{example}: template: {why}, so training cannot look as serving does; {remedy}")
    *_, mark = [None, *special.finditer(text)]
    closed = mark is not None and not text[mark.end() :].strip()
    body = (text[: mark.start()] if mark and closed else text).rstrip()
    answer = completion.text.strip()
    if len(completion.messages) > 1 or not answer or not body.endswith(answer):
        why = "a finished conversation does not begin as what generation starts from"
        remedy = "use a template that only appends, or give each conversation one answer of plain text"
        raise GateError(f"{example}: template: {why}; {remedy}")
    lead = body[: -len(answer)]
    space = "" if before[-1:].isspace() else lead[len(lead.rstrip()) :]
    return before + space + answer + text[len(body) :]
