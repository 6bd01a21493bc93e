"""A question and its answer: prompt and completion, text and label, Alpaca."""

from __future__ import annotations

from luthier.data.formats.format import Written, asked, best, flat, said
from luthier.errors import DataError
from luthier.types import Example


def prompt(example: Example, texts: bool) -> Written:
    """`prompt` and `completion`."""
    answer = best(example).messages
    return flat(example, {"prompt": asked(example, texts=texts), "completion": said(answer, texts=texts)}, "label")


def label(example: Example, texts: bool) -> Written:
    """`text` and `label`."""
    (*others, answer) = best(example).messages
    if others:
        raise DataError("its answer has several turns, and a label is one text; use --to messages")
    return flat(example, {"text": said(example.prompt, texts=texts), "label": answer.content})


def alpaca(example: Example, texts: bool) -> Written:
    """`instruction`, an empty `input`, `output`, and `system` where there is a system message."""
    system = [turn.content for turn in example.prompt[:1] if turn.role == "system"]
    question, answer = example.prompt[len(system) :], best(example).messages
    if [turn.role for turn in question] != ["user"] or len(answer) > 1:
        raise DataError("is a conversation of several turns, and Alpaca holds one question; use --to messages")
    core: Written = {"instruction": question[0].content, "input": "", "output": answer[0].content}
    return flat(example, core | ({"system": system[0]} if system else {}), "system")
