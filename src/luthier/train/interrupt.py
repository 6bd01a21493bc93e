"""Ctrl-C and SIGTERM as a wish, not an accident: the step in hand is finished and saved; a second one stops at once."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_wishes = 0


def wishes() -> int:
    """How often a person asked this process to stop while something learned.

    Whoever runs one training after another compares it before and after: a wish in the step that ends a training
    stops nothing there.
    """
    return _wishes


@contextmanager
def interruption(say: Callable[[str], None]) -> Iterator[threading.Event]:
    """An event that is set by the first signal; the second raises KeyboardInterrupt. Handlers are put back after.

    Only the main thread may handle signals; elsewhere the event is never set.
    """
    wished = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        global _wishes
        _wishes += 1
        if wished.is_set():
            raise KeyboardInterrupt
        wished.set()
        say("stopping after this step and saving; once more stops at once, losing what came after the last checkpoint")

    if threading.current_thread() is not threading.main_thread():
        yield wished
        return
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield wished
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
