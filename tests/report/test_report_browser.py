"""In a real browser the page's script runs under its own policy, and a hostile run runs nothing."""

from __future__ import annotations

import html
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from made_runs import made

from luthier import report
from luthier.report import comparison
from luthier.report.compared import compare

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
    heads = [part.partition("</thead>")[0] for part in document.split("<thead")[1:]]
    assert (task == "choice") == any('aria-sort="ascending"' in head and "<button" in head for head in heads)


def test_the_page_of_compared_runs_is_silent_too(tmp_path: Path) -> None:
    runs = [made(tmp_path / name, [at % 3 > less for at in range(60)]) for less, name in enumerate(("one", "other"))]
    document, console = opened(comparison.write(compare(runs), tmp_path / "compare.html"), tmp_path / "profile")
    assert console == ""
    assert 'class="cursor' not in document
    assert "one is better than other" in document


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
