"""The figures as a page: what stands between the two marks in docs/benchmarks.md; the words around them are written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median

import marked
from environment import Machine
from limit import flops
from marked import row
from prepare import Recipe
from tuned import Settings, Trial
from work import Measured, Work


@dataclass(frozen=True, slots=True)
class Finding:
    """One work with everything measured on it."""

    work: Work
    recipe: Recipe
    precise: dict[str, Measured]
    """Luthier and TRL in float32, one seed: what the others would give but for the rounding of bfloat16."""
    arms: dict[str, list[Measured]]
    """Luthier, TRL as it comes and TRL tuned, each once a round."""
    settings: Settings
    """TRL's tuned ones."""
    trials: list[Trial]
    command: str
    """By which it was measured."""

    @property
    def skip(self) -> int:
        """Steps that are not timed."""
        return self.arms["Luthier"][0].warmup

    def seconds(self, arm: str) -> list[float]:
        """Every timed step of every round."""
        return [s for run in self.arms[arm] for s in run.timed]

    def peak(self, arm: str) -> float:
        """Median over the rounds of the most memory held, in bytes."""
        return median(run.peak_bytes for run in self.arms[arm])

    def last(self, arm: str) -> list[float]:
        """The last loss of each seed."""
        return [ended(run) for run in self.arms[arm]]

    def limit(self, arm: str) -> float:
        """T_min in seconds, at the median rate this arm's processes measured."""
        counts = self.work.counts[self.skip :]
        useful = mean(flops(self.work.shape, step, rank=self.work.rank) for step in counts)
        return useful / median(run.rate for run in self.arms[arm])

    def share(self, arm: str) -> float:
        """T_min over the median step."""
        return self.limit(arm) / median(self.seconds(arm))


def write(page: Path, machine: Machine, findings: list[Finding]) -> None:
    """Puts the figures between the page's marks. Raises SystemExit where it has none."""
    marked.write(page, measured(machine, findings), script="bench/run.py")


def measured(machine: Machine, findings: list[Finding]) -> Iterable[str]:
    """The generated part, line by line."""
    first = findings[0].arms
    versions = {**first["Luthier"][0].versions, **first["TRL as it comes"][0].versions}
    yield f"Machine: {machine.processor}, {machine.cores} cores, {machine.memory_gb:.0f} GB, "
    yield f"{', '.join(machine.flags) or 'none of the vector extensions looked for'}; {machine.system}; "
    yield f"load before the run {machine.load:.2f}. Versions: {', '.join(f'{k} {v}' for k, v in versions.items())}.\n"
    yield from bars(findings)
    for finding in findings:
        yield from section(finding)


def bars(findings: list[Finding]) -> Iterable[str]:
    """Each figure beside its bar."""
    yield "| work | what | measured | bar | |"
    yield "|---|---|---|---|---|"
    for finding in findings:
        for what, found, bar, most in held(finding):
            reached = "" if bar is None else word(found <= bar if most else found >= bar)
            yield row(f"({finding.work.key})", what, f"{found:.2f}", "none" if bar is None else f"{bar:g}", reached)
    yield ""


def held(finding: Finding) -> Iterable[tuple[str, float, float | None, bool]]:
    """What is held against a bar: the words, the figure, the bar, and whether that is the most it may be."""
    recipe, memory = finding.recipe, finding.peak("Luthier") / finding.peak("TRL as it comes")
    yield "times as fast as TRL as it comes", ratio(finding, "TRL as it comes"), recipe.times_faster, False
    yield "times as fast as TRL tuned", ratio(finding, "TRL tuned"), recipe.times_tuned, False
    yield "share of the memory of TRL as it comes", memory, recipe.share_of_memory, True
    yield "share of the matrix-product peak", finding.share("Luthier"), recipe.share_of_peak, False


