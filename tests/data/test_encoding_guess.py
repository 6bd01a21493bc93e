"""The encoding a refusal names is that of the whole file, whichever of its rows is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.data.text import blemish

TEXTS = {
    "money": "it costs £5 at the bank in town",
    "german": "Das Hotel war schön, das Frühstück großartig für Gäste",
    "french": "Où est mon café glacé à la crème, ça coûte 5 euros",
    "spanish": "¿Dónde está el niño? ¡Mañana!",
    "danish": "Vi købte øl og brød i Ærøskøbing",
}


def advice(folder: Path, rows: list[str], encoding: str, refused: str) -> str:
    path = folder / "rows.csv"
    path.write_bytes("\n".join(rows).encode(encoding))
    return blemish(refused.encode(encoding).decode("utf-8", "surrogateescape"), path) or ""


@pytest.mark.parametrize("encoding", ["cp1252", "cp850"])
@pytest.mark.parametrize("kind", TEXTS)
def test_western_text_is_told_by_how_it_reads(kind: str, encoding: str, tmp_path: Path) -> None:
    rows = [f"{TEXTS[kind]} {n}" for n in range(40)]
    assert f"data.encoding={encoding} (convert: --encoding {encoding})" in advice(tmp_path, rows, encoding, rows[0])


@pytest.mark.parametrize("kind", TEXTS)
def test_an_odd_first_row_changes_nothing(kind: str, tmp_path: Path) -> None:
    rows = ["ZOË !", *(f"{TEXTS[kind]} {n}" for n in range(40))]
    found = [advice(tmp_path, rows, "cp1252", row) for row in rows]
    assert all("data.encoding=cp1252 " in one for one in found)
    assert "'ZOË !' reads right" in found[0]


def test_lines_from_all_over_the_file_are_looked_at(tmp_path: Path) -> None:
    """The first 300 lines are as good in cp1252; those that tell are behind them."""
    rows = ["£" for _ in range(300)] + [TEXTS["german"]] * 2_000
    assert "data.encoding=cp850 " in advice(tmp_path, rows, "cp850", rows[-1])
