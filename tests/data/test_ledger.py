"""The ledger: every row once, with its fate; what is written reads back."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from tiny_tokenizers import CHATML, dialogue, tiny

from luthier.data.ledger import LedgerRow, ledger, write_ledger
from luthier.data.read import LeftOut
from luthier.data.render import render_all
from luthier.errors import RunError


def test_every_row_is_accounted_for_once_and_reads_back(tmp_path: Path) -> None:
    short, long, unseen = dialogue("Hi", "Yes", name="x:1"), dialogue("Hi", "Yes " * 50, name="x:2"), dialogue("a", "b")
    rendered = dict(zip(["x:1", "x:2"], render_all([short, long], tiny(CHATML), max_length=30), strict=True))
    out = [LeftOut("x:3", "'text' is empty"), LeftOut(unseen.id, "not wanted")]
    rows = ledger({"train": [short, long], "validation": [], "test": [unseen]}, rendered, out)
    kept, cut = rendered["x:1"][0].sequence, rendered["x:2"][0]
    assert rows == (
        LedgerRow("x:1", "train", "kept", None, len(kept), kept.supervised),
        LedgerRow(
            "x:2", "train", "cut", f"{cut.cut} learned tokens did not fit in max_length", 30, cut.sequence.supervised
        ),
        LedgerRow(unseen.id, "test", "left out", "not wanted", None, None),
        LedgerRow("x:3", None, "left out", "'text' is empty", None, None),
    )
    write_ledger(tmp_path / "rows.jsonl", rows)
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [asdict(row) for row in rows]
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


def test_a_row_that_stands_twice_is_refused() -> None:
    row = dialogue("Hi", "Yes", name="x:1")
    with pytest.raises(RunError, match="x:1: names two rows"):
        ledger({"train": [row], "test": [row]}, {})
    with pytest.raises(RunError, match="x:9: was left out twice"):
        ledger({}, {}, [LeftOut("x:9", "a"), LeftOut("x:9", "b")])
