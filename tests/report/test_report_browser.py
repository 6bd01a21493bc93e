"""In a real browser the page's script runs under its own policy, and a hostile run runs nothing."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from luthier import report

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--dump-dom",
]  # fmt: skip

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")]


def opened(page: Path, profile: Path) -> tuple[str, str]:
    """The document after its scripts ran, and what the console said."""
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", page.resolve().as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout, "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.parametrize("task", ["choice", "text"])
def test_the_script_runs_and_the_console_stays_silent(kept: Path, tmp_path: Path, task: str) -> None:
    document, console = opened(report.write(kept / task), tmp_path)
    assert console == ""
    assert 'class="copy"' in document
    assert (task == "choice") == ("aria-sort" in document and "<button" in document.split("<tbody")[1])


def test_a_script_in_an_answer_does_not_run_even_where_escaping_fails(run: Path, tmp_path: Path) -> None:
    found = json.loads((run / "report.json").read_text())
    found["title"] = "<script>document.body.id = 'owned'</script>"
    (run / "report.json").write_text(json.dumps(found))
    page = report.write(run)
    unescaped = tmp_path / "unescaped.html"
    unescaped.write_text(html.unescape(page.read_text()))
    document, console = opened(unescaped, tmp_path / "profile")
    assert 'id="owned"' not in document
    assert "Content Security Policy" in console
