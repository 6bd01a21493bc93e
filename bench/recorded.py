"""Every measured figure on disk, a line an arm, and findings of earlier runs read back from there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from environment import Machine
from limit import Counts
from page import Finding
from prepare import RECIPES
from tuned import Trial
from work import Measured, Work

PRECISE = " in float32"


def record(results: Path, here: Machine, findings: list[Finding]) -> None:
    """Keeps the findings under a line for the machine."""
    lines = [json.dumps({"machine": asdict(here)})]
    for finding in findings:
        counts = [asdict(step) for step in finding.work.counts]
        lines += [
            json.dumps(
                {"work": finding.work.key, "counts": counts, "command": finding.command, "tuned": finding.settings}
            )
        ]
        lines += [json.dumps({"name": f"{name}{PRECISE}", **asdict(run)}) for name, run in finding.precise.items()]
        lines += [json.dumps({"work": finding.work.key, "tried": asdict(trial)}) for trial in finding.trials]
        lines += [json.dumps({"name": name, **asdict(run)}) for name, runs in finding.arms.items() for run in runs]
    results.write_text("\n".join(lines) + "\n", encoding="utf-8")


def recorded(results: Path, here: Machine, works: Path) -> Iterator[Finding]:
    """What was recorded on this machine; works: the folder with the rows of each.

    Raises SystemExit where it was another machine: figures of two do not stand in one table.
    """
    first, *lines = (json.loads(line) for line in results.read_text(encoding="utf-8").splitlines())
    kind = (here.processor, here.cores)
    if (first["machine"]["processor"], first["machine"]["cores"]) != kind:
        raise SystemExit(f"{results}: measured on {first['machine']['processor']}, not here; leave --keep out")
    begun = [at for at, line in enumerate(lines) if "counts" in line]
    for start, end in zip(begun, [*begun[1:], len(lines)], strict=True):
        yield _finding(lines[start], lines[start + 1 : end], works)


def _finding(head: dict[str, Any], lines: list[dict[str, Any]], works: Path) -> Finding:
    work = replace(Work.open(works / f"{head['work']}.json"), counts=tuple(Counts(**step) for step in head["counts"]))
    precise, arms = dict[str, Measured](), dict[str, list[Measured]]()
    for line in lines:
        if (name := line.pop("name", None)) is None:
            continue
        found = Measured.from_line(json.dumps(line))
        if name.endswith(PRECISE):
            precise[name.removesuffix(PRECISE)] = found
        else:
            arms.setdefault(name, []).append(found)
    trials = [Trial(**line["tried"]) for line in lines if "tried" in line]
    settings = head["tuned"]
    return Finding(work, RECIPES[work.key], precise, arms, settings, trials, head.get("command", ""))
