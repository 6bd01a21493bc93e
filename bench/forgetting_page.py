"""What each way of tuning cost, kept and gained, as a page: between the marks of docs/forgetting.md, and its plot."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from environment import Machine

from luthier.evaluate.forgetting import Measure, Reading, probe, read
from luthier.words import counted

RESAMPLES = 2000
BEGIN, END = "<!-- measured: begin (written by bench/forgetting.py) -->", "<!-- measured: end -->"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#555555", "#8c510a")


@dataclass(frozen=True, slots=True)
class Change:
    """One measure before and after, the difference with its 95 % interval."""

    before: float
    after: float
    difference: float
    low: float
    high: float
    n: int

    @property
    def seen(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, slots=True)
class Away:
    """Nats a token from the model before, with the 95 % interval."""

    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class Way:
    """One way of learning two tasks, one after the other."""

    said: str
    seconds: float
    """In the steps of both tasks, and in writing replay where there is any; no judging."""
    steps: int
    """Of both tasks."""
    learning: int
    """Parameters that learn."""
    peak_bytes: int
    learned: Change
    """Accuracy on the first task, by learning it."""
    metric: str
    """The second task's deciding one."""
    gained: Change
    """On the second task."""
    loss: Change
    """Its nats a token."""
    first: Change
    """Accuracy on the first task, by learning the second."""
    general: Change
    """Accuracy on general questions, from the base to the end."""
    texts: dict[str, Change]
    """Bits per byte by kind of text, from the base to the end."""
    away: tuple[Away, Away]
    """On general prompts, what the first task did and what the second."""

    def told(self) -> str:
        """A line for whoever waits."""
        return (
            f"{self.said}: {self.metric} {figure(self.gained.after)}, banking77 {self.first.before:.3f} to "
            f"{self.first.after:.3f}, general questions {self.general.difference:+.3f}, {self.seconds:.0f} s"
        )


def way(said: str, first: Path, second: Path) -> Way:
    """What two finished run folders say of it."""
    reports = [json.loads((run / "report.json").read_text(encoding="utf-8")) for run in (first, second)]
    then: dict[str, Any] = reports[1]
    metric, n = then["verdict"]["metric"], then["verdict"]["n"]
    file = of_kind(then, "file")
    return Way(
        said=said,
        seconds=sum(spent(run, report) for run, report in zip((first, second), reports, strict=True)),
        steps=sum(report["steps"] for report in reports),
        learning=then["model"]["trainable"],
        peak_bytes=max(report["cost"]["took"]["peak_bytes"] for report in reports),
        learned=change(reports[0]["metrics"]["accuracy"], reports[0]["verdict"]["n"]),
        metric=metric,
        gained=change(then["metrics"][metric], n),
        loss=change(then["metrics"]["loss"], n),
        first=change(file, file["n"]),
        general=general(first, second),
        texts=texts(first, second),
        away=(away(reports[0]), away(then)),
    )


