"""What a hub dataset cannot give is said in a sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from luthier.data.hub import hub_records
from luthier.errors import DataError

datasets = pytest.importorskip("datasets")


def test_a_table_that_cannot_be_built_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    folder = tmp_path / "rows"
    folder.mkdir()
    (folder / "train.jsonl").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(DataError, match="cannot be loaded from the hub"):
        hub_records(str(folder), "train")
