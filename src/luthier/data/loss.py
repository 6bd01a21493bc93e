"""What two examples that should be one and the same differ in, by kind, for a person to read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from luthier.types import Completion, Example, Json, Message


@dataclass(frozen=True, slots=True)
class Loss:
    """One kind of thing that a format could not hold of a row."""

    kind: str
    essential: bool
    """Whether the row teaches something else without it; other columns do not."""


def losses(before: Example, after: Example) -> list[Loss]:
    """What an example lost on its way, the essential first; ids, sources and labels are not compared.

    Whether answers are labels is no part of a record: it is told by all of a file's answers together.
    """
    essential = [*_turns(before, after), *_answers(before, after), *_beside(before, after)]
    group = [] if before.group == after.group else ["group"]
    columns = [*group, *_columns(before, after)]
    return [Loss(kind, True) for kind in essential] + [Loss(kind, False) for kind in columns]


def invented(before: Example, after: Example) -> bool:
    """Whether something is said afterwards that was not said before: not a loss but a falsehood."""
    said = {turn.content.strip() for turn in _all(before)}
    return any(turn.content.strip() not in said for turn in _all(after)) or not {*after.references} <= {
        *before.references
    }


def _all(example: Example) -> list[Message]:
    return [*example.prompt, *(turn for one in example.completions for turn in one.messages)]


def _turns(before: Example, after: Example) -> Iterator[str]:
    """Kinds of what the prompt lost."""
    if len(before.prompt) != len(after.prompt) and _whole(before) == _whole(after):
        yield "where the prompt ends"
        return
    if [_said(turn) for turn in before.prompt] != [_said(turn) for turn in after.prompt]:
        system = [turn for turn in before.prompt if turn.role != "system"]
        only_system = [_said(turn) for turn in system] == [_said(turn) for turn in after.prompt]
        yield "system message" if only_system else "turns of the prompt"
    elif [_fields(turn) for turn in before.prompt] != [_fields(turn) for turn in after.prompt]:
        yield "fields of a turn in the prompt"
    elif [_learned(turn) for turn in before.prompt] != [_learned(turn) for turn in after.prompt]:
        yield "how much earlier turns are learned"


def _answers(before: Example, after: Example) -> Iterator[str]:
    """Kinds of what the completions lost."""
    if len(before.completions) != len(after.completions):
        yield "other answers"
        kept = max(before.completions, key=lambda completion: completion.score)
        yield from _answer((kept,), after.completions[:1])
    else:
        yield from _answer(before.completions, after.completions)


def _answer(before: Sequence[Completion], after: Sequence[Completion]) -> Iterator[str]:
    turns, others = ([turn for one in some for turn in one.messages] for some in (before, after))
    if len(turns) != len(others):
        yield "turns of the answer"
    elif [_said(turn) for turn in turns] != [_said(turn) for turn in others]:
        stripped = [turn.content.strip() for turn in turns] == [turn.content.strip() for turn in others]
        yield "space around the answer" if stripped else "the answer's text"
    elif [_fields(turn) for turn in turns] != [_fields(turn) for turn in others]:
        yield "fields of the answer"
    elif [_learned(turn) for turn in turns] != [_learned(turn) for turn in others]:
        yield "weight of the answer"
    if [one.score for one in before] != [one.score for one in after]:
        yield "score"


def _beside(before: Example, after: Example) -> Iterator[str]:
    if _text(list(map(dict, before.tools))) != _text(list(map(dict, after.tools))):
        yield "tools"
    if before.references != after.references:
        yield "other right answers"


def _columns(before: Example, after: Example) -> Iterator[str]:
    """Other columns that are gone, changed or new; an empty cell is as good as none."""
    for name in dict.fromkeys((*before.meta, *after.meta)):
        old, new = before.meta.get(name), after.meta.get(name)
        if _text(old) == _text(new) or (old in (None, "") and new in (None, "")):
            continue
        if new is None:
            yield f"column {name!r}"
        elif isinstance(new, str) and not isinstance(old, str):
            yield f"type of column {name!r}, now text"
        else:
            yield f"column {name!r}, changed"


def _whole(example: Example) -> list[tuple[str, str]]:
    """The conversation up to the end of the best answer."""
    best = max(example.completions, key=lambda completion: completion.score)
    return [_said(turn) for turn in (*example.prompt, *best.messages)]


def _said(turn: Message) -> tuple[str, str]:
    return turn.role, turn.content


def _fields(turn: Message) -> str:
    return _text(dict(turn.fields))


def _learned(turn: Message) -> tuple[float, bool]:
    """How much a turn is learned, and whether it says so itself."""
    if turn.role != "assistant" or turn.train is False or not turn.weight:
        return 0.0, False
    return turn.weight, turn.train is True


def _text(value: Json) -> str:
    return json.dumps(value, sort_keys=True)
