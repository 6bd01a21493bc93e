"""The audit's figures as a page: what stands between the two marks in docs/audit.md, and the plot beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from pathlib import Path

import marked
from audit_scale import Cost
from audit_score import Ranking, Score, rate
from audit_truths import Truth, Untouched
from environment import Machine
from marked import row

COLOURS = {"labels": "#0072b2", "texts": "#d55e00"}
SECONDS, MEMORY = 300, 2e9
"""What a million rows may cost."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything on the page."""

    scores: Sequence[Score]
    rankings: Sequence[Ranking]
    truths: Sequence[Truth]
    untouched: Sequence[Untouched]
    left_out: Mapping[str, str]
    """What could not be measured, and why."""
    costs: Sequence[Cost]


def write(page: Path, machine: Machine, found: Measured, *, command: str) -> None:
    """Puts the figures between the marks and the plot beside the page. Raises SystemExit where there are no marks."""
    marked.write(page, lines(machine, found, command), script="bench/audit.py")
    if found.costs:
        page.with_suffix(".svg").write_text(plot(found.costs), encoding="utf-8")


def lines(machine: Machine, found: Measured, command: str) -> Iterable[str]:
    """The generated part, line by line."""
    memory = f"{machine.cores} cores, {machine.memory_gb:.0f} GB"
    yield f"Machine: {machine.processor}, {memory}; {machine.system}; load before {machine.load:.2f}."
    yield f"Command: `{command}`."
    if found.scores:
        yield from bars(found.scores)
        yield from ranked(found.rankings)
        yield from known(found.truths)
        yield from details("Every defect in every set", (*planted(found.scores), "", *wholes(found.scores)))
        yield from untouched(found.untouched)
    yield from (f"\nLeft out: {what}: {why}." for what, why in found.left_out.items())
    if found.costs:
        yield from costs(found.costs)


def bars(scores: Sequence[Score]) -> Iterable[str]:
    """Each check with the worst of its sets, beside the bar."""
    yield "\n### Planted and found\n"
    yield "Of each check the lowest figures over its defects and sets. Those without a bar are told below only.\n"
    yield row("check", "defects × sets", "recall, lowest", "precision, lowest", "bar", "")
    yield "|---|---|---|---|---|---|"
    for check in dict.fromkeys(one.plant.check for one in scores):
        own = [one for one in scores if one.plant.check == check and one.plant.bar]
        if own:
            recall = min(own, key=lambda one: one.found / one.of)
            precise = min(own, key=lambda one: one.right / max(1, one.told))
            missed = sorted({f"{one.plant.what} ({one.plant.data})" for one in own if not one.reached})
            word = "reached" if not missed else f"**not reached**: {'; '.join(missed)}"
            figures = rate(recall.found, recall.of), rate(precise.right, precise.told)
            yield row(f"`{check}`", str(len(own)), *figures, f"{own[0].plant.bar:g}", word)


def planted(scores: Sequence[Score]) -> Iterable[str]:
    """Rows that were broken."""
    yield row("check", "what was planted", "in", "recall (95 %)", "precision (95 %)", "flagged before", "µs a row")
    yield "|---|---|---|---|---|---|---|"
    for one in scores:
        if not one.whole:
            figures = rate(one.found, one.of), rate(one.right, one.told)
            cost = f"{1e6 * one.seconds / one.rows:.0f}"
            yield row(f"`{one.plant.check}`", one.plant.what, one.plant.data, *figures, f"{one.before:,}", cost)


def wholes(scores: Sequence[Score]) -> Iterable[str]:
    """Defects of the whole."""
    yield row("check", "what was planted", "in", "seen (95 %)", "silent without it (95 %)", "µs a row")
    yield "|---|---|---|---|---|---|"
    for one in scores:
        if one.whole:
            figures = rate(one.found, one.of), rate(one.right, one.told)
            cost = f"{1e6 * one.seconds / one.rows:.0f}"
            yield row(f"`{one.plant.check}`", one.plant.what, one.plant.data, *figures, cost)


def ranked(rankings: Sequence[Ranking]) -> Iterable[str]:
    """Labels by how wrong they look."""
    yield "\n### Wrong labels, ranked\n"
    yield row("in", "what was planted", "area under the ROC curve (95 %)", "precision at k (95 %)", "rows")
    yield "|---|---|---|---|---|"
    for one in rankings:
        area = f"{one.area.value:.4f} ({one.area.low:.4f} to {one.area.high:.4f})"
        yield row(one.plant.data, one.plant.what, area, rate(one.right, one.k), f"{one.rows:,}")


def known(truths: Sequence[Truth]) -> Iterable[str]:
    """What must be so."""
    yield "\n### Known truths\n"
    yield row("what", "is", "found", "")
    yield "|---|---|---|---|"
    for one in truths:
        yield row(one.what, one.wanted, one.found, "holds" if one.holds else "**does not hold**")


def details(title: str, inside: Iterable[str]) -> Iterable[str]:
    """Folded away until it is wanted."""
    yield f"\n<details><summary>{title}</summary>\n"
    yield from inside
    yield "\n</details>"


