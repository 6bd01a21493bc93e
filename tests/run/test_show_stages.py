"""What a person sees of long work: what is going on and how long it will be, and nothing that has ended."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from luthier.run import show as module
from luthier.run.show import Show


def test_a_part_ends_when_what_it_is_part_of_moves_on() -> None:
    told = Show(console=Console(file=io.StringIO(), force_terminal=True))
    with told.stages():
        told.stage("checks", 0, 3)
        told.stage("prompts", 40, 100)
        told.stage("meanings", 40, 100)
        assert list(told._tasks) == ["checks", "prompts", "meanings"]
        told.stage("checks", 1, 3)
        assert list(told._tasks) == ["checks"]
        told.stage("checks", 3, 3)
        assert not told._tasks


def test_off_a_terminal_a_line_says_how_long_the_rest_will_take(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.0, 30.0, 60.0, 61.0, 62.0])
    monkeypatch.setattr(module, "monotonic", lambda: next(times))
    out = io.StringIO()
    told = Show(console=Console(file=out))
    for done in (0, 250, 500, 1000):
        told.stage("rows", done, 1000)
    assert out.getvalue().splitlines() == ["rows: 250 of 1,000, 1 min 30 s left", "rows: 500 of 1,000, 1 min 00 s left"]
