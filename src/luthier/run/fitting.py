"""Which rows of the splits can be used: those with a right answer, and those that fit the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from luthier.data.read import LeftOut
from luthier.data.render import Rendered, render_all
from luthier.errors import DataError
from luthier.model.load import Model
from luthier.types import Example


def with_right(
    splits: dict[str, tuple[Example, ...]],
) -> tuple[dict[str, tuple[Example, ...]], list[LeftOut]]:
    """The rows that have a right answer, and those that have none. Raises DataError where no training row has one."""
    reason = "has no answer but one marked as wrong"
    right = {
        part: tuple(row for row in rows if any(one.score > 0 for one in row.completions))
        for part, rows in splits.items()
    }
    if splits["train"] and not right["train"]:
        raise DataError(f"{splits['train'][0].id}: {reason}, as has every training row; give rows with right answers")
    kept = {row.id for rows in right.values() for row in rows}
    return right, [LeftOut(row.id, reason) for rows in splits.values() for row in rows if row.id not in kept]


def right_answers(examples: Sequence[Example]) -> tuple[list[Example], list[Example]]:
    """The examples with their right completions alone, and those that had another."""
    pairs = [example for example in examples if any(one.score <= 0 for one in example.completions)]
    right = [replace(one, completions=tuple(c for c in one.completions if c.score > 0)) for one in examples]
    return right, pairs


def whole(
    examples: Sequence[Example], rendered: Sequence[tuple[Rendered, ...]], model: Model
) -> tuple[list[Example], list[tuple[Rendered, ...]]]:
    """The examples of which nothing learned was cut, with their renderings. Raises DataError if there is none."""
    whole = [i for i, row in enumerate(rendered) if not any(one.cut for one in row)]
    if not whole:
        raise DataError(
            f"no training row fits in {model.max_length} tokens; raise model.max_length or shorten the rows"
        )
    return [examples[i] for i in whole], [rendered[i] for i in whole]


def fitting(
    splits: dict[str, tuple[Example, ...]], model: Model
) -> tuple[dict[str, tuple[Example, ...]], list[LeftOut]]:
    """Validation and test rows that the model can be asked, and those whose prompt and answer do not fit."""
    judged: dict[str, tuple[Example, ...]] = {}
    too_long: list[LeftOut] = []
    for part in ("validation", "test"):
        examples = splits[part]
        rendered = render_all(examples, model.tokenizer, max_length=None, learn="last")
        lengths = [max((len(one.sequence) for one in row), default=0) for row in rendered]
        judged[part] = tuple(e for e, n in zip(examples, lengths, strict=True) if n <= model.max_length)
        too_long += [
            LeftOut(e.id, f"prompt and answer have {n} tokens, and the model holds {model.max_length}")
            for e, n in zip(examples, lengths, strict=True)
            if n > model.max_length
        ]
    return judged, too_long
