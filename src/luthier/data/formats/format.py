"""What a format of others is to Luthier: how its records are written, and which shape reads them back."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

from luthier.errors import DataError
from luthier.types import Completion, Example, Json, Message

Written: TypeAlias = "dict[str, Json]"
"""One record, ready for a file."""


@dataclass(frozen=True, slots=True)
class Format:
    """A way that others write labelled examples."""

    title: str
    """Whose it is, and what it holds; shown in help."""
    shape: str
    """Name in `luthier.data.shapes` of the reader of its records."""
    write: Callable[[Example, bool], Written]
    """An example as a record, as texts where the flag is set, else as messages. It writes what it can: what it
    leaves out is found by reading the file back. Raises DataError for an example that would come out as another."""
    aliases: tuple[str, ...] = ()
    """Other names it goes by."""
    table: bool = False
    """Whether it fits a table of plain texts (CSV, TSV)."""


def plain(example: Example) -> bool:
    """Whether it is one question and bare answers, so that texts hold it and no messages are needed."""
    answers = [completion.messages for completion in example.completions]
    return (
        len(example.prompt) == 1
        and example.prompt[0].role == "user"
        and all(len(answer) == 1 for answer in answers)
        and all(_bare(turn) for turn in (*example.prompt, *(turn for answer in answers for turn in answer)))
    )


def said(turns: Iterable[Message], *, texts: bool) -> Json:
    """A part of a conversation, as the text of its one turn or as messages."""
    return next(iter(turns)).content if texts else [message(turn) for turn in turns]


def asked(example: Example, *, texts: bool) -> Json:
    """The prompt where its reader learns nothing of it anyway, so that no turn need say so."""
    return said((replace(turn, train=None, weight=1.0) for turn in example.prompt), texts=texts)


def message(turn: Message) -> dict[str, Json]:
    """A turn as `role` and `content`, with its weight where that is not the usual."""
    return {"role": turn.role, "content": turn.content, **turn.fields, **learning(turn)}


def learning(turn: Message) -> dict[str, Json]:
    """What a record says of how much a turn is learned; nothing where it is learned as turns are."""
    weight = 0.0 if turn.train is False and turn.role == "assistant" else turn.weight
    found: dict[str, Json] = {} if weight == 1 else {"weight": int(weight) if weight.is_integer() else weight}
    return found | ({"train": True} if turn.train else {})


def flat(example: Example, core: Written, *reserved: str) -> Written:
    """A record with the example's tools and other columns beside its core, those the reader would misread left out."""
    taken = {*core, *reserved, "tools"}
    tools: Written = {"tools": [dict(tool) for tool in example.tools]} if example.tools else {}
    return core | tools | {name: value for name, value in example.meta.items() if name not in taken}


def best(example: Example) -> Completion:
    """The completion to write where only one can be. Raises DataError where none is right."""
    found = max(example.completions, key=lambda completion: completion.score)
    if found.score <= 0:
        raise DataError("its only answer is marked as wrong, and the format holds right ones; use --to unpaired")
    return found


def both(example: Example) -> tuple[Completion, Completion]:
    """The better and the worse of two completions. Raises DataError where there are not two that differ in score."""
    ranked = sorted(example.completions, key=lambda completion: -completion.score)
    if len(ranked) != 2 or ranked[0].score == ranked[1].score:
        held = "one answer" if len(ranked) == 1 else f"{len(ranked)} answers"
        raise DataError(f"holds {held}, and the format a chosen and a rejected one; use --to messages or prompt")
    return ranked[0], ranked[1]


def only(example: Example) -> str:
    """The text of the one question of an example whose record has no place for a conversation."""
    if not plain(example):
        raise DataError(
            "is a conversation, or has weights of its own, and the format holds one text; use --to messages"
        )
    return example.question


def _bare(turn: Message) -> bool:
    return bool(turn.content.strip()) and not turn.fields and not learning(turn)
