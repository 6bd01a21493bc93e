"""What is done to which row: texts repaired first, then rows left out until no check would leave out another.

Each step looks at the rows as the one before left them, since a mended text may be another's copy, and a row whose twin
is gone may be the only one of its kind.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from luthier.checks import Corpus, checks, proofs
from luthier.checks.audit import Audit
from luthier.checks.check import Evidence
from luthier.checks.labels import judged_places
from luthier.checks.redact import redactor
from luthier.data.raw import texts
from luthier.data.read import LeftOut
from luthier.data.split import SplitOptions
from luthier.errors import RecipeError
from luthier.run.mend.balance import Balance, balanced, lavish
from luthier.run.mend.part import generous, parted
from luthier.types import Example, Issue, Message

ROUNDS = 20
"""Times that the mended rows are looked at again, at most; two or three are usual."""
FIRST = ("empty", "pair_equal", "contradiction")
"""What is left out first: a copy is a vote on what its prompt wants, so votes are counted before copies go."""


@dataclass(frozen=True, slots=True)
class MendOptions:
    """What is mended beside what the checks find."""

    redact: bool = False
    balance: Balance | None = None
    split: SplitOptions | None = None


@dataclass(frozen=True, slots=True)
class Reason:
    """Why something is done to a row."""

    check: str
    why: str
    kept: str | None = None
    """The row that stands for it."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """What is made of each of a row's texts."""

    reason: Reason
    change: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Plan:
    """What is done to which row, by id; a row that nothing is said of stays as it is."""

    left_out: Mapping[str, Reason] = field(default_factory=dict)
    rewrites: Mapping[str, tuple[Rewrite, ...]] = field(default_factory=dict)
    redact: Callable[[str], str] | None = None
    weights: Mapping[str, tuple[float, Reason]] = field(default_factory=dict)
    """Loss weights; of all rows or none."""
    parts: Mapping[str, str] | None = None
    """The split each row is moved to, where the file is divided."""
    remaining: tuple[Issue, ...] = ()
    """Flagged issues of the audit that nothing here mends."""
    stops: tuple[Issue, ...] = ()
    """What gates find in the rows as they are to be."""
    warnings: tuple[str, ...] = ()
    """What whoever asked for it should know of what is done."""


def plan(corpus: Corpus, found: Audit, options: MendOptions, *, unreadable: Iterable[LeftOut] = ()) -> Plan:
    """What the checks that were run can mend by themselves, and what `options` ask for.

    Raises RecipeError where rows are to be balanced that have no labels, or files to be divided that already are.
    """
    draft = _Draft(corpus, found)
    for row in unreadable:
        draft.left_out[row.id] = Reason("unreadable", row.reason)
    draft.repair()
    change = redactor(turn.content for row in corpus.rows for turn in row.prompt) if options.redact else None
    if change is not None:
        draft.reword({row.id: reworded(row, change) for row in draft.corpus.rows})
    evidence = _evidence(corpus, found)
    for _ in range(ROUNDS):
        if not draft.thin(evidence):
            break
    warnings: list[str] = []
    parts = draft.divide(options.split, warnings) if options.split is not None else None
    weights = draft.balance(options.balance, warnings) if options.balance is not None else {}
    return Plan(
        left_out=draft.left_out,
        rewrites={row: tuple(some) for row, some in draft.rewrites.items()},
        redact=change,
        weights=weights,
        parts=parts,
        remaining=draft.untouched(found, options),
        stops=draft.stops(found),
        warnings=tuple(warnings),
    )


