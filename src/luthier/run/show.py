"""What a run tells a person while it goes on: sentences, coloured rows, bars. Silent where a machine is reading."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console, RenderableType
from rich.progress import Progress as Bars
from rich.progress import TaskID
from rich.text import Text

from luthier.train.log import Progress, spoken

PLAIN_EVERY = 10
"""Off a terminal, a stage of work is told in this many lines."""
PLAIN_S = 2.0
"""Seconds between two of them, at least: what is soon done needs no lines."""


class Show:
    """One console for a whole run; `silent` tells nothing but still works."""

    def __init__(self, *, silent: bool = False, console: Console | None = None) -> None:
        self.silent = silent
        self.console = console or Console(stderr=True, emoji=False, highlight=False, soft_wrap=True)
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}
        self._told: dict[str, int] = {}
        self._begun: dict[str, tuple[int, float]] = {}
        self._last = monotonic()

    def say(self, what: RenderableType) -> None:
        """Prints a sentence, a table, a row."""
        if not self.silent:
            self.console.print(what, markup=False)

    def training(self) -> Progress:
        """The bar of the training loop."""
        return Progress("silent" if self.silent else "auto", console=self.console)

    def stage(self, title: str, done: int, total: int, *, unit: str = "") -> None:
        """Moves a named piece of work on; it ends when `done` reaches `total`, and when what it is part of moves on.

        unit: what is counted, where the title leaves it open.
        """
        if self.silent or total <= 0:
            return
        if not self.console.is_terminal:
            return self._line(title, done, total, f"{unit} {done:,} of {total:,}".strip())
        if self._bars is None:
            self._bars = Bars(console=self.console, transient=True)
            self._bars.start()
        if title not in self._tasks:
            self._tasks[title] = self._bars.add_task(title, total=total)
        for part in list(self._tasks)[list(self._tasks).index(title) + 1 :]:
            self._bars.remove_task(self._tasks.pop(part))
        self._bars.update(self._tasks[title], completed=done, total=total)
        if done >= total:
            self._bars.remove_task(self._tasks.pop(title))

    @contextmanager
    def stages(self) -> Iterator[None]:
        """Leaves no bar on the screen, whatever happens within."""
        try:
            yield
        finally:
            self._rest()

    def _rest(self) -> None:
        if self._bars is not None:
            self._bars.stop()
        self._bars, self._tasks = None, {}

    def _line(self, title: str, done: int, total: int, said: str) -> None:
        now, tenth = monotonic(), done * PLAIN_EVERY // total
        first, begun = self._begun.setdefault(title, (done, now))
        if tenth > self._told.get(title, 0) and now - self._last >= PLAIN_S:
            left = (total - done) * (now - begun) / (done - first) if done > first else 0.0
            self.say(f"{title}: {said}" + (f", {spoken(left)} left" if left >= PLAIN_S else ""))
            self._last = now
        if done >= total:
            del self._begun[title]
        self._told[title] = tenth if done < total else 0


def coloured(pieces: Iterable[tuple[str, bool]]) -> Text:
    """A row's text with what is learned in green and underlined, what is not in grey."""
    text = Text()
    for piece, learned in pieces:
        text.append(piece, style="bold green underline" if learned else "dim")
    return text
