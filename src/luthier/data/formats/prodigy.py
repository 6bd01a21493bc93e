"""Prodigy's annotations: a class, a choice, a written text or a comparison, each accepted, rejected or ignored.

A rejected class says what a text is not, which is no answer: such rows are refused, as are ignored ones. A rejected
comparison is one with its sides exchanged.
"""

from __future__ import annotations

from dataclasses import replace

from luthier.data.formats.format import Written, both, flat, only
from luthier.data.formats.nested import inner
from luthier.data.row import Row, as_text
from luthier.data.shape import ending, made, ranked
from luthier.errors import DataError
from luthier.types import Completion, Example, Message

VERDICTS = ("accept", "reject", "ignore")


def prodigy(row: Row) -> Example:
    """An annotated task."""
    verdict = row.text("answer")
    if isinstance(row.values.get("accept"), dict):
        return _compared(row, verdict)
    if verdict != "accept":
        why = {"reject": "was rejected, which says what it is not", "ignore": "was ignored"}
        raise DataError(f"{why.get(verdict, f'has the verdict {verdict!r}')}; only accepted rows have an answer")
    asked = (Message("user", row.text("text")),)
    if "user_input" in row.values:
        return _answered(row, asked, row.text("user_input"), "user_input")
    if "accept" in row.values:
        name = _accepted(row)
        return replace(_answered(row, asked, name, "accept"), label=name)
    name = row.text("label").strip()
    return replace(_answered(row, asked, name, "label"), label=name)


def write_prodigy(example: Example, texts: bool) -> Written:
    """A class, a written text or a comparison, accepted."""
    question = only(example)
    taken = ("text", "label", "accept", "reject", "user_input", "input", "answer")
    if len(example.completions) > 1:
        better, worse = both(example)
        sides: Written = {"accept": {"text": better.text}, "reject": {"text": worse.text}}
        return flat(example, {"input": {"text": question}, **sides, "answer": "accept"}, *taken)
    if example.completions[0].score != 1:
        raise DataError("its answer has a score of its own, and an accepted one has none; use --to unpaired")
    column = "user_input" if example.label is None else "label"
    return flat(example, {"text": question, column: example.answer, "answer": "accept"}, *taken)


def _answered(row: Row, asked: tuple[Message, ...], answer: str, column: str) -> Example:
    completion = Completion(ending((Message("assistant", answer),), column))
    return made(row, asked, (completion,), "text", column, "answer")


def _accepted(row: Row) -> str:
    found = row.value("accept")
    if not isinstance(found, list) or len(found) != 1 or not isinstance(found[0], str | int):
        count = len(found) if isinstance(found, list) else 0
        raise DataError(f"'accept' holds {count} options; one label can be learned, so accept one or leave the row out")
    return as_text(found[0], "accept").strip()


def _compared(row: Row, verdict: str) -> Example:
    """A comparison; `reject` says that the other side is better."""
    if verdict not in ("accept", "reject"):
        raise DataError("was ignored; only accepted or rejected comparisons say which is better")
    texts = [Row("", "", inner(row.values, column)).text("text") for column in ("input", "accept", "reject")]
    question, *answers = texts
    accepted, rejected = ((Message("assistant", text),) for text in answers)
    if verdict == "accept":
        completions = ranked(accepted, rejected, ("accept", "reject"))
    else:
        completions = ranked(rejected, accepted, ("reject", "accept"))
    return made(row, (Message("user", question),), completions, "input", "accept", "reject", "answer")
