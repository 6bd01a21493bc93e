"""The table on the terminal: the verdict, the metrics, mended rows, and text that stays text."""

from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from luthier import report


def printed(run: Path, *, width: int = 110) -> str:
    """The summary as a terminal shows it."""
    console = Console(width=width, force_terminal=True, color_system=None, record=True)
    with console.capture() as capture:
        console.print(report.summary(run))
    return capture.get()


def test_the_summary_says_verdict_metrics_rows_and_the_page(kept: Path) -> None:
    shown = printed(kept / "choice")
    assert shown.lstrip().startswith("Tuning made the model better")
    assert "accuracy   0.378 [0.340, 0.416]" in shown
    assert shown.count("question  ") == 3
    assert "report.html" in shown


def test_a_run_without_test_rows_has_no_table_on_the_terminal(unmeasured: Path) -> None:
    shown = printed(unmeasured)
    assert "no test rows" in shown
    assert "metric" not in shown
    assert "report.html" in shown


def test_a_narrow_terminal_keeps_every_number(kept: Path) -> None:
    assert "0.378" in printed(kept / "choice", width=70)


def test_brackets_and_escapes_in_a_text_stay_text(run: Path) -> None:
    answers = {"text": "[bold]\x1b[2Jx[/nope]", "scores": {"exact": 0.0}}
    row = {"id": "a", "question": "[red]q", "base": answers, "tuned": {**answers, "scores": {"exact": 1.0}}}
    (run / "predictions.jsonl").write_text(json.dumps(row) + "\n")
    shown = printed(run)
    assert "[bold]␛[2Jx[/nope]" in shown
    assert "[red]q" in shown
    assert "\x1b[2J" not in shown