def section(finding: Finding) -> Iterable[str]:
    """One work: the arms, the losses, what was tried for TRL."""
    work, skip = finding.work, finding.skip
    distinct, logical = work.mean("distinct", skip=skip), work.mean("logical", skip=skip)
    yield f"### ({work.key}) {work.title}\n"
    timed = len(finding.arms["Luthier"][0].timed)
    yield f"{work.rows_per_step} rows a step: {logical:.0f} tokens, of which {distinct:.0f} distinct "
    yield f"(D = {logical / distinct:.2f}) and {work.mean('supervised', skip=skip):.0f} learned. "
    yield f"Rounds: {len(finding.arms['Luthier'])}, each of {timed} timed steps after {skip} of warm-up; "
    yield f"`{finding.command}`.\n"
    yield row(
        *("", "s a step, median (least to most)", "examples/s", "logical tokens/s", "distinct tokens/s"),
        *("peak memory", "T_min / T", "its products alone", "first loss", "last loss, over seeds"),
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name in finding.arms:
        yield arm(finding, name, distinct, logical)
    yield f"\n{losses(finding)}\n"
    yield from tried(finding)


def arm(finding: Finding, name: str, distinct: float, logical: float) -> str:
    """One arm's line."""
    runs, seconds = finding.arms[name], finding.seconds(name)
    step, last = median(seconds), finding.last(name)
    share = finding.share(name)
    if share > 1:
        raise SystemExit(f"({finding.work.key}) {name}: {share:.0%} of what is possible; something is measured wrongly")
    return row(
        name,
        f"{step:.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
        f"{finding.work.rows_per_step / step:.2f}",
        f"{logical / step:.0f}",
        f"{distinct / step:.0f}",
        f"{finding.peak(name) / 1e9:.2f} GB",
        f"{share:.1%}",
        f"{median(run.rate for run in runs) / 1e9:.0f} GFLOP/s, {runs[0].dtype}, {runs[0].rate_rows} rows",
        f"{runs[0].losses[0]:.4f}",
        f"{mean(last):.4f} ({min(last):.4f} to {max(last):.4f})",
    )


def losses(finding: Finding) -> str:
    """Whether the arms learned alike: whether mean last losses lie no further apart than seeds of one arm do."""
    said = "In float32, one seed, " + "; ".join(
        f"{name} begins at {run.losses[0]:.4f} and ends at {ended(run):.4f}" for name, run in finding.precise.items()
    )
    names = ("TRL as it comes", "TRL tuned")
    last = finding.last("Luthier")
    if len(last) < 2:
        return f"{said}. One seed says nothing of the noise."
    spread = max(max(found) - min(found) for found in map(finding.last, finding.arms))
    gap = max((mean(last) - mean(finding.last(name)) for name in names), key=abs)
    side = "above" if gap > 0 else "below"
    exact = abs(ended(finding.precise["Luthier"]) - ended(finding.precise["TRL"]))
    if finding.work.full:
        return (
            f"{said}. Where every weight learns nothing is drawn, so there is no noise of seeds to hold this against: "
            f"in float32 the two end {exact:.4f} apart; in bfloat16 ours ends at most {abs(gap):.4f} {side} TRL."
        )
    return (
        f"{said}. Seeds of one arm span up to {spread:.4f}. In float32 the two end {exact:.4f} apart, "
        f"{inside(exact, spread)} that; in bfloat16 ours ends at most {abs(gap):.4f} {side} TRL, "
        f"{inside(gap, spread)} it."
    )


def inside(gap: float, spread: float) -> str:
    """Plainly."""
    return "within" if abs(gap) <= spread else "NOT within"


def ended(run: Measured) -> float:
    """A run's last loss: the mean of its last three steps."""
    return mean(run.losses[-3:])


def tried(finding: Finding) -> Iterable[str]:
    """What was tried for TRL, and what was taken."""
    yield f"TRL tuned is `{json.dumps(finding.settings)}` on top of its defaults."
    if not finding.trials:
        yield "These settings were given, not searched for.\n"
        return
    yield "Tried, each on top of the best before it:\n\n| option | s a step | first loss | |\n|---|---|---|---|"
    for trial in finding.trials:
        figures = ((trial.seconds, 2), (trial.loss, 4))
        shown = ("" if value is None else f"{value:.{digits}f}" for value, digits in figures)
        yield row(trial.name, *shown, trial.remark)
    yield ""


def ratio(finding: Finding, other: str) -> float:
    """How many times as fast ours is: the other's median step over our median step."""
    return median(finding.seconds(other)) / median(finding.seconds("Luthier"))


def word(holds: bool) -> str:
    """Plainly."""
    return "reached" if holds else "**not reached**"