def spent(run: Path, report: dict[str, Any]) -> float:
    """Seconds a run took in steps and in writing replay."""
    lines = map(json.loads, (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    return (
        sum(line["seconds"] for line in lines if line["kind"] == "step")
        + (report["replay"] or {"seconds": 0})["seconds"]
    )


def of_kind(report: dict[str, Any], kind: str) -> dict[str, Any]:
    """The first measure of a kind."""
    found: dict[str, Any] = next(one for one in report["forgetting"]["measures"] if one["kind"] == kind)
    return found


def away(report: dict[str, Any]) -> Away:
    """How far a run went from where it began, on general prompts."""
    found = of_kind(report, "divergence")
    return Away(**pick(found["tuned"]), n=found["n"])


def general(first: Path, second: Path) -> Change:
    """The general questions as the base answered them, and as they are answered after both tasks."""
    before = json.loads((first / "forgetting" / "base.json").read_text(encoding="utf-8"))["answers"]
    after = {one["question"]: one["tuned"]["text"] for one in jsonl(second / "forgetting" / "questions.jsonl")}
    found = probe(before, after, resamples=RESAMPLES, seed=0)
    if found is None:
        raise SystemExit(f"{second}: no general question was asked")
    return measured(found)


def texts(first: Path, second: Path) -> dict[str, Change]:
    """The bundled texts as the base read them, and as they are read after both tasks."""
    known = json.loads((first / "forgetting" / "base.json").read_text(encoding="utf-8"))["readings"]
    after = [
        Reading(one["kind"], one["tuned_nats"], one["bytes"]) for one in jsonl(second / "forgetting" / "passages.jsonl")
    ]
    found = read([Reading(**one) for one in known], after, resamples=RESAMPLES, seed=0)
    return {one.name: measured(one) for one in found}


def measured(one: Measure) -> Change:
    """A measure that was computed here."""
    if one.difference is None:
        raise SystemExit(f"{one.name}: has no difference")
    return Change(one.base.value, one.tuned.value, one.difference.value, one.difference.low, one.difference.high, one.n)


def jsonl(path: Path) -> list[dict[str, Any]]:
    """A file of a run."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def change(found: dict[str, Any], n: int) -> Change:
    """A measure of report.json: base, tuned, difference."""
    apart = pick(found["difference"])
    return Change(found["base"]["value"], found["tuned"]["value"], apart["value"], apart["low"], apart["high"], n)


def pick(found: dict[str, Any]) -> dict[str, float]:
    """A value with its ends."""
    return {name: found[name] for name in ("value", "low", "high")}


def write(page: Path, machine: Machine, found: Sequence[Way], *, command: str) -> None:
    """Puts the figures between the marks and the plot beside the page. Raises SystemExit where there are no marks."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{page}: the lines {BEGIN} and {END} are not there, so the figures have no place")
    page.write_text(
        f"{before}{BEGIN}\n\n{chr(10).join(lines(machine, found, command))}\n\n{END}{after}", encoding="utf-8"
    )
    page.with_suffix(".svg").write_text(plot(found), encoding="utf-8")


def lines(machine: Machine, found: Sequence[Way], command: str) -> Iterable[str]:
    """The generated part, line by line."""
    memory = f"{counted(machine.cores, 'core')}, {machine.memory_gb:.0f} GB"
    yield f"Machine: {machine.processor}, {memory}; {machine.system}; load before {machine.load:.2f}."
    yield f"Command: `{command}`. One run each, seed 0.\n"
    yield from (f"* {sentence}" for sentence in reading(found))
    yield "\n![What was gained on the second task against what was kept of the first](forgetting.svg)\n"
    yield from costs(found)
    yield from kept(found)


def costs(found: Sequence[Way]) -> Iterable[str]:
    """What each way took, and what it brought."""
    some = found[0]
    yield "### What it costs, and what is learned\n"
    gains = (f"banking77, accuracy ({some.learned.n} rows)", f"{some.metric} on E2E ({some.gained.n} sets of facts)")
    yield row("", "parameters that learn", "steps", "seconds", "memory", gains[0], gains[1], "change by learning E2E")
    yield "|---" * 8 + "|"
    for one in found:
        size = (f"{one.learning / 1e6:.1f} M", str(one.steps), f"{one.seconds:.0f}", f"{one.peak_bytes / 1e9:.1f} GB")
        yield row(one.said, *size, f"{one.learned.after:.3f}", figure(one.gained.after), told(one.gained))
    yield f"\nThe base answers {some.learned.before:.3f} of banking77's rows right.\n"


def kept(found: Sequence[Way]) -> Iterable[str]:
    """What was there before."""
    some = found[0]
    yield "### What is kept\n"
    marks = (f"banking77 after E2E ({some.first.n} rows)", "change by learning E2E")
    both = (
        f"general questions ({some.general.n})",
        "change from the base",
        *(f"{name}, bits per byte" for name in some.texts),
    )
    yield row("", *marks, *both)
    yield "|---" * (1 + len(marks) + len(both)) + "|"
    for one in found:
        own = (f"{one.first.after:.3f}", told(one.first), f"{one.general.after:.3f}", told(one.general))
        yield row(one.said, *own, *(told(change) for change in one.texts.values()))
    start = ", ".join(f"{name} {change.before:.3f}" for name, change in some.texts.items())
    yield f"\nThe base: general questions {some.general.before:.3f}; bits per byte, of which less is better: {start}.\n"
    yield f"How far each task took the model, nats a token on {some.away[0].n} general prompts:\n"
    yield row("", "banking77", "E2E")
    yield "|---|---|---|"
    for one in found:
        yield row(one.said, *(f"{a.value:.3f} [{a.low:.3f}, {a.high:.3f}]" for a in one.away))


def reading(found: Sequence[Way]) -> Iterable[str]:
    """What the tables say, where an interval allows it."""
    lost, left = ([one for one in found if (one.first.high < 0) == gone] for gone in (True, False))
    yield f"Lost of the first task by learning the second, the interval excluding 0: {names(lost)}."
    yield f"No loss seen there: {names(left)}."
    yield f"Lost of the general questions over both tasks: {names([one for one in found if one.general.high < 0])}."
    learned = [one for one in found if one.gained.low > 0]
    yield f"Gained on the second task, the interval excluding 0: {names(learned)}."
    ranked = sorted(found, key=lambda one: one.first.after)
    best, least = ranked[-1], ranked[0]
    yield (
        f"Most of the first task was kept by *{best.said}* ({best.first.after:.3f}), least by *{least.said}* "
        f"({least.first.after:.3f}); on the second they reach {figure(best.gained.after)} and "
        f"{figure(least.gained.after)}."
    )
    fast, slow = min(found, key=lambda one: one.seconds), max(found, key=lambda one: one.seconds)
    yield f"The cheapest was *{fast.said}* ({fast.seconds:.0f} s), the dearest *{slow.said}* ({slow.seconds:.0f} s)."


def names(some: Sequence[Way]) -> str:
    """A list in words."""
    return "; ".join(one.said for one in some) or "none"


def told(one: Change) -> str:
    """A difference with its interval, bold where 0 is outside."""
    text = f"{figure(one.difference, '+')} [{figure(one.low, '+')}, {figure(one.high, '+')}]"
    return f"**{text}**" if one.seen else text


def figure(value: float, sign: str = "") -> str:
    """A share or bits to three places, a score out of a hundred to one."""
    return f"{value:{sign}.{1 if abs(value) > 2 else 3}f}"


def row(*cells: str) -> str:
    """A line of a table."""
    return "| " + " | ".join(cells) + " |"


def plot(found: Sequence[Way]) -> str:
    """Kept of the first task to the right, gained on the second upwards, each with its interval."""
    x = [edge for one in found for edge in (one.first.before + one.first.low, one.first.before + one.first.high)]
    y = [edge for one in found for edge in (one.gained.before + one.gained.low, one.gained.before + one.gained.high)]
    (left, right), (low, high) = padded([*x, *(one.first.before for one in found)]), padded(y)

    def across(value: float) -> float:
        return round(70 + 400 * (value - left) / (right - left), 1)

    def up(value: float) -> float:
        return round(330 - 300 * (value - low) / (high - low), 1)

    height = 400 + 18 * len(found)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 {height}" font-family="sans-serif" font-size="12">',
        f'<rect width="520" height="{height}" fill="white"/>',
        '<path d="M70 20V330H480" stroke="#444" fill="none"/>',
        text(270, 372, "accuracy on banking77, before E2E (hollow) and after"),
        f'<g transform="rotate(-90 20 180)">{text(20, 180, f"{found[0].metric} on the second task")}</g>',
    ]
    parts += [text(across(value), 348, f"{value:g}") for value in ticks(left, right)]
    parts += [text(64, up(value) + 4, f"{value:g}", anchor="end") for value in ticks(low, high)]
    for rank, one in enumerate(found):
        colour, place = COLOURS[rank % len(COLOURS)], (across(one.first.after), up(one.gained.after))
        flat = across(one.first.before + one.first.low), across(one.first.before + one.first.high)
        tall = up(one.gained.before + one.gained.low), up(one.gained.before + one.gained.high)
        whisker = f"M{flat[0]} {place[1]}H{flat[1]}M{place[0]} {tall[0]}V{tall[1]}"
        parts.append(f'<path d="{whisker}" stroke="{colour}" stroke-opacity="0.5" fill="none"/>')
        parts.append(f'<circle cx="{place[0]}" cy="{place[1]}" r="4.5" fill="{colour}"/>')
        was = f'cx="{across(one.first.before)}" cy="{place[1]}" r="4.5" fill="white"'
        parts.append(
            f'<path d="M{across(one.first.before)} {place[1]}H{place[0]}" stroke="{colour}" stroke-dasharray="3 3"/>'
        )
        parts.append(f'<circle {was} stroke="{colour}"/>')
        parts.append(f'<circle cx="80" cy="{396 + 18 * rank}" r="4.5" fill="{colour}"/>')
        parts.append(text(92, 400 + 18 * rank, one.said, anchor="start"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def padded(values: Sequence[float]) -> tuple[float, float]:
    """From least to most with a little air."""
    air = 0.06 * (max(values) - min(values)) or 0.05
    return min(values) - air, max(values) + air


def ticks(low: float, high: float) -> list[float]:
    """Round places along an axis, a few of them."""
    rough = (high - low) / 4
    unit = 10.0 ** floor(log10(rough))
    step = unit * max(factor for factor in (1, 2, 5) if factor * unit <= rough)
    return [round(step * i, 9) for i in range(ceil(low / step), floor(high / step) + 1)]


def text(x: float, y: float, said: str, *, colour: str = "#222", anchor: str = "middle") -> str:
    """Words at a place."""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}">{escape(said)}</text>'
