"""Record shapes: each a function from a row to an Example. They are named in `luthier.data.shapes`.

An assistant's turn in the prompt of a `messages` or `sharegpt` record is learned unless the record says otherwise;
in the prompt of any other record it is not, since there the completion alone was offered as the thing to learn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from luthier.data.row import Row
from luthier.errors import DataError
from luthier.types import Completion, Example, Message

_TURN = re.compile(r"(?:^|\n\n)(Human|Assistant):[ \t]?")


def prompt(row: Row) -> Example:
    """An input and an output: `prompt` and `completion`, or the two columns that the user named."""
    asked, answered = row.input or "prompt", row.output or "completion"
    question = turns_of(row, asked, role="user")
    answer = turns_of(row, answered, role="assistant")
    return made(row, unlearned(question), (Completion(ending(answer, answered)),), asked, answered)


def label(row: Row) -> Example:
    """A text and its label: `text` and `label`, or the two columns that the user named."""
    asked, answered = row.input or "text", row.output or "label"
    name = row.text(answered).strip()
    completion = Completion((Message("assistant", name),))
    return replace(made(row, turns_of(row, asked, role="user"), (completion,), asked, answered), label=name)


def alpaca(row: Row) -> Example:
    """An `instruction`, an optional `input` after a blank line, and an `output`."""
    extra = row.values.get("input")
    parts = [row.text("instruction")] + ([row.text("input")] if extra is not None and str(extra).strip() else [])
    question = (*_system(row), Message("user", "\n\n".join(parts)))
    completion = Completion((Message("assistant", row.text("output")),))
    return made(row, question, (completion,), "instruction", "input", "output", "system")


def messages(row: Row) -> Example:
    """An OpenAI conversation; all before its last turn is the prompt, and its last turn is the assistant's."""
    return _conversation(row, row.input or "messages")


def sharegpt(row: Row) -> Example:
    """A ShareGPT conversation: `from` and `value` for role and content."""
    return _conversation(row, row.input or "conversations")


def unpaired(row: Row) -> Example:
    """An answer to a `prompt` that was found good or bad: `completion`, scored 1 or 0 by a true or false `label`."""
    found = row.text("label").lower()
    if found not in ("true", "false"):
        raise DataError(f"'label' is {found!r}; write true for a good completion, false for a bad one")
    question = turns_of(row, "prompt", role="user")
    answer = ending(turns_of(row, "completion", role="assistant"), "completion")
    completion = Completion(answer, float(found == "true"))
    return made(row, unlearned(question), (completion,), "prompt", "completion", "label")


def pair(row: Row) -> Example:
    """A preference: `chosen` scores 1, `rejected` 0; what the two conversations share is the prompt.

    Each is a list of messages, a text beginning with "\\n\\nHuman:" (Bai et al. 2022, arXiv:2204.05862), or an
    answer to a `prompt` column.
    """
    asked = row.input or "prompt"
    question = turns_of(row, asked, role="user") if asked in row.values else ()
    both = [_answer(row, column, question) for column in ("chosen", "rejected")]
    shared = 0 if question else _shared(*both)
    completions = ranked(both[0][shared:], both[1][shared:], ("chosen", "rejected"))
    return made(row, unlearned(question or both[0][:shared]), completions, asked, "chosen", "rejected")


def ranked(
    better: tuple[Message, ...], worse: tuple[Message, ...], columns: tuple[str, str]
) -> tuple[Completion, Completion]:
    """Two answers as completions, the better with score 1, the worse with 0. Raises DataError where they are one.

    columns: where they stand, for the refusal.
    """
    if better == worse:
        raise DataError(f"{columns[0]!r} and {columns[1]!r} are the same; remove the row")
    return Completion(ending(better, columns[0])), Completion(ending(worse, columns[1]), 0.0)


def made(row: Row, question: Iterable[Message], completions: tuple[Completion, ...], *used: str) -> Example:
    """The example of a row whose columns `used` have been read; the others are its meta."""
    return Example(
        id=row.id,
        prompt=tuple(question),
        completions=completions,
        source=row.source,
        tools=row.tools(),
        meta=row.rest(*used, "tools"),
    )


def _conversation(row: Row, column: str) -> Example:
    turns = (*_system(row), *row.messages(column))
    if len(turns) < 2:
        raise DataError(f"{column!r} has one turn; give a prompt and the assistant's answer")
    *before, last = turns
    learned = [turn for turn in turns if turn.role == "assistant" and turn.train is not False and turn.weight]
    if last.role == "assistant" and not learned:
        raise DataError(f"{column!r} has no turn to learn: each has weight 0 or train false")
    return made(row, before, (Completion(ending((last,), column)),), column, "system")


def _system(row: Row) -> tuple[Message, ...]:
    found = row.values.get("system")
    return (Message("system", found),) if isinstance(found, str) and found.strip() else ()


def turns_of(row: Row, column: str, *, role: str) -> tuple[Message, ...]:
    """A column as messages; a plain text is one message of the role."""
    if isinstance(row.values.get(column), list):
        return row.messages(column)
    return (Message(role, row.text(column)),)


def _answer(row: Row, column: str, question: tuple[Message, ...]) -> tuple[Message, ...]:
    """One side of a pair, less the prompt where it repeats it."""
    if isinstance(row.values.get(column), list):
        turns = row.messages(column)
        said = [(turn.role, turn.content) for turn in question]
        repeated = question and [(turn.role, turn.content) for turn in turns[: len(question)]] == said
        return turns[len(question) :] if repeated else turns
    text = row.text(column)
    if not question and not text.lstrip().startswith("Human:"):
        remedy = "add a 'prompt' column, or begin the text with '\\n\\nHuman: '"
        raise DataError(f"{column!r} is an answer without a question; {remedy}")
    return (Message("assistant", text),) if question else _dialogue(text)


def _dialogue(text: str) -> tuple[Message, ...]:
    """ "\\n\\nHuman: a\\n\\nAssistant: b" as messages."""
    parts = _TURN.split("\n\n" + text.lstrip())[1:]
    roles = ("user" if who == "Human" else "assistant" for who in parts[::2])
    return tuple(Message(role, said.strip()) for role, said in zip(roles, parts[1::2], strict=True))


def _shared(first: tuple[Message, ...], second: tuple[Message, ...]) -> int:
    """How many turns two conversations share, leaving each its last; stops where an assistant's turn can follow."""
    longest = min(len(first), len(second)) - 1
    return next((n for n in range(longest) if first[n] != second[n]), longest)


def ending(turns: tuple[Message, ...], column: str) -> tuple[Message, ...]:
    """A completion's turns, which begin and end with the assistant's. Raises DataError where they do not."""
    if not turns or turns[-1].role != "assistant":
        raise DataError(f"{column!r} does not end with an assistant's turn; end it with the answer")
    if turns[0].role != "assistant":
        raise DataError(
            f"{column!r} parts from the prompt at a {turns[0].role} turn; keep prompts equal up to the answer"
        )
    if not turns[-1].content.strip() and not turns[-1].fields.get("tool_calls"):
        raise DataError(f"{column!r} ends with an empty turn; fill it in or remove the row")
    return turns


def unlearned(turns: Iterable[Message]) -> tuple[Message, ...]:
    """The turns of a prompt of which nothing is to be learned."""
    return tuple(replace(turn, train=False) if turn.role == "assistant" else turn for turn in turns)
