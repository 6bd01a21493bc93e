"""The ledger: every row that was read, once, with its split and what became of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from luthier.data.read import LeftOut
from luthier.data.render import Rendered
from luthier.errors import RunError
from luthier.types import Example

Fate = Literal["kept", "cut", "left out"]
"""Used; not used because its answer did not fit; not used for another reason."""


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One row that was read."""

    id: str
    split: str | None
    """`train`, `validation`, `test`, `replay`; None for a row that became no example."""
    fate: Fate
    reason: str | None
    """Why it was not used; None where it was."""
    tokens: int | None
    """Length of its longest completion with the prompt; None where it was not rendered."""
    supervised: int | None
    """Learned tokens of all its completions that fit; None where it was not rendered."""


def ledger(
    splits: Mapping[str, Sequence[Example]],
    rendered: Mapping[str, Sequence[Rendered]],
    left_out: Iterable[LeftOut] = (),
) -> tuple[LedgerRow, ...]:
    """The fate of every row: those of the splits, with what was rendered of them by id, then those left out.

    A row of a split that is also in `left_out` keeps its split and is left out. Raises RunError where two rows have
    one id.
    """
    reasons: dict[str, str] = {}
    for row in left_out:
        if row.id in reasons:
            raise RunError(f"{row.id}: was left out twice; give files of one name distinct names")
        reasons[row.id] = row.reason
    rows = [
        _row(example.id, part, rendered.get(example.id, ()), reasons.pop(example.id, None))
        for part, examples in splits.items()
        for example in examples
    ]
    rows += [LedgerRow(name, None, "left out", reason, None, None) for name, reason in reasons.items()]
    seen: set[str] = set()
    for entry in rows:
        if entry.id in seen:
            raise RunError(f"{entry.id}: names two rows; give files of one name distinct names")
        seen.add(entry.id)
    return tuple(rows)


def write_ledger(path: Path, rows: Iterable[LedgerRow]) -> None:
    """Write the rows as JSON lines, in one step: a file that is there is whole."""
    draft = path.with_suffix(".tmp")
    with draft.open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def _row(name: str, part: str, rendered: Sequence[Rendered], reason: str | None) -> LedgerRow:
    if not rendered:
        return LedgerRow(name, part, "left out" if reason else "kept", reason, None, None)
    lost = sum(row.cut for row in rendered)
    tokens = max(len(row.sequence) for row in rendered)
    supervised = sum(row.sequence.supervised for row in rendered)
    if reason is None and lost:
        return LedgerRow(name, part, "cut", f"{lost} learned tokens did not fit in max_length", tokens, supervised)
    return LedgerRow(name, part, "left out" if reason else "kept", reason, tokens, supervised)