class _Draft:
    """The rows as far as they are mended, and what was done to each."""

    def __init__(self, corpus: Corpus, found: Audit) -> None:
        self.corpus, self.active = corpus, [name for name in checks if name not in found.skipped]
        self.left_out: dict[str, Reason] = {}
        self.rewrites: dict[str, list[Rewrite]] = {}
        self._audited, self._found = corpus, found

    def issues(self, name: str, corpus: Corpus | None = None) -> list[Issue]:
        """What a check flags in the rows as they are now."""
        looked = corpus or self.corpus
        some = self._found.issues if looked is self._audited else checks[name].find(looked)
        return [issue for issue in some if issue.check == name and issue.flagged]

    def repair(self) -> None:
        """Rewrites texts until no check would rewrite one again; only rows that were rewritten are looked at again."""
        looked, changed = self.corpus, dict[str, Example]()
        for _ in range(ROUNDS):
            now = {row.id: row for row in looked.rows}
            for name in self.active:
                for issue in self.issues(name, looked) if checks[name].rewrite else ():
                    now |= {row: self._rewritten(now[row], issue) for row in issue.examples}
            before = {row.id: row for row in looked.rows}
            some = {row: mended for row, mended in now.items() if mended != before[row]}
            if not some:
                break
            changed |= some
            looked = replace(self.corpus, splits={"train": tuple(some.values())})
        self.reword(changed)

    def thin(self, evidence: Evidence) -> bool:
        """Leaves rows out, check after check; whether there were any."""
        before = len(self.left_out)
        for name in sorted(self.active, key=lambda name: (*(name != first for first in FIRST),)):
            check = checks[name]
            drops: dict[str, Reason] = {}
            if check.drop is not None:
                for issue in self.issues(name):
                    drops |= {row: Reason(name, issue.why) for row in check.drop(issue) if row not in drops}
            elif check.spare is not None:
                drops = {one.row: Reason(name, one.why, one.kept) for one in check.spare(self.corpus, evidence)}
            self._leave_out(drops)
        return len(self.left_out) > before

    def divide(self, options: SplitOptions, warnings: list[str]) -> dict[str, str]:
        """Moves the rows to the splits that are drawn for them; where each went."""
        if len([part for part, rows in self.corpus.splits.items() if rows]) > 1:
            raise RecipeError("--split: divides one file, and several are named; name one, or leave --split out")
        options, told = generous(options, len(self.corpus.rows))
        warnings += [told] if told else []
        self.corpus = parted(self.corpus, options, meaning="meaning_leak" in self.active)
        for part in ("validation", "test"):
            if getattr(options, part) and not self.corpus.splits[part]:
                together = "--group, or rows that say the same, keep too many of them together"
                raise RecipeError(
                    f"--split: no row is left for {part}: {together}; name another column, or data.{part}=0"
                )
        return dict(zip((row.id for row in self.corpus.rows), self.corpus.parts, strict=True))

    def balance(self, options: Balance, warnings: list[str]) -> dict[str, tuple[float, Reason]]:
        """Leaves rows out, or gives the weight of every row."""
        warnings += [costs] if (costs := lavish(self.corpus, options)) else []
        drops, given = balanced(self.corpus, options)
        self._leave_out({row: Reason("balance", why) for row, why in drops.items()})
        return {row: (weight, Reason("balance", why)) for row, (weight, why) in given.items()}

    def stops(self, found: Audit) -> tuple[Issue, ...]:
        """What gates flag in the rows as they are now; a proof's finding stands while its row does."""
        issues = [issue for name in found.gates if name in self.active for issue in self.issues(name)]
        unfit = [issue for issue in found.issues if issue.check in proofs]
        return (*issues, *(issue for issue in unfit if self.left_out.keys().isdisjoint(issue.examples)))

    def reword(self, changed: Mapping[str, Example]) -> None:
        """Takes rows in the place of those with their ids."""
        if any(changed.get(row.id, row) != row for row in self.corpus.rows):
            self._keep(lambda row: changed.get(row.id, row))

    def untouched(self, found: Audit, options: MendOptions) -> tuple[Issue, ...]:
        """The flagged issues whose rows all stand as they stood."""
        mended = {"personal_data", "secret"} if options.redact else set()
        mended |= {"imbalance"} if options.balance is not None else set()
        touched = self.left_out.keys() | self.rewrites.keys()
        return tuple(
            issue
            for issue in found.issues
            if issue.flagged and issue.check not in mended and touched.isdisjoint(issue.examples)
        )

    def _rewritten(self, row: Example, issue: Issue) -> Example:
        change = checks[issue.check].rewrite
        assert change is not None, f"{issue.check} rewrites"
        after = reworded(row, partial(change, issue))
        if after != row:
            self.rewrites.setdefault(row.id, []).append(Rewrite(Reason(issue.check, issue.why), partial(change, issue)))
        return after

    def _leave_out(self, drops: Mapping[str, Reason]) -> None:
        self.left_out |= {row: reason for row, reason in drops.items() if row not in self.left_out}
        if drops:
            self._keep(lambda row: None if row.id in drops else row)

    def _keep(self, change: Callable[[Example], Example | None]) -> None:
        splits = {
            part: tuple(kept for row in rows if (kept := change(row)) is not None)
            for part, rows in self.corpus.splits.items()
        }
        self.corpus = replace(self.corpus, splits=splits)


def reworded(row: Example, change: Callable[[str], str]) -> Example:
    """A row with each of its texts changed, as `texts` changes them in the file."""
    completions = tuple(replace(one, messages=_turns(one.messages, change)) for one in row.completions)
    label = None if row.label is None else change(row.label)
    return replace(row, prompt=_turns(row.prompt, change), completions=completions, label=label)


def _turns(turns: Sequence[Message], change: Callable[[str], str]) -> tuple[Message, ...]:
    return tuple(
        replace(
            turn,
            content=change(turn.content),
            fields={name: texts(value, change) for name, value in turn.fields.items()} if turn.fields else turn.fields,
        )
        for turn in turns
    )


def _evidence(corpus: Corpus, found: Audit) -> Evidence:
    """What the audit said of single rows."""
    doubts: dict[str, int] = {}
    likelier: dict[str, str] = {}
    labels = {row.id: row.label for row in corpus.rows}
    for issue in found.issues:
        if issue.check == "label_error" and (label := labels.get(issue.examples[1])) is not None:
            likelier[issue.examples[0]] = label
        if issue.flagged and (len(issue.examples) == 1 or issue.check == "label_error"):
            doubts[issue.examples[0]] = doubts.get(issue.examples[0], 0) + 1
    judged = () if "label_error" in found.skipped else judged_places(corpus)
    return Evidence(doubts, likelier, frozenset(corpus.rows[at].id for at in judged))
