"""Findings that may be mailed: what quotes a row shows of its personal data and secrets only what their findings show.

Not here: what the rows become, which `redact` and `--fix` decide. A quotation may have been cut within a value, so that
no pattern knows the rest; what stands beside an ellipsis is held against the values of the finding's own rows.

"'my key is sk-proj-Ab12Cd34..." of a row with sk-proj-Ab12Cd34Ef56Gh78Ij90Kl   ->   "'my key is [KEY sk-p…]..."
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from luthier.checks.check import Corpus, Table
from luthier.checks.privacy import RECOGNISERS
from luthier.checks.recognise import Found, found
from luthier.checks.redact import masked
from luthier.checks.turns import said
from luthier.types import Example, Issue, Json

_QUOTED: Final = 8
"""Rows of a finding from which it may quote."""
_TELLING: Final = 5
"""Characters of a value from which a piece of it is taken out; a finding itself shows up to 4."""
_CUT: Final = re.compile(r"\.\.\.|…")


def discreet(corpus: Corpus, issues: Iterable[Issue]) -> Iterator[Issue]:
    """The same findings, without whole values in what they say."""
    rows: dict[str, Example] = {}
    for issue in issues:
        why, remedy = masked(issue.why), masked(issue.remedy)
        if _CUT.search(why):
            rows = rows or {row.id: row for some in (corpus.rows, *corpus.against.values()) for row in some}
            for value in _values(rows[name] for name in issue.examples[:_QUOTED] if name in rows):
                why = _without_pieces(why, value)
        yield issue if (why, remedy) == (issue.why, issue.remedy) else replace(issue, why=why, remedy=remedy)


def discreet_table(table: Table) -> Table:
    """The same table, without whole values in its cells."""
    return replace(table, rows=tuple(tuple(_cell(cell) for cell in row) for row in table.rows), note=masked(table.note))


def _cell(cell: Json) -> Json:
    return masked(cell) if isinstance(cell, str) else cell


def _values(rows: Iterable[Example]) -> Iterator[Found]:
    for row in rows:
        for one in said(row):
            yield from found(one.text, RECOGNISERS)


def _without_pieces(text: str, value: Found) -> str:
    """Takes out the beginning of a value that an ellipsis cuts off, and the end of one that follows an ellipsis."""
    whole = " ".join(value.value.split())
    shown = f"[{value.by.name} {value.masked}]"
    for cut in reversed(list(_CUT.finditer(text))):
        before, after = text[: cut.start()], text[cut.end() :]
        for count in range(len(whole) - 1, _TELLING - 1, -1):
            if before.endswith(whole[:count]):
                before = before[:-count] + shown
                break
        for count in range(len(whole) - 1, _TELLING - 1, -1):
            if after.startswith(whole[-count:]):
                after = shown + after[count:]
                break
        text = before + cut[0] + after
    return text