def untouched(found: Sequence[Untouched]) -> Iterable[str]:
    """What is flagged in the real sets as they are; checks that are silent on all are left out."""
    sets = {one.data: one.rows for one in found}
    cell = {
        (one.check, one.data): f"{one.issues:,} ({100 * one.named / one.rows:.2f} %)" for one in found if one.issues
    }
    yield "\n### Flagged in the real rows as they are\n"
    yield "Issues, and the share of the rows that they name. Checks that flag nothing in any set are not listed.\n"
    yield row("check", *(f"{name} ({rows:,} rows)" for name, rows in sets.items()))
    yield "|---" * (1 + len(sets)) + "|"
    for check in dict.fromkeys(one.check for one in found if one.issues):
        yield row(f"`{check}`", *(cell.get((check, name), "0") for name in sets))


def costs(found: Sequence[Cost]) -> Iterable[str]:
    """Time and memory by rows, then the largest audit by check."""
    yield "\n### Cost\n"
    columns = ("seconds", "CPU seconds", "µs of CPU a row", "memory after reading", "memory at most")
    yield row("rows made of", "rows", *columns, "")
    yield "|---|---|---|---|---|---|---|---|"
    for cost in found:
        seconds = (f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{1e6 * cost.cpu_s / cost.rows:.0f}")
        memory = (f"{cost.read_bytes / 1e9:.2f} GB", f"{cost.peak_bytes / 1e9:.2f} GB")
        yield row(cost.kind, f"{cost.rows:,}", *seconds, *memory, afforded(cost))
    yield "\n![CPU seconds against rows](audit.svg)\n"
    largest = [max((cost for cost in found if cost.kind == kind), key=lambda cost: cost.rows) for kind in kinds(found)]
    yield from details(f"Where the time goes at {largest[0].rows:,} rows", spent(largest))


def afforded(cost: Cost) -> str:
    """Whether a million rows cost no more than they may."""
    if cost.rows < 1_000_000:
        return ""
    return "reached" if cost.wall_s <= SECONDS and cost.peak_bytes <= MEMORY else "**not reached**"


def spent(largest: Sequence[Cost]) -> Iterable[str]:
    """CPU time by what was done, the most first."""
    yield row("µs of CPU a row", *(cost.kind for cost in largest))
    yield "|---" * (1 + len(largest)) + "|"
    every = {what: sum(cost.spent_s.get(what, 0.0) for cost in largest) for cost in largest for what in cost.spent_s}
    for what in sorted(every, key=lambda what: -every[what]):
        each = [1e6 * cost.spent_s.get(what, 0.0) / cost.rows for cost in largest]
        if max(each) >= 0.5:
            yield row(what, *(f"{value:.1f}" for value in each))


def kinds(found: Sequence[Cost]) -> list[str]:
    """In the order they were measured in."""
    return list(dict.fromkeys(cost.kind for cost in found))


def plot(found: Sequence[Cost]) -> str:
    """CPU seconds against rows, both by tens, beside a line of cost in proportion to rows."""
    points = {
        kind: [(log10(one.rows), log10(max(one.cpu_s, 0.1))) for one in found if one.kind == kind]
        for kind in kinds(found)
    }
    rows, seconds = zip(*(point for own in points.values() for point in own), strict=True)
    left, right = min(rows), max(rows) + 1e-9
    low, high = floor(min(seconds)), ceil(max(seconds))

    def at(one: float, other: float) -> str:
        return f"{60 + 400 * (one - left) / (right - left):.1f} {250 - 220 * (other - low) / (high - low):.1f}"

    parts = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 300" font-family="sans-serif" font-size="12">']
    parts += ['<rect width="520" height="300" fill="white"/>', '<path d="M60 20V250H480" stroke="#444" fill="none"/>']
    parts += [text(at(one, low), f"{10**one:,.0f}", down=18, anchor="middle") for one in sorted(set(rows))]
    parts += [text(at(left, other), f"{10**other:g} s", right=-8, down=4) for other in range(low, high + 1)]
    reach = min(right - left, max(seconds) - low)
    ends = at(max(rows) - reach, max(seconds) - reach), at(max(rows), max(seconds))
    parts.append(f'<path d="M{ends[0]}L{ends[1]}" stroke="#999" stroke-dasharray="4 4"/>')
    for rank, (kind, own) in enumerate(points.items()):
        colour, places = COLOURS.get(kind, "#444"), [at(*point) for point in own]
        parts.append(f'<path d="M{"L".join(places)}" stroke="{colour}" fill="none" stroke-width="2"/>')
        parts += ['<circle cx="{}" cy="{}" r="3" fill="{}"/>'.format(*place.split(), colour) for place in places]
        parts.append(text(f"80 {36 + 16 * rank}", kind, colour=colour, anchor="start"))
    parts.append(text("80 68", "dashed: in proportion to rows", colour="#777", anchor="start"))
    parts.append(text("270 290", "rows", anchor="middle"))
    return "\n".join([*parts, "</svg>"]) + "\n"


def text(place: str, said: str, *, right: int = 0, down: int = 0, colour: str = "#222", anchor: str = "end") -> str:
    """Words at a place, or beside it."""
    x, y = map(float, place.split())
    return f'<text x="{x + right:g}" y="{y + down:g}" text-anchor="{anchor}" fill="{colour}">{said}</text>'
