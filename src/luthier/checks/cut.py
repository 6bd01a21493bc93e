"""Rows whose answer does not fit: they are named, and left out of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from luthier.data.render import Rendered
from luthier.types import Issue


def cut(rows: Iterable[tuple[Rendered, ...]], *, max_length: int) -> Iterator[Issue]:
    """One Issue for each row that loses learned tokens at `max_length`, with the length of its prompt."""
    for row in rows:
        lost = sum(rendered.cut for rendered in row)
        if lost:
            name, prompt = row[0].sequence.example, row[0].prompt
            what = (
                f"its prompt alone has {prompt} tokens" if prompt >= max_length else f"its prompt has {prompt} tokens"
            )
            yield Issue(
                check="cut",
                examples=(name,),
                severity=0.8,
                flagged=True,
                why=f"{name} loses {lost} learned tokens at max_length={max_length}; {what}",
                remedy="raise max_length, or shorten the row; until then it is left out of training",
            )
