"""Two fake runs, written once, and a way to read a page back."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_runs import write_run
from page_reading import Page, read_page

from luthier import report


@pytest.fixture(scope="package")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`choice` and `text`, to be read only."""
    folder = tmp_path_factory.mktemp("runs")
    for task in ("choice", "text"):
        write_run(folder / task, task=task)
    return folder


@pytest.fixture
def run(kept: Path, tmp_path: Path) -> Path:
    """A choice run of one's own."""
    return Path(shutil.copytree(kept / "choice", tmp_path / "run"))


@pytest.fixture
def unmeasured(run: Path) -> Path:
    """A run without test rows, as it is written."""
    (run / "predictions.jsonl").unlink()
    facts = json.loads((run / "report.json").read_text())
    sentence = "There are no test rows, so nothing is claimed."
    verdict = {"word": "not enough rows to tell", "metric": "none", "n": 0, "rows_needed": None, "sentence": sentence}
    dropped = ("task", "metrics", "tuned_on_all", "classes", "confusions")
    kept = {name: value for name, value in facts.items() if name not in dropped}
    (run / "report.json").write_text(json.dumps(kept | {"verdict": verdict}))
    return run


@pytest.fixture(scope="package")
def choice_page(kept: Path) -> Page:
    """The choice run's page, read back."""
    return read_page(report.write(kept / "choice"))


@pytest.fixture(scope="package")
def text_page(kept: Path) -> Page:
    """The text run's page, read back."""
    return read_page(report.write(kept / "text"))
