"""One audit in a process of its own, so that its peak memory is its own: reads a CSV file, audits it, prints a line.

Every tenth row is taken for test. Times are this process' CPU seconds beside those on the clock.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections import defaultdict
from pathlib import Path

from luthier.checks import checks, surveys
from luthier.checks.audit import audit
from luthier.checks.check import Corpus
from luthier.data.read import ReadOptions, read

TITLES = {check.title: name for name, check in checks.items()}


class Clock:
    """CPU seconds by what was being done."""

    def __init__(self) -> None:
        self.spent: defaultdict[str, float] = defaultdict(float)
        self.doing, self.since = "imports", 0.0
        self.wall = time.perf_counter()

    def turn(self, doing: str) -> None:
        """Something else begins."""
        now = time.process_time()
        self.spent[self.doing] += now - self.since
        self.doing, self.since = doing, now

    def progress(self, what: str, done: int, total: int) -> None:
        """What the audit tells as it goes: a check's title at its beginning."""
        if what in TITLES:
            self.turn(TITLES[what])


def main() -> None:
    """Reads, audits, prints."""
    clock = Clock()
    clock.turn("reading")
    rows = read(sys.argv[1], ReadOptions(input="text", output="answer")).examples
    clock.turn("keys")
    splits = {"train": [row for at, row in enumerate(rows) if at % 10], "test": rows[::10]}
    corpus = Corpus(splits, progress=clock.progress)
    held = peak()
    keys = len(corpus.keys), len(corpus.answers)
    found = audit(corpus, fast=True)
    clock.turn("surveys")
    wall, top = time.perf_counter() - clock.wall, peak()
    for survey in surveys.values():
        list(survey(corpus))
    clock.turn("end")
    last = [name for name, check in checks.items() if not check.thorough][-1]
    clock.spent[last] = max(0.0, clock.spent[last] - clock.spent["surveys"])
    counts: defaultdict[str, int] = defaultdict(int)
    for issue in found.issues:
        counts[issue.check] += issue.flagged
    told = {"rows": keys[0], "wall_s": wall, "read_bytes": held, "peak_bytes": top}
    print(json.dumps({**told, "spent_s": clock.spent, "issues": counts, "skipped": list(found.skipped)}))


def peak() -> int:
    """The most memory held so far, in bytes; by VmHWM, since ru_maxrss begins with what the parent held."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s*(\d+)", status.read_text())[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
