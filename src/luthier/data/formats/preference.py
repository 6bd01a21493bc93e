"""Answers compared: TRL's pairs and single judgements, OpenAI's preference fine-tuning, HH transcripts."""

from __future__ import annotations

from dataclasses import replace

from luthier.data.formats.format import Written, asked, both, flat, message, said
from luthier.data.row import Row
from luthier.data.shape import made, ranked, unlearned
from luthier.errors import DataError
from luthier.types import Completion, Example, Message

_SPEAKERS = {"user": "Human", "assistant": "Assistant"}


def pair(example: Example, texts: bool) -> Written:
    """`prompt`, `chosen` and `rejected`."""
    better, worse = both(example)
    sides: Written = {
        "chosen": said(better.messages, texts=texts),
        "rejected": said(worse.messages, texts=texts),
    }
    return flat(example, {"prompt": asked(example, texts=texts), **sides})


def unpaired(example: Example, texts: bool) -> Written:
    """`prompt`, `completion`, and whether it is good: `label`, true or false."""
    if len(example.completions) > 1:
        raise DataError("holds several answers, and the format one, good or bad; use --to pair")
    (completion,) = example.completions
    core: Written = {
        "prompt": asked(example, texts=texts),
        "completion": said(completion.messages, texts=texts),
        "label": completion.score > 0,
    }
    return flat(example, core)


def hh(example: Example, texts: bool) -> Written:
    """`chosen` and `rejected` transcripts, each with the whole dialogue."""
    better, worse = both(example)
    return flat(
        example,
        {"chosen": _dialogue(example, better), "rejected": _dialogue(example, worse)},
        "prompt",
    )


def openai_preference(row: Row) -> Example:
    """OpenAI's `input` with its messages and tools, a `preferred_output` and a `non_preferred_output`."""
    given = row.value("input")
    if not isinstance(given, dict):
        raise DataError("'input' is not an object; write {'messages': [...]}")
    inner = Row(row.id, row.source, given)
    sides = ("preferred_output", "non_preferred_output")
    completions = ranked(row.messages(sides[0]), row.messages(sides[1]), sides)
    example = made(row, unlearned(inner.messages("messages")), completions, *sides)
    rest = {name: value for name, value in example.meta.items() if name != "input"}
    return replace(example, tools=inner.tools(), meta={**inner.rest("messages", "tools"), **rest})


def write_openai_preference(example: Example, texts: bool) -> Written:
    """The record that `openai_preference` reads."""
    better, worse = both(example)
    given: Written = {"messages": asked(example, texts=False)}
    if example.tools:
        given["tools"] = [dict(tool) for tool in example.tools]
    if (parallel := example.meta.get("parallel_tool_calls")) is not None:
        given["parallel_tool_calls"] = parallel
    core: Written = {
        "input": given,
        "preferred_output": [message(turn) for turn in better.messages],
        "non_preferred_output": [message(turn) for turn in worse.messages],
    }
    return core | {name: value for name, value in example.meta.items() if name not in (*core, *given)}


def _dialogue(example: Example, completion: Completion) -> str:
    return "".join(f"\n\n{_speaker(turn)}: {turn.content}" for turn in (*example.prompt, *completion.messages))


def _speaker(turn: Message) -> str:
    if turn.role not in _SPEAKERS:
        raise DataError(f"has a {turn.role} turn, and the transcripts hold Human and Assistant alone; use --to pair")
    return _SPEAKERS[turn.role]
