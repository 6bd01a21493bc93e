"""Two fake runs, written once, and a way to read a page back."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_runs import write_run
from page_reading import Page, read_page

from luthier import report


@pytest.fixture(scope="session")
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


@pytest.fixture(scope="session")
def choice_page(kept: Path) -> Page:
    """The choice run's page, read back."""
    return read_page(report.write(kept / "choice"))


@pytest.fixture(scope="session")
def text_page(kept: Path) -> Page:
    """The text run's page, read back."""
    return read_page(report.write(kept / "text"))
