"""Conversations: OpenAI's fine-tuning messages, ShareGPT."""

from __future__ import annotations

from luthier.data.formats.format import Written, best, flat, learning, message
from luthier.types import Example, Message

_FROM = {"system": "system", "user": "human", "assistant": "gpt", "tool": "tool"}


def messages(example: Example, texts: bool) -> Written:
    """`messages`, each with `role` and `content`; `weight` 0 on an assistant's turn that is not learned."""
    return flat(example, {"messages": [message(turn) for turn in _turns(example)]}, "system")


def sharegpt(example: Example, texts: bool) -> Written:
    """`conversations`, each with `from` and `value`."""
    return flat(example, {"conversations": [_turn(turn) for turn in _turns(example)]}, "system")


def _turns(example: Example) -> tuple[Message, ...]:
    return (*example.prompt, *best(example).messages)


def _turn(turn: Message) -> Written:
    return {"from": _FROM[turn.role], "value": turn.content, **turn.fields, **learning(turn)}
